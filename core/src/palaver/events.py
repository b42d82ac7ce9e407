"""Two unions of events: what a provider says, and what a run tells its watchers.

A provider yields ``StreamEvent``s in batches, one batch per read from the upstream. A run wraps such a
batch, or one fact of its own, into a numbered ``RunEvent``; numbers never merge and surfaces render them.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs

from palaver.domain.completion import FinishReason, ServedBy, Usage
from palaver.domain.content import EMPTY, Part, Vendor
from palaver.domain.session import Approval, RunStatus
from palaver.domain.tools import ToolExecution

__all__ = [
    "CONTENT_EVENTS",
    "ApprovalAsked",
    "Batch",
    "LegEnded",
    "PartAdded",
    "ReasoningDelta",
    "RefusalDelta",
    "ResponseFinished",
    "ResponseStarted",
    "RoundStarted",
    "RunEnded",
    "RunEvent",
    "RunFact",
    "RunStarted",
    "StreamEvent",
    "TextDelta",
    "TitleChanged",
    "ToolCallDelta",
    "ToolCallStarted",
    "ToolExecuted",
    "UsageReported",
]


@attrs.frozen
class StreamEvent:
    """Root of what a provider says."""


@attrs.frozen
class ResponseStarted(StreamEvent):
    """The vendor began an answer: its id and the model that serves it."""

    id: str | None = None
    model: str | None = None
    vendor: Vendor = EMPTY


@attrs.frozen
class TextDelta(StreamEvent):
    """A piece of the answer's text. *vendor* carries what came with it, logprobs for example."""

    text: str
    vendor: Vendor = EMPTY


@attrs.frozen
class ReasoningDelta(StreamEvent):
    """A piece of reasoning. *index* tells blocks apart; a block's signature comes with its last piece."""

    text: str = ""
    index: int = 0
    signature: str | None = None
    redacted: str | None = None
    id: str | None = None
    vendor: Vendor = EMPTY


@attrs.frozen
class RefusalDelta(StreamEvent):
    """A piece of the model's refusal."""

    text: str
    vendor: Vendor = EMPTY


@attrs.frozen
class ToolCallStarted(StreamEvent):
    """The model begins a call. *index* is ours: unique within the answer, in order of appearance."""

    index: int
    id: str
    name: str
    vendor: Vendor = EMPTY


@attrs.frozen
class ToolCallDelta(StreamEvent):
    """A piece of the arguments' JSON text of call *index*."""

    index: int
    arguments: str


@attrs.frozen
class PartAdded(StreamEvent):
    """A whole part that is not spoken in pieces: an image, a sound, a part of the vendor's own."""

    part: Part


@attrs.frozen
class UsageReported(StreamEvent):
    """Tokens so far; a later report replaces an earlier one."""

    usage: Usage


@attrs.frozen
class ResponseFinished(StreamEvent):
    """The vendor's terminal marker came. *raw* is the vendor's own word, *warnings* what was odd."""

    reason: FinishReason
    raw: str | None = None
    vendor: Vendor = EMPTY
    warnings: tuple[str, ...] = ()


#: One batch: all events of one read from the upstream.
Batch: TypeAlias = Sequence[StreamEvent]

#: Events a client can see as content: once one has left, nothing may be retried or replaced.
CONTENT_EVENTS: tuple[type[StreamEvent], ...] = (
    TextDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCallStarted,
    ToolCallDelta,
    PartAdded,
)


@attrs.frozen
class RunFact:
    """Root of what a run itself tells."""


@attrs.frozen
class RunStarted(RunFact):
    """First event of every run: the real ids behind it."""

    session_id: str
    user_message_id: str | None
    message_id: str
    model: str | None = None


@attrs.frozen
class RoundStarted(RunFact):
    """A further call to the model within the turn; *served_by* once known."""

    number: int


@attrs.frozen
class ToolExecuted(RunFact):
    """Tools of one round ran, in the order of their calls."""

    executions: tuple[ToolExecution, ...]


@attrs.frozen
class ApprovalAsked(RunFact):
    """The model wants tools that a person must allow; the run ends after this."""

    approval: Approval


@attrs.frozen
class TitleChanged(RunFact):
    """The session has a new title."""

    title: str


@attrs.frozen
class LegEnded(RunFact):
    """One model's part is over. *error* is ``{code, message, retryable}`` when it failed."""

    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    served_by: ServedBy | None = None
    error: Any = None


@attrs.frozen
class RunEnded(RunFact):
    """Last event of every run. *stored* is false when the final write did not succeed."""

    status: RunStatus
    error: Any = None
    stored: bool = True


@attrs.frozen
class RunEvent:
    """A numbered event of a run: a batch of stream events, or one fact."""

    seq: int
    leg: int
    body: tuple[StreamEvent, ...] | RunFact
