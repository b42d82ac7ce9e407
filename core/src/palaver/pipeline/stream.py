"""The stream of one answer: reads the provider's generator, runs the stages, minds the deadlines, closes.

The only place that iterates and closes a provider's generator. Opening reads until the first content event
or the terminal one, so that whoever opens may still retry; afterwards each batch passes the stages in one
plain loop. No plugin registered means no cost.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from palaver.contracts.pipeline import Outcome, Stage
from palaver.domain import ServedBy, Usage
from palaver.errors import PalaverError, ProviderError, UpstreamInterrupted, UpstreamTimeout
from palaver.events import (
    CONTENT_EVENTS,
    Batch,
    ResponseFinished,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    UsageReported,
)
from palaver.upstream.watch import Watch

__all__ = ["OpenedStream"]

_CONTENT = frozenset(CONTENT_EVENTS)
#: Seconds in which a provider must return after its terminal event.
_END_LIMIT = 1.0


class OpenedStream:
    """One provider's answer; see ``palaver.EventStream`` for what readers may do with it.

    Args:
        source: The provider's generator. From here on it is ours to close.
        idle: Seconds without content, while somebody reads, after which the vendor is given up.
        total: Seconds from now after which it is given up in any case.
        first: Seconds until its first event, where that may take longer than *idle*.
        watch: Keeps the deadlines; one of its own when not given.
    """

    __slots__ = (
        "_callbacks",
        "_cancelling",
        "_closed",
        "_ended",
        "_expired",
        "_finished",
        "_fresh",
        "_held",
        "_idle",
        "_loop",
        "_over",
        "_patience",
        "_since",
        "_source",
        "_stages",
        "_task",
        "_total_at",
        "_unraised",
        "_watch",
        "attempts",
        "cached",
        "error",
        "first_content_at",
        "model",
        "served_by",
        "usage",
    )

    def __init__(
        self,
        source: AsyncGenerator[Batch | StreamEvent, None],
        *,
        served_by: ServedBy | None,
        idle: float,
        total: float,
        first: float = 0.0,
        watch: Watch | None = None,
    ) -> None:
        self._source = source
        self._stages: list[Stage] = []
        self._callbacks: list[Callable[[Outcome], None]] = []
        self._held: list[StreamEvent] = []
        self._finished: ResponseFinished | None = None
        self._over = False  # the source has nothing more
        self._ended = False  # everything has been handed out
        self._closed = False
        self._unraised: BaseException | None = None
        self._watch = watch or Watch()
        self._loop = loop = self._watch.loop
        self._idle = idle
        # What counts now: a vendor that loads its model is silent for longer than one that speaks.
        self._patience = max(idle, first)
        self._since = now = loop.time()
        self._total_at = now + total
        self._fresh = False
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._expired: str | None = None
        self._watch.add(self, now + min(self._patience, total))
        self.served_by = served_by
        self.cached = False
        self.attempts = 1
        self.usage: Usage | None = None
        self.model: str | None = None
        self.error: BaseException | None = None
        #: Loop time of the first content event.
        self.first_content_at: float | None = None

    async def open(self) -> "OpenedStream":
        """Read until content or the terminal event is in hand; on any failure close and raise."""
        try:
            while self.first_content_at is None and not self._over:
                self._held.extend(await self._pull())
                if self._patience != self._idle:
                    self._first_event_came()
            if self.error is not None:
                raise self.error
        except BaseException as error:
            self.error = error
            await self.aclose()
            raise
        return self

    def add(self, stage: Stage) -> None:
        """Append a stage; only before the first batch is read."""
        self._stages.append(stage)

    def on_close(self, callback: Callable[[Outcome], None]) -> None:
        """Call *callback* with the outcome once the upstream is closed."""
        self._callbacks.append(callback)

    def __aiter__(self) -> "OpenedStream":
        return self

    async def __anext__(self) -> Batch:
        while not self._ended:
            if self._held:
                batch: Sequence[StreamEvent] = self._held
                self._held = []
            elif self._over:
                batch = ()
            else:
                try:
                    batch = await self._pull()
                except BaseException as error:
                    # Cancelled while reading: the reader is gone, so is the upstream.
                    self.error = error
                    await self.aclose()
                    raise
            if self._stages and batch:
                batch = await self._through_stages(batch)
            if self._over:
                self._ended = True
                batch = self._with_end(batch)
            if batch:
                return batch
        unraised, self._unraised = self._unraised, None
        await self.aclose()
        if unraised is not None:
            raise unraised
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the provider's generator and tell whoever asked to know. Safe to call twice."""
        if self._closed:
            return
        self._closed = self._over = self._ended = True
        self._watch.remove(self)
        try:
            await self._source.aclose()
        finally:
            outcome = Outcome(self._finished, self.error)
            for callback in self._callbacks:
                callback(outcome)
            self._callbacks.clear()

    async def _pull(self) -> Sequence[StreamEvent]:
        """Read one batch; a failure of the provider is kept in ``error`` for after what is still held."""
        if self._fresh:
            self._since = self._loop.time()
            self._fresh = False
        self._task = task = asyncio.current_task(self._loop)
        batch: Sequence[StreamEvent] = ()
        try:
            item = await self._source.__anext__()
            batch = (item,) if isinstance(item, StreamEvent) else item
            content = False
            for event in batch:
                kind = event.__class__
                if kind is TextDelta:
                    content = True
                elif kind is UsageReported:
                    self.usage = event.usage  # type: ignore[attr-defined]
                elif kind is ResponseFinished:
                    self._finished = event  # type: ignore[assignment]
                elif kind in _CONTENT:
                    content = True
                elif kind is ResponseStarted:
                    self.model = event.model or self.model  # type: ignore[attr-defined]
            if content:
                self._fresh = True
                if self.first_content_at is None:
                    self.first_content_at = self._loop.time()
            if self._finished is not None:
                # The terminal event leaves last, after the stages have flushed; what follows it is noise.
                end = -1 if batch[-1] is self._finished else batch.index(self._finished)
                batch = batch[:end]
                # The answer is whole: the provider gets a moment to return, and no more.
                self._total_at = min(self._total_at, self._loop.time() + _END_LIMIT)
                async for _ in self._source:
                    pass
                self._over = True
            return batch
        except StopAsyncIteration:
            self._over = True
            self.error = UpstreamInterrupted("the stream ended without the vendor's terminal marker", **self._about())
        except asyncio.CancelledError:
            if self._expired is None or task is None or task.uncancel() > self._cancelling:
                raise
            self._over = True
            if self._finished is not None:
                return batch
            message = (
                f"no content for {self._patience:g} s"
                if self._expired == "idle"
                else "the answer took longer than allowed"
            )
            self.error = UpstreamTimeout(message, phase=self._expired, **self._about())
        except PalaverError as error:
            self._over = True
            if isinstance(error, ProviderError) and not error.provider:
                about = self._about()
                error.provider, error.model = about["provider"], error.model or about["model"]
            self.error = error
        except Exception as error:
            self._over = True
            failure = ProviderError(f"the provider plugin failed: {type(error).__name__}", **self._about())
            failure.__cause__ = error
            self.error = failure
        finally:
            self._task = None
        return ()

    def _first_event_came(self) -> None:
        """From here on only content counts; events without any do not come here again."""
        self._patience = self._idle
        self._since = now = self._loop.time()
        self._watch.add(self, min(now + self._idle, self._total_at))

    def _about(self) -> dict[str, Any]:
        served_by = self.served_by
        return (
            {"provider": served_by.instance, "model": served_by.model} if served_by else {"provider": "", "model": ""}
        )

    def look(self, now: float) -> float:
        """Give the vendor up when a deadline has passed; called by the watch."""
        if now >= self._total_at:
            expired = "total"
        elif self._task is not None and not self._fresh and now >= self._since + self._patience:
            expired = "idle"
        else:
            if self._task is None or self._fresh:
                # Nobody reads now, or content came since.
                self._since = now
            return min(self._since + self._patience, self._total_at)
        if self._task is None:
            # The reader is busy elsewhere; it meets the deadline at its next read.
            return now
        if self._expired is None:
            self._expired = expired
            self._cancelling = self._task.cancelling()
            self._task.cancel()
        return self._total_at + self._idle

    async def _through_stages(self, batch: Sequence[StreamEvent]) -> Sequence[StreamEvent]:
        try:
            for stage in self._stages:
                if not batch:
                    return batch
                batch = stage.feed(batch)
        except BaseException as error:
            self.error = error
            await self.aclose()
            raise
        return batch

    def _with_end(self, batch: Sequence[StreamEvent]) -> Sequence[StreamEvent]:
        """Add what the stages still hold, in their order, and the terminal event when there is one."""
        finished = self._finished if self.error is None else None
        out = list(batch)
        if self._stages:
            outcome = Outcome(finished, self.error)
            tail: list[StreamEvent] = []
            for stage in self._stages:
                if tail:
                    tail = list(stage.feed(tail))
                tail.extend(stage.end(outcome))
            out.extend(tail)
        if finished is not None:
            out.append(finished)
        self._unraised = self.error
        return out
