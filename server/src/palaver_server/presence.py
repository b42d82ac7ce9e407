"""Who is still there: one task looks after every open answer, so that no answer needs a timer of its own.

A stateless handler whose client is gone is cancelled within a second, which closes the upstream, also before
the first byte and without streaming. A reader that takes nothing for too long is cut off. An answer that has
nothing to say yet begins its keep-alives. May touch: transports and handler tasks of this server.
"""

import asyncio
import logging
from typing import Any

from aiohttp import web
from palaver.errors import PalaverError
from palaver.runtime import Jobs

from palaver_server.sse import EventStream

__all__ = ["Presence", "Stay"]

logger = logging.getLogger("palaver.server")

#: Seconds between two rounds: half of what a gone client may cost at most.
_ROUND = 0.4
_NEVER = float("inf")


class Stay:
    """One open answer. *stopped* is why the server itself ended it, ``None`` while it did not."""

    __slots__ = ("_presence", "begin_at", "events", "request", "stateless", "stopped", "task")

    def __init__(self, presence: "Presence", request: web.Request, stateless: bool) -> None:
        self._presence = presence
        self.request = request
        self.task: asyncio.Task[Any] = request.task
        self.stateless = stateless
        self.stopped: PalaverError | None = None
        #: The answer's event stream, begun or not.
        self.events: EventStream | None = None
        #: Loop time at which the headers go out even without content; infinite when they wait for it.
        self.begin_at = _NEVER

    def __enter__(self) -> "Stay":
        self._presence.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._presence.leave(self)


class Presence:
    """The open answers of this server.

    Args:
        patience: Seconds a reader may take nothing before it is cut off.
    """

    def __init__(self, jobs: Jobs, *, patience: float = 30.0) -> None:
        self._jobs = jobs
        self._patience = patience
        self._stays: set[Stay] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._stays)

    @property
    def stateless(self) -> int:
        """How many stateless calls are being answered."""
        return sum(stay.stateless for stay in self._stays)

    def stay(self, request: web.Request, *, stateless: bool) -> Stay:
        """Look after the current task while it answers *request*: ``with presence.stay(...) as stay``."""
        return Stay(self, request, stateless)

    def enter(self, stay: Stay) -> None:
        """Begin to look after *stay*."""
        self._stays.add(stay)
        self._empty.clear()

    def leave(self, stay: Stay) -> None:
        """Look after it no more."""
        self._stays.discard(stay)
        if not self._stays:
            self._empty.set()

    async def emptied(self) -> None:
        """Return when no answer is open."""
        await self._empty.wait()

    async def run(self) -> None:
        """Make rounds until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_ROUND)
            self.round(loop.time())

    def round(self, now: float) -> None:
        """Look at every open answer once."""
        for stay in tuple(self._stays):
            transport = stay.request.transport
            if transport is None or transport.is_closing():
                stay.task.cancel()
                continue
            events = stay.events
            if events is None:
                continue
            if not events.prepared:
                if now >= stay.begin_at:
                    stay.begin_at = _NEVER
                    self._jobs.start(_begin(events, stay.request), "begin-events")
            elif events.stalled_for(now) > self._patience:
                logger.warning("a reader took nothing for %g s and was cut off", self._patience)
                transport.abort()

    def stop_stateless(self, reason: PalaverError) -> None:
        """End every stateless answer now; its handler tells the client *reason*."""
        for stay in tuple(self._stays):
            if stay.stateless and stay.stopped is None:
                stay.stopped = reason
                stay.task.cancel()


async def _begin(events: EventStream, request: web.Request) -> None:
    try:
        await events.begin(request)
        await events.put(b": keep-alive\n\n")
    except ConnectionError:
        # The next round sees that the client is gone.
        return
