"""The kit for authors of plugins: conformance suites, a fake upstream that replays bytes, a clock, fakes.

Names are loaded when first asked for: the pytest plugin of this package starts before coverage does, and
must not drag all of core in with it.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "FakeClock": "clock",
    "FakeProvider": "fakes",
    "counting_ids": "fakes",
    "fake_context": "fakes",
    "say": "fakes",
    "ProviderConformance": "conformance",
    "Scenario": "conformance",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
