"""Deadlines of many waits with one timer: a timer for each would cost every call more than it protects.

A wait says when it wants to be looked at; one timer serves the earliest of them. Fires late by at most a
twentieth of a second, never early.
"""

import asyncio
from types import TracebackType
from typing import Any, Protocol

__all__ = ["Limit", "Watch", "Watched"]

#: Seconds between two rounds at the most, and at the least.
_LONGEST = 1.0
_SHORTEST = 0.05


class Watched(Protocol):
    """Something with a deadline."""

    def look(self, now: float) -> float:
        """Act if the deadline has passed; tell the loop time of the next look."""
        ...


class Watch:
    """Looks after waits of one event loop, from ``add`` to ``remove``; make it inside that loop."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        #: The loop of everything that is watched; asking for the running one is a system call before Python 3.12.
        self.loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def add(self, watched: Watched, at: float) -> None:
        """Look after *watched*, first at loop time *at*."""
        self._watched.add(watched)
        if self._timer is None:
            self._set(min(at, self.loop.time() + _LONGEST))
        elif at < self._next:
            self._timer.cancel()
            self._set(at)

    def remove(self, watched: Watched) -> None:
        """Look after it no more. Safe to call twice."""
        self._watched.discard(watched)

    def limit(self, seconds: float) -> "Limit":
        """Give a context manager that ends its body after *seconds* with ``TimeoutError``."""
        return Limit(self, seconds)

    def close(self) -> None:
        """Stop the timer; whoever is still watched has no deadline any more."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        self._next = at
        self._timer = self.loop.call_at(at, self._round)

    def _round(self) -> None:
        self._timer = None
        now = self.loop.time()
        earliest = now + _LONGEST
        for watched in tuple(self._watched):
            earliest = min(earliest, watched.look(now))
        if self._watched:
            self._set(max(earliest, now + _SHORTEST))


class Limit:
    """Like ``asyncio.timeout``, on a shared timer: cancels the task inside, and outside it is a ``TimeoutError``."""

    __slots__ = ("_at", "_cancelling", "_seconds", "_struck", "_task", "_watch")

    def __init__(self, watch: Watch, seconds: float) -> None:
        self._watch = watch
        self._seconds = seconds
        self._at = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._struck = False

    def __enter__(self) -> "Limit":
        loop = self._watch.loop
        self._task = asyncio.current_task(loop)
        self._at = loop.time() + self._seconds
        self._watch.add(self, self._at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.remove(self)
        if self._struck and self._task is not None:
            ours = self._task.uncancel() <= self._cancelling
            if ours and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise TimeoutError from error

    def look(self, now: float) -> float:
        """Cancel the task when its time is over."""
        if now < self._at:
            return self._at
        if not self._struck and self._task is not None:
            self._struck = True
            self._cancelling = self._task.cancelling()
            self._task.cancel()
        return float("inf")
