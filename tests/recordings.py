"""Recorded traffic of real vendors, where a checkout has it beside itself; without it these tests skip.

The only module that knows where it lies.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from palaver.testing.replay import Exchange, load_exchange

RECORDINGS = Path(__file__).parents[1] / "../shared/recordings"

needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="there are no recordings beside this checkout")


def paths(*folders: str) -> list[Path]:
    """List the exchanges in *folders* (``openai/chat-completions``)."""
    return sorted(path for folder in folders for path in (RECORDINGS / folder).glob("*.json"))


def name_of(path: Path) -> str:
    """Name an exchange as ``EXPECTED.json`` does."""
    return path.relative_to(RECORDINGS).as_posix()


@cache
def load(path: Path) -> Exchange:
    """Read an exchange, once."""
    return load_exchange(path)


@cache
def expected() -> Mapping[str, Any]:
    """Read what the vendors' own SDKs make of each exchange."""
    found: Mapping[str, Any] = json.loads((RECORDINGS / "EXPECTED.json").read_text("utf-8"))
    return found


def dialect_of(exchange: Exchange) -> str:
    """Tell whose server spoke: the host that was asked."""
    return urlsplit((exchange.request or {}).get("url") or "").hostname or "unknown"
