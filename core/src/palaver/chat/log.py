"""The numbered events of one run: a window in memory that watchers read by cursor. Pure but for waking waiters.

Old events leave the window once storage has them; the writer never waits for a reader.
"""

import asyncio
from typing import Any

from palaver.chat.turn import Body
from palaver.domain import Part, TextPart, ToolCallPart
from palaver.events import (
    PartAdded,
    ReasoningDelta,
    RefusalDelta,
    RunEnded,
    RunEvent,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolExecuted,
)

__all__ = ["EVENT_OVERHEAD", "RunLog", "weigh"]

#: What the objects of one small event cost in memory, in bytes, beside their text.
EVENT_OVERHEAD = 256
_SMALL = 64
_VENDOR = 512


def weigh(body: Body) -> int:
    """Estimate the bytes that *body* takes, from its texts; cheap, and rather too much than too little."""
    if not isinstance(body, tuple):
        if isinstance(body, ToolExecuted):
            return _SMALL + sum(_text(item.result) + _text(item.arguments) for item in body.executions)
        return _SMALL
    size = 0
    for event in body:
        if event.__class__ is TextDelta:
            text = event.text
            size += len(text) if text.isascii() else 4 * len(text)
            if event.vendor:
                size += _VENDOR
        else:
            size += _weigh_other(event)
    return size


def _text(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)


def _weigh_other(event: StreamEvent) -> int:
    match event:
        case ToolCallDelta():
            return _text(event.arguments)
        case ReasoningDelta():
            return _text(event.text) + len(event.signature or "") + len(event.redacted or "")
        case RefusalDelta():
            return _text(event.text)
        case PartAdded():
            return _weigh_part(event.part)
        case _:
            return _SMALL


def _weigh_part(part: Part) -> int:
    if isinstance(part, TextPart):
        return _text(part.text)
    if isinstance(part, ToolCallPart):
        return _text(part.arguments)
    data: Any = getattr(part, "data", None)
    # Bytes are written as base64.
    return len(data) * 4 // 3 if isinstance(data, bytes) else _VENDOR


class RunLog:
    """The newest events of a run, contiguous, at most *window_bytes* of them once they are stored elsewhere."""

    __slots__ = (
        "_base",
        "_bytes",
        "_changed",
        "_events",
        "_limit",
        "_waiting",
        "_weights",
        "ended",
        "flushed_seq",
        "last_seq",
    )

    def __init__(self, window_bytes: int) -> None:
        self._events: list[RunEvent] = []
        self._weights: list[int] = []
        self._base = 1  # number of the first event in the window
        self._bytes = 0
        self._limit = window_bytes
        self._changed = asyncio.Event()
        self._waiting = 0
        self.last_seq = 0
        #: Up to here storage has the events, so they may leave the window.
        self.flushed_seq = 0
        #: The terminal event, once it has come.
        self.ended: RunEvent | None = None

    @property
    def size(self) -> int:
        """Bytes in memory, estimated."""
        return self._bytes

    def append(self, leg: int, body: Body) -> int:
        """Number *body* and wake whoever waits; returns its weight in bytes, without overhead."""
        self.last_seq = seq = self.last_seq + 1
        event = RunEvent(seq, leg, body)
        self._events.append(event)
        weight = weigh(body)
        self._weights.append(weight)
        self._bytes += weight + EVENT_OVERHEAD
        if body.__class__ is RunEnded:
            self.ended = event
        if self._bytes > self._limit:
            self._trim()
        if self._waiting:
            self.wake()
        return weight

    def after(self, seq: int) -> list[RunEvent] | None:
        """List the events above *seq*; ``None`` when some of them have left the window."""
        index = seq + 1 - self._base
        if index < 0:
            return None
        return self._events[index:]

    async def wait(self, seq: int) -> None:
        """Return when there may be something above *seq*, or after ``wake``."""
        if self.last_seq > seq or self.ended is not None:
            return
        self._waiting += 1
        try:
            await self._changed.wait()
        finally:
            self._waiting -= 1

    def wake(self) -> None:
        """Let every waiter look again."""
        self._changed.set()
        self._changed.clear()

    def _trim(self) -> None:
        """Drop stored events from the front, a quarter of the window at a time so that it stays cheap."""
        keep = self._limit * 3 // 4
        stored = self.flushed_seq + 1 - self._base
        count = 0
        for weight in self._weights[:stored]:
            if self._bytes <= keep:
                break
            self._bytes -= weight + EVENT_OVERHEAD
            count += 1
        if count:
            del self._events[:count]
            del self._weights[:count]
            self._base += count
