"""Token counts of the dialect, in its vendors' several spellings, as ``Usage``. Never raises, never invents a 0."""

import math
from collections.abc import Mapping
from typing import Any

from palaver import Usage

__all__ = ["read_usage"]


#: DeepSeek's, Moonshot's and Mistral's names for tokens read from the cache.
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")


def read_usage(raw: Any) -> Usage | None:
    """Read a ``usage`` object; ``None`` when there is none.

    Usually ``completion_tokens`` includes reasoning; where the sum shows that it does not (xAI), it is added.
    """
    if not isinstance(raw, dict) or not raw:
        return None
    get = raw.get
    inputs = _count(get("prompt_tokens"))
    outputs = _count(get("completion_tokens"))
    details_in = _mapping(get("prompt_tokens_details"))
    details_out = _mapping(get("completion_tokens_details"))
    reasoning = _count(details_out.get("reasoning_tokens"))
    if reasoning is None:
        reasoning = _count(get("reasoning_tokens"))
    if reasoning and outputs is not None and _count(get("total_tokens")) == (inputs or 0) + outputs + reasoning:
        outputs += reasoning
    cached = _count(details_in.get("cached_tokens"))
    if cached is None:
        cached = next((count for name in _CACHED if (count := _count(get(name))) is not None), None)
    written = _count(details_in.get("cache_write_tokens"))
    return Usage(inputs, outputs, reasoning, cached, written, vendor={"openai": raw})


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if value.__class__ is dict else {}


def _count(value: Any) -> int | None:
    if value.__class__ is int:
        return value if value >= 0 else None
    if isinstance(value, float) and math.isfinite(value) and value >= 0:
        return round(value)
    return None
