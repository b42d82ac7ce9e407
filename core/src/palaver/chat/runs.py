"""The runs of this process: each send is generated in a task of its own, watchers come and leave as they like.

One job beats for all of them: flushes by age, renews leases. May touch storage and the clock.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from palaver.chat.active import ActiveRun, MakeTurn
from palaver.chat.host import Host
from palaver.codec import Codec
from palaver.contracts.storage import Lease
from palaver.domain import Run, RunStatus
from palaver.ids import Owner, RunId, SessionId

__all__ = ["Runs"]

logger = logging.getLogger("palaver.chat")

#: Bytes of finished runs kept in memory; they are in storage too, so this only saves reading them again.
_FINISHED_BYTES = 33_554_432
#: Bytes of runs kept until storage takes them.
_UNSTORED_BYTES = 67_108_864


class Runs:
    """The runs of this process, active and lately finished."""

    def __init__(self, host: Host, codec: Codec) -> None:
        self._host = host
        self._codec = codec
        self._active: dict[RunId, ActiveRun] = {}
        self._by_session: dict[tuple[Owner, SessionId], ActiveRun] = {}
        self._finished: OrderedDict[RunId, ActiveRun] = OrderedDict()
        self._finished_bytes = 0
        self._unstored: dict[RunId, ActiveRun] = {}
        self._beat: asyncio.Task[Any] | None = None

    def __len__(self) -> int:
        return len(self._active)

    def __contains__(self, run_id: object) -> bool:
        """Tell whether this process still answers for the run: it generates it, or has it to store."""
        return run_id in self._active or run_id in self._unstored

    def start(
        self, run: Run, legs: Sequence[MakeTurn], *, on_end: Callable[[ActiveRun], None] | None = None
    ) -> ActiveRun:
        """Generate *run*, which storage has begun; *on_end* is called once it is over."""

        def ended(active: ActiveRun) -> None:
            self._retire(active)
            if on_end is not None:
                on_end(active)

        active = ActiveRun(self._host, self._codec, run, legs, ended)
        self._active[run.id] = active
        self._by_session[run.owner, run.session_id] = active
        active.start()
        if self._beat is None or self._beat.done():
            self._beat = self._host.jobs.start(self._keep_beating(), "runs")
        return active

    def find(self, owner: Owner, run_id: RunId) -> ActiveRun | None:
        """Find *owner*'s run among those in memory."""
        active = self._active.get(run_id)
        if active is None:
            self._forget_old()
            active = self._finished.get(run_id)
        return active if active is not None and active.run.owner == owner else None

    def in_session(self, owner: Owner, session_id: SessionId) -> ActiveRun | None:
        """Find the run that is generating in the session."""
        return self._by_session.get((owner, session_id))

    def forget(self, owner: Owner, session_id: SessionId) -> None:
        """Drop the session's finished runs from memory: what was deleted must not be told by a stream again."""
        for run_id, active in list(self._finished.items()):
            if active.run.owner == owner and active.run.session_id == session_id:
                del self._finished[run_id]
                self._finished_bytes -= active.log.size

    async def drain(self, seconds: float, *, grace: float = 10.0) -> None:
        """Let runs end by themselves for *seconds*, then interrupt the rest and give them *grace* to be stored."""
        if seconds > 0:
            await self._wait_all(seconds)
        for active in list(self._active.values()):
            active.stop(RunStatus.INTERRUPTED)
        await self._wait_all(grace)

    async def _wait_all(self, seconds: float) -> None:
        """Wait until nothing runs, at most *seconds* of the clock."""
        pending = {active.task for active in self._active.values() if active.task is not None}
        if not pending:
            return
        timer = self._host.jobs.start(self._host.clock.sleep(seconds), "drain")
        try:
            while pending and not timer.done():
                done, _ = await asyncio.wait({timer, *pending}, return_when=asyncio.FIRST_COMPLETED)
                pending -= done
        finally:
            timer.cancel()

    async def store_late(self) -> None:
        """Try again to store the runs whose final write has failed, oldest first.

        Raises:
            StorageError: storage still does not take them.
        """
        for run_id, active in list(self._unstored.items()):
            await active.store_late()
            del self._unstored[run_id]
            # From now on storage tells how it ended.
            if self._finished.pop(run_id, None) is not None:
                self._finished_bytes -= active.log.size

    def _retire(self, active: ActiveRun) -> None:
        run = active.run
        self._active.pop(run.id, None)
        if self._by_session.get((run.owner, run.session_id)) is active:
            del self._by_session[run.owner, run.session_id]
        self._finished[run.id] = active
        self._finished_bytes += active.log.size
        self._forget_old()
        if active.unstored:
            self._unstored[run.id] = active
            while sum(waiting.log.size for waiting in self._unstored.values()) > _UNSTORED_BYTES:
                lost = self._unstored.pop(next(iter(self._unstored)))
                logger.error("run %s is given up: too much waits for storage", lost.run.id)

    def _forget_old(self) -> None:
        oldest = self._host.clock.monotonic() - self._host.config.chat.stream_retention
        finished = self._finished
        while finished:
            run_id, active = next(iter(finished.items()))
            if active.ended_at > oldest and self._finished_bytes <= _FINISHED_BYTES:
                break
            del finished[run_id]
            self._finished_bytes -= active.log.size

    async def _keep_beating(self) -> None:
        """Flush by age and renew leases for as long as anything runs."""
        host = self._host
        pause = host.config.chat.flush_seconds / 2
        lease = Lease(host.server_id, host.config.chat.lease_seconds)
        while self._active:
            await host.clock.sleep(pause)
            due = host.clock.monotonic() - lease.seconds / 3
            for active in list(self._active.values()):
                active.journal.tick()
                if active.renewed <= due:
                    host.jobs.start(active.renew(lease), f"lease:{active.run.id}")
        self._beat = None
