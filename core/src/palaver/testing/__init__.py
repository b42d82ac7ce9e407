"""The kit for authors of plugins: conformance suites, a fake upstream that replays bytes, a clock, fakes.

Names are loaded when first asked for: the pytest plugin of this package starts before coverage does, and
must not drag all of core in with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palaver.testing.clock import FakeClock
    from palaver.testing.conformance import ProviderConformance, Scenario
    from palaver.testing.fake_upstream import STALL, End, FakeUpstream, Framing, Received, Scripted
    from palaver.testing.fakes import FakeProvider, counting_ids, fake_context, say
    from palaver.testing.memory_storage import MemoryStorage
    from palaver.testing.replay import Exchange, Replayer, decode, decode_until, load_exchange, split_everywhere
    from palaver.testing.storage_conformance import StorageConformance
    from palaver.testing.wheels import build_wheel, install_wheel, installed_in

__all__ = [
    "STALL",
    "End",
    "Exchange",
    "FakeClock",
    "FakeProvider",
    "FakeUpstream",
    "Framing",
    "MemoryStorage",
    "ProviderConformance",
    "Received",
    "Replayer",
    "Scenario",
    "Scripted",
    "StorageConformance",
    "build_wheel",
    "counting_ids",
    "decode",
    "decode_until",
    "fake_context",
    "install_wheel",
    "installed_in",
    "load_exchange",
    "say",
    "split_everywhere",
]

_HOMES = {
    "clock": ("FakeClock",),
    "conformance": ("ProviderConformance", "Scenario"),
    "fake_upstream": ("STALL", "End", "FakeUpstream", "Framing", "Received", "Scripted"),
    "fakes": ("FakeProvider", "counting_ids", "fake_context", "say"),
    "memory_storage": ("MemoryStorage",),
    "replay": ("Exchange", "Replayer", "decode", "decode_until", "load_exchange", "split_everywhere"),
    "storage_conformance": ("StorageConformance",),
    "wheels": ("build_wheel", "install_wheel", "installed_in"),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
