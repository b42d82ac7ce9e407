"""Text that any database can hold: NUL and lone surrogates become U+FFFD. Pure."""

import json
import math
import re
from typing import Any

import orjson

__all__ = ["clean", "write_json"]

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def clean(text: str) -> str:
    """Replace what PostgreSQL (NUL) or UTF-8 (lone surrogates) cannot hold."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def write_json(data: Any) -> tuple[str, bool]:
    """Write plain *data* as JSON that any database can hold; tell whether something had to be replaced.

    Raises:
        TypeError, RecursionError: *data* is not plain or too deep.
    """
    try:
        raw = orjson.dumps(data)
    except TypeError:
        # Lone surrogates, or numbers and depths that vendors send and orjson refuses.
        cleaned = _clean_data(data)
        return json.dumps(cleaned, ensure_ascii=False, separators=(",", ":")), cleaned != data
    if b"\\u0000" not in raw:
        return raw.decode(), False
    cleaned = _clean_data(data)
    return orjson.dumps(cleaned).decode(), cleaned != data


def _clean_data(data: Any) -> Any:
    if isinstance(data, str):
        return clean(data)
    if isinstance(data, dict):
        return {_clean_data(key): _clean_data(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_clean_data(item) for item in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None  # as orjson writes it
    return data
