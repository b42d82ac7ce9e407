"""What comes back: the finished answer, why it ended, and what it used."""

from enum import StrEnum

import attrs

from palaver.domain.content import EMPTY, Vendor
from palaver.domain.message import Message

__all__ = ["Completion", "Embeddings", "FinishReason", "ServedBy", "Usage"]


class FinishReason(StrEnum):
    """Why the model stopped. ``UNKNOWN`` is a word of the vendor's that no table here has."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    #: The vendor paused a long turn and wants the same messages again.
    PAUSE = "pause"
    UNKNOWN = "unknown"


@attrs.frozen
class Usage:
    """Tokens of one call. ``None`` means the vendor did not say; 0 means it said zero.

    *input_tokens* includes cached ones and *output_tokens* includes reasoning, whatever a vendor's own
    convention is; the details are parts of those sums.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    #: ``True`` when we counted because the vendor did not.
    estimated: bool = False
    vendor: Vendor = EMPTY

    @property
    def total_tokens(self) -> int | None:
        """Input and output together, ``None`` when neither is known."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@attrs.frozen
class ServedBy:
    """Which instance and model really answered, after routing and fallback."""

    instance: str
    model: str
    #: Name of the plugin behind the instance.
    plugin: str = ""


@attrs.frozen
class Completion:
    """A finished answer. *finish_raw* is the vendor's own word for *finish_reason*."""

    message: Message
    finish_reason: FinishReason
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    finish_raw: str | None = None
    vendor: Vendor = EMPTY


@attrs.frozen
class Embeddings:
    """One vector per input, in order. *served_by* is set by the pipeline, as on a stream."""

    vectors: tuple[tuple[float, ...], ...]
    model: str | None = None
    usage: Usage | None = None
    vendor: Vendor = EMPTY
    served_by: ServedBy | None = None
