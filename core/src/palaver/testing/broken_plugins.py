"""Plugins that are broken in every known way, each with the reason that has to be reported.

``install_broken()`` puts any of them into a folder as really installed distributions.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from palaver.testing.wheels import build_wheel, install_wheel

__all__ = ["BROKEN", "WORKING", "BrokenPlugin", "install_broken", "install_working"]

#: Source of a plugin that works: ``WORKING.format(name="acme")`` offers the provider ``acme``.
WORKING = '''\
"""A provider that says one word."""

from contextlib import asynccontextmanager

from palaver import FinishReason, NoConfig, ProviderSpec, ResponseFinished, ResponseStarted, TextDelta, hookimpl


class Parrot:
    async def stream(self, request):
        yield [ResponseStarted(), TextDelta("{name}"), ResponseFinished(FinishReason.STOP)]


@asynccontextmanager
async def open_provider(config, context):
    yield Parrot()


@hookimpl
def palaver_providers():
    return [ProviderSpec("{name}", config=NoConfig, open=open_provider)]
'''

_HOOKIMPL = "from palaver import hookimpl\n"


@attrs.frozen(kw_only=True)
class BrokenPlugin:
    """The source of a plugin's module, and what has to be told about it."""

    source: str
    #: A part of the report's reason.
    reason: str
    #: The report's state.
    state: str = "quarantined"
    #: ``Requires-Dist`` lines.
    requires: tuple[str, ...] = ()
    #: How many distributions bring it, all under one plugin name.
    copies: int = 1


#: Plugin name → what is wrong with it. Its module is ``palaver_<name>``, its distribution ``palaver-<name>``.
BROKEN: Mapping[str, BrokenPlugin] = MappingProxyType(
    {
        "raises_at_import": BrokenPlugin(
            source='raise RuntimeError("no luck today")\n',
            reason="at import: RuntimeError: no luck today",
        ),
        "misses_a_module": BrokenPlugin(
            source="import palaver_no_such_module\n",
            reason="at import: ModuleNotFoundError: No module named 'palaver_no_such_module'",
        ),
        "no_python": BrokenPlugin(
            source="def palaver_providers(:\n",
            reason="at import: SyntaxError:",
        ),
        "calls_exit": BrokenPlugin(
            source="import sys\n\nsys.exit(3)\n",
            reason="at import: it called sys.exit(3)",
        ),
        "interrupts": BrokenPlugin(
            source="raise KeyboardInterrupt\n",
            reason="at import: KeyboardInterrupt",
        ),
        "sleeps_at_import": BrokenPlugin(
            source="import time\n\ntime.sleep(60)\n",
            reason="at import: still running after",
        ),
        "misspelt_hook": BrokenPlugin(
            source=f"{_HOOKIMPL}\n\n@hookimpl\ndef palaver_provider():\n    return []\n",
            reason="unknown hook palaver_provider; did you mean palaver_providers?",
        ),
        "wrong_signature": BrokenPlugin(
            source=f"{_HOOKIMPL}\n\n@hookimpl\ndef palaver_providers(config):\n    return []\n",
            reason="palaver_providers(config) does not fit palaver_providers(): hooks take no arguments",
        ),
        "asynchronous_hook": BrokenPlugin(
            source=f"{_HOOKIMPL}\n\n@hookimpl\nasync def palaver_providers():\n    return []\n",
            reason="palaver_providers is asynchronous",
        ),
        "wrapper_hook": BrokenPlugin(
            source=f"{_HOOKIMPL}\n\n@hookimpl(wrapper=True)\ndef palaver_providers():\n    return (yield)\n",
            reason="palaver_providers is a wrapper",
        ),
        "hook_raises": BrokenPlugin(
            source=f'{_HOOKIMPL}\n\n@hookimpl\ndef palaver_storages():\n    yield from ()\n    raise OSError("full")\n',
            reason="in palaver_storages(): OSError: full",
        ),
        "hook_sleeps": BrokenPlugin(
            source=f"import time\n\n{_HOOKIMPL}\n\n@hookimpl\ndef palaver_observers():\n    time.sleep(60)\n",
            reason="in palaver_observers(): still running after",
        ),
        "returns_rubbish": BrokenPlugin(
            source=f'{_HOOKIMPL}\n\n@hookimpl\ndef palaver_providers():\n    return ["openai"]\n',
            reason="returned rubbish: palaver_providers() gave 'openai', not a ProviderSpec",
        ),
        "returns_nothing": BrokenPlugin(
            source=f"{_HOOKIMPL}\n\n@hookimpl\ndef palaver_providers():\n    pass\n",
            reason="returned rubbish: palaver_providers() gave None",
        ),
        "never_ends": BrokenPlugin(
            source=f"{_HOOKIMPL}\n\n@hookimpl\ndef palaver_providers():\n    while True:\n        yield None\n",
            reason="returned rubbish: palaver_providers() gave more than",
        ),
        "rubbish_inside": BrokenPlugin(
            source=(
                "from palaver import ProviderSpec, hookimpl\n\n\n"
                '@hookimpl\ndef palaver_providers():\n    return [ProviderSpec("acme", config=dict, open=print)]\n'
            ),
            reason="ProviderSpec('acme') whose config is wrong: expected an attrs class",
        ),
        "other_hook_api": BrokenPlugin(
            source="PALAVER_HOOK_API = 99\n" + WORKING.format(name="other_hook_api"),
            reason="built for hook API 99, this core has 1: update palaver-core",
        ),
        "other_core": BrokenPlugin(
            source='raise AssertionError("must not be imported")\n',
            reason="built for another core: it requires palaver-core>=99",
            requires=("palaver-core>=99",),
        ),
        "claimed_twice": BrokenPlugin(
            source=WORKING.format(name="claimed_twice"),
            reason="both claim the name 'claimed_twice'",
            state="duplicate",
            copies=2,
        ),
    }
)


def install_broken(folder: Path, site: Path, names: Iterable[str] = tuple(BROKEN)) -> None:
    """Build the wheels of the named plugins in *folder* and install them into *site*."""
    for name in names:
        plugin = BROKEN[name]
        for copy in range(plugin.copies):
            suffix = f"_{copy + 1}" if plugin.copies > 1 else ""
            module = f"palaver_{name}{suffix}"
            wheel = build_wheel(
                folder,
                module.replace("_", "-"),
                "1.0",
                {f"{module}/__init__.py": plugin.source},
                {name: module},
                plugin.requires,
            )
            install_wheel(wheel, site)


def install_working(folder: Path, site: Path, name: str, *, source: str = "", requires: Iterable[str] = ()) -> None:
    """Build and install ``palaver-<name>``: a provider of that name, unless *source* says otherwise."""
    module = f"palaver_{name}"
    wheel = build_wheel(
        folder,
        module.replace("_", "-"),
        "1.0",
        {f"{module}/__init__.py": source or WORKING.format(name=name)},
        {name: module},
        requires,
    )
    install_wheel(wheel, site)
