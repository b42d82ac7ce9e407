"""What is asked of a model: messages, sampling, tools and the form of the answer."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import attrs

from palaver.domain.content import EMPTY, Vendor
from palaver.domain.message import Message
from palaver.domain.tools import ToolChoice, ToolSpec

__all__ = [
    "ChatRequest",
    "EmbeddingRequest",
    "ResponseFormat",
    "ResponseKind",
    "Sampling",
]


@attrs.frozen
class Sampling:
    """Sampling options; ``None`` leaves the vendor's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    #: ``none``, ``minimal``, ``low``, ``medium``, ``high`` or a word of the vendor's own.
    reasoning_effort: str | None = None
    #: Upper bound of thinking, in tokens, for vendors that count it apart.
    reasoning_budget: int | None = None


class ResponseKind(StrEnum):
    """The form of the answer."""

    TEXT = "text"
    JSON = "json"
    SCHEMA = "schema"


@attrs.frozen
class ResponseFormat:
    """Free text, any JSON, or JSON that follows *schema*."""

    kind: ResponseKind = ResponseKind.TEXT
    name: str = "answer"
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


# Typed one by one: the built-in `tuple` loses the element's type on its way through mypy's attrs plugin.
def _as_messages(messages: Iterable[Message]) -> tuple[Message, ...]:
    return tuple(messages)


def _as_inputs(inputs: Iterable[str]) -> tuple[str, ...]:
    return tuple(inputs)


@attrs.frozen
class ChatRequest:
    """One request to a model.

    ``streaming=False`` allows the provider to use the vendor's non-streaming endpoint and yield few,
    large events. ``vendor`` holds request fields we have no word for, keyed by dialect.
    """

    model: str
    messages: tuple[Message, ...] = attrs.field(converter=_as_messages)
    sampling: Sampling = Sampling()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    #: ``auto`` lets the provider place prompt-cache marks, ``off`` forbids them.
    cache: str = "auto"
    streaming: bool = True
    user: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    vendor: Vendor = EMPTY


@attrs.frozen
class EmbeddingRequest:
    """Texts to turn into vectors; *dimensions* only where the model can shorten them."""

    model: str
    inputs: tuple[str, ...] = attrs.field(converter=_as_inputs)
    dimensions: int | None = None
    user: str | None = None
    vendor: Vendor = EMPTY
