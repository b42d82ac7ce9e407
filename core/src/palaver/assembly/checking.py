"""Is a spec what its class says? Attrs does not check types, and a wrong value would surface inside a request."""

import inspect
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from palaver.domain import ModelInfo
from palaver.errors import PluginError
from palaver.settings import describe

__all__ = ["RULES", "Unusable", "check_spec"]


class Unusable(PluginError):
    """A plugin breaks a rule; the message says which one and the way out."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _name(value: Any) -> str | None:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return None
    return "expected up to 64 letters, digits, dots, dashes and underscores"


def _config(value: Any) -> str | None:
    if not isinstance(value, type) or not attrs.has(value):
        return "expected an attrs class"
    try:
        describe(value)
    except Exception as error:
        return f"its settings cannot be read: {type(error).__name__}: {error}"
    return None


def _open(value: Any) -> str | None:
    if not callable(value):
        return "expected a function"
    if inspect.isasyncgenfunction(value):
        return "it is a bare async generator: decorate it with contextlib.asynccontextmanager"
    if inspect.iscoroutinefunction(value):
        return "it is a coroutine function: it has to return an async context manager"
    return _takes(value, "config", "context")


def _migrations(value: Any) -> str | None:
    if value is None:
        return None
    return _takes(value, "config") if callable(value) else "expected a function or None"


def _takes(function: Callable[..., Any], *arguments: str) -> str | None:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return f"it cannot be called with ({', '.join(arguments)})"
    except ValueError:  # a function written in C may tell nothing about itself
        return None
    return None


def _texts(value: Any) -> str | None:
    if isinstance(value, tuple) and all(isinstance(item, str) and item for item in value):
        return None
    return "expected a tuple of strings"


def _some_texts(value: Any) -> str | None:
    return _texts(value) if value else "expected a tuple of one or more strings"


def _catalog(value: Any) -> str | None:
    if isinstance(value, tuple) and all(isinstance(item, ModelInfo) for item in value):
        return None
    return "expected a tuple of ModelInfo"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "expected True or False"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "expected a string"


def _place(value: Any) -> str | None:
    return None if value in ("call", "target") else "expected 'call' or 'target'"


#: Field of a spec → the function that tells what is wrong with a value, or ``None``.
RULES: Mapping[str, Callable[[Any], str | None]] = MappingProxyType(
    {
        "name": _name,
        "config": _config,
        "open": _open,
        "aliases": _texts,
        "model_prefixes": _texts,
        "catalog": _catalog,
        "automatic": _flag,
        "dialect": _text,
        "schemes": _some_texts,
        "migrations": _migrations,
        "place": _place,
    }
)


def check_spec(hook: str, spec: Any) -> None:
    """Check every field of a spec that *hook* returned.

    Raises:
        Unusable: names hook, spec, field and what was expected.
    """
    kind = type(spec).__name__
    for field in attrs.fields(type(spec)):
        rule = RULES.get(field.name)
        problem = rule(getattr(spec, field.name)) if rule else None
        if problem:
            owner = f"{kind}({spec.name!r})" if field.name != "name" and isinstance(spec.name, str) else kind
            raise Unusable(f"returned rubbish: {hook}() gave {owner} whose {field.name} is wrong: {problem}")
