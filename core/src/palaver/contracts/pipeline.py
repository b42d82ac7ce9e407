"""The pipeline's pieces: middleware that acts on the opening of a call, stages that see its batches,
observers that only look.

A call has two phases. *Opening*: ``await call_next(call)`` returns when the first content event (or the
terminal one) is in hand, or raises; retry, breaker, limits and fallback are plain try and await here, and
can act only before content has left. *Streaming*: stages, synchronous and pure, see each batch.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import attrs

from palaver.domain import Call, ServedBy, Usage
from palaver.errors import PalaverError
from palaver.events import Batch, ResponseFinished

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "CallEnded",
    "CallNext",
    "EventStream",
    "Middleware",
    "Observation",
    "Observer",
    "Outcome",
    "RunFinished",
    "Stage",
    "ToolEnded",
]


@attrs.frozen
class Outcome:
    """How a stream ended: with the vendor's terminal event, with an error, or closed early (neither)."""

    finished: ResponseFinished | None = None
    error: BaseException | None = None


class Stage(Protocol):
    """A pure, synchronous step on the batches of one stream."""

    def feed(self, batch: Batch) -> Batch:
        """Take a batch, return what goes on; hold back by returning less. Raise ``PalaverError`` to stop.

        ``ResponseFinished`` never comes here: it is held until every stage has ended.
        """
        ...

    def end(self, outcome: Outcome) -> Batch:
        """Return what was held back; it is delivered before the terminal event or the error.

        Called once. After an early close nobody reads any more and the result is dropped.
        """
        ...


class EventStream(Protocol):
    """An opened answer. Iterate it for batches; whoever opened it closes it."""

    served_by: ServedBy | None
    #: Whether the answer came from the cache.
    cached: bool
    #: How many times a provider was asked for it.
    attempts: int
    #: Tokens as last reported, ``None`` until the vendor says.
    usage: Usage | None

    def add(self, stage: Stage) -> None:
        """Append a stage: it sees what the stages before it let through."""
        ...

    def on_close(self, callback: Callable[[Outcome], None]) -> None:
        """Call *callback* once, after the upstream is closed."""
        ...

    def __aiter__(self) -> AsyncIterator[Batch]: ...

    async def __anext__(self) -> Batch: ...

    async def aclose(self) -> None:
        """Close the upstream. Safe to call twice, and after exhaustion."""
        ...


#: The rest of the chain. The result is an ``EventStream`` or ``Embeddings``.
CallNext: TypeAlias = Callable[[Call[Any]], Awaitable[Any]]


class Middleware(Protocol):
    """Wraps the opening of a call; generic in the result, so it serves chat and embeddings alike."""

    async def __call__(self, call: Call[Any], call_next: CallNext) -> Any:
        """Do something before, instead of, or after ``await call_next(call)``."""
        ...


@attrs.frozen
class Observation:
    """Root of what observers are told. Times are seconds."""


@attrs.frozen
class AttemptStarted(Observation):
    """A provider is about to be asked."""

    call: Call[Any]
    target: ServedBy
    number: int


@attrs.frozen
class AttemptEnded(Observation):
    """A provider was asked; *error* is ``None`` when the stream opened."""

    call: Call[Any]
    target: ServedBy
    number: int
    seconds: float
    error: PalaverError | None = None


@attrs.frozen
class CallEnded(Observation):
    """A call is over: opened and read to its end, failed, or abandoned by its reader."""

    call: Call[Any]
    served_by: ServedBy | None
    usage: Usage | None
    #: ``ok``, ``cancelled`` or the code of the error.
    outcome: str
    seconds: float
    first_content_seconds: float | None = None
    cached: bool = False
    attempts: int = 1


@attrs.frozen
class ToolEnded(Observation):
    """A tool ran."""

    tool_name: str
    source: str
    seconds: float
    error: str | None = None


@attrs.frozen
class RunFinished(Observation):
    """A run reached a final state."""

    status: str
    seconds: float


class Observer(Protocol):
    """Looks at what happens: logs, metrics, cost. Must be quick; an exception is logged and dropped."""

    def observe(self, observation: Observation) -> None:
        """Take note. Match on the classes you care about and ignore the rest: new ones will come."""
        ...
