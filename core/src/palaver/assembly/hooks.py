"""One plugin's module against the hookspecs: are its hooks known, do they fit, what do they return.

Each plugin gets a pluggy manager of its own, so that no hook of one is ever in the way of another's.
A broken rule is ``Unusable``; whatever else is raised comes from the plugin, whose code this runs.
"""

import difflib
import inspect
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from types import ModuleType
from typing import Any, TypeAlias

import pluggy

from palaver.assembly.checking import Unusable
from palaver.hookspecs import PROJECT

__all__ = ["Promised", "call", "implemented", "register"]

#: Class of the items that a hook returns; with several, any of them.
Promised: TypeAlias = type[Any] | tuple[type[Any], ...]

#: More items than any plugin means to offer: an endless generator ends here.
_MOST = 1000


def register(module: ModuleType, name: str, hookspecs: Sequence[ModuleType]) -> tuple[pluggy.PluginManager, list[str]]:
    """Check a module's hooks against *hookspecs*; give its manager and what is odd but harmless.

    Raises:
        Unusable: a hook is unknown, has arguments, is asynchronous or a wrapper.
    """
    manager = pluggy.PluginManager(PROJECT)
    for specs in hookspecs:
        manager.add_hookspecs(specs)
    known = sorted(caller.name for caller in _callers(manager))
    notes = list(_checked(manager, module, known))
    try:
        manager.register(module, name)
    except pluggy.PluginValidationError as error:
        raise Unusable(f"wrong hook signature: {_signature_problem(error)}") from error
    return manager, notes


def implemented(manager: pluggy.PluginManager) -> tuple[str, ...]:
    """List the hooks that the manager's one plugin implements."""
    return tuple(sorted(caller.name for caller in _callers(manager) if caller.get_hookimpls()))


def call(manager: pluggy.PluginManager, hook: str, promised: Promised) -> tuple[Any, ...]:
    """Call an implemented hook of the manager's one plugin and collect the items.

    Raises:
        Unusable: what came back is not an iterable of *promised*.
    """
    answers = getattr(manager.hook, hook)()
    wanted = _class_names(promised)
    if not answers:  # pluggy leaves None out
        raise Unusable(f"returned rubbish: {hook}() gave None, not an iterable of {wanted}; return () for nothing")
    return tuple(item for answer in answers for item in _items(hook, answer, promised, wanted))


def _callers(manager: pluggy.PluginManager) -> list[pluggy.HookCaller]:
    return [caller for caller in vars(manager.hook).values() if isinstance(caller, pluggy.HookCaller)]


def _checked(manager: pluggy.PluginManager, module: ModuleType, known: list[str]) -> Iterator[str]:
    for attribute in dir(module):
        function = inspect.getattr_static(module, attribute, None)
        options = manager.parse_hookimpl_opts(module, attribute)
        if options is None:
            defined_here = inspect.isfunction(function) and function.__module__ == module.__name__
            if defined_here and attribute.startswith(f"{PROJECT}_"):
                yield f"{attribute} is not called: mark it with @hookimpl"
            continue
        hook = options.get("specname") or attribute
        if hook not in known:
            close = difflib.get_close_matches(hook, known, n=1, cutoff=0.8)
            problem = f"unknown hook {hook}" + "".join(f"; did you mean {one}?" for one in close)
            if not options.get("optionalhook"):
                raise Unusable(problem)
            if close:
                yield problem
        if options.get("wrapper") or options.get("hookwrapper"):
            raise Unusable(f"{hook} is a wrapper: each plugin's hook is called alone, there is nothing to wrap")
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise Unusable(f"{hook} is asynchronous: a hook only returns specs, write it with def")


def _signature_problem(error: pluggy.PluginValidationError) -> str:
    text = str(error)
    hook = re.search(r"for hook '(\w+)'", text)
    definition = re.search(r"^hookimpl definition: (.+)$", text, re.MULTILINE)
    if hook is None or definition is None:
        return text
    return f"{definition[1]} does not fit {hook[1]}(): hooks take no arguments"


def _items(hook: str, answer: Any, promised: Promised, wanted: str) -> tuple[Any, ...]:
    if inspect.iscoroutine(answer):
        answer.close()
        raise Unusable(f"returned rubbish: {hook}() gave a coroutine, not an iterable of {wanted}")
    if promised is not object and isinstance(answer, promised):
        raise Unusable(f"returned rubbish: {hook}() gave one {wanted} by itself; put it in a list")
    if not hasattr(answer, "__iter__"):
        raise Unusable(f"returned rubbish: {hook}() gave {_short(answer)}, not an iterable of {wanted}")
    items = tuple(islice(answer, _MOST + 1))
    if len(items) > _MOST:
        raise Unusable(f"returned rubbish: {hook}() gave more than {_MOST} items")
    for item in items:
        if not isinstance(item, promised):
            raise Unusable(f"returned rubbish: {hook}() gave {_short(item)}, not a {wanted}")
    return items


def _class_names(promised: Promised) -> str:
    classes = promised if isinstance(promised, tuple) else (promised,)
    return " or ".join(cls.__name__ for cls in classes)


def _short(value: object) -> str:
    # Only plain values are shown: another object's repr may be long, slow or secret.
    plain = repr(value) if value is None or type(value) in (str, int, float, bool, bytes) else ""
    return plain if 0 < len(plain) <= 40 else f"a value of type {type(value).__name__}"
