"""Facts about models, as data."""

from decimal import Decimal
from enum import StrEnum

import attrs

__all__ = ["Capability", "ModelInfo", "Price"]


class Capability(StrEnum):
    """What a model can take or do."""

    CHAT = "chat"
    STREAMING = "streaming"
    TOOLS = "tools"
    PARALLEL_TOOLS = "parallel_tools"
    IMAGES = "images"
    AUDIO = "audio"
    FILES = "files"
    REASONING = "reasoning"
    STRUCTURED_OUTPUT = "structured_output"
    PROMPT_CACHE = "prompt_cache"
    EMBEDDINGS = "embeddings"


@attrs.frozen
class Price:
    """US dollars per million tokens; decimals, so that a long chat's total stays exact."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None


@attrs.frozen
class ModelInfo:
    """A model as a catalogue or the registry knows it; ``None`` means not known."""

    id: str
    display_name: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[Capability] = frozenset()
    price: Price | None = None
    description: str = ""
