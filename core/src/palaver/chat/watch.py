"""Reading a run's events by cursor: from the window in memory while they are there, else from storage.

A watcher owns no task and holds nothing up; leaving changes nothing. May touch storage and the clock.
"""

from collections.abc import Callable

from palaver.chat.host import Host
from palaver.chat.journal import read_row
from palaver.chat.log import RunLog
from palaver.codec import Codec
from palaver.domain import Run, RunStatus
from palaver.events import RunEnded, RunEvent
from palaver.ids import Owner, RunId

__all__ = ["Watcher"]

#: Seconds between two looks at a run that another process generates.
_POLL = 0.5


class Watcher:
    """Iterates over everything new since the last read, a tuple at a time; ends after ``RunEnded``.

    Args:
        find_log: Gives the run's log while this process has it.
        after_seq: The last number that was seen.
    """

    def __init__(
        self,
        host: Host,
        codec: Codec,
        owner: Owner,
        run_id: RunId,
        *,
        find_log: Callable[[], RunLog | None],
        after_seq: int = 0,
    ) -> None:
        self._host = host
        self._codec = codec
        self._owner = owner
        self._run_id = run_id
        self._find_log = find_log
        self._log = find_log()
        self._cursor = after_seq
        self._over = False

    def __aiter__(self) -> "Watcher":
        return self

    async def __anext__(self) -> tuple[RunEvent, ...]:
        while not self._over:
            log = self._log
            if log is None:
                events = await self._elsewhere()
            else:
                found = log.after(self._cursor)
                if found:
                    return self._passed(tuple(found))
                if found is None:
                    # Too slow for the window: storage has what has left it.
                    events = await self._stored()
                    if not events:
                        # It is in neither: the log was trimmed by a run that has been deleted since.
                        self._cursor = log.last_seq - 1
                elif log.ended is not None:
                    events = self._beyond(log)
                else:
                    await log.wait(self._cursor)
                    continue
            if events:
                return self._passed(events)
        raise StopAsyncIteration

    def ready(self) -> tuple[RunEvent, ...]:
        """Give what can be had without waiting; may be empty."""
        if self._over or self._log is None:
            return ()
        found = self._log.after(self._cursor)
        return self._passed(tuple(found)) if found else ()

    def close(self) -> None:
        """Stop watching; a reader that waits is let go."""
        self._over = True
        if self._log is not None:
            self._log.wake()

    def _passed(self, events: tuple[RunEvent, ...]) -> tuple[RunEvent, ...]:
        last = events[-1]
        self._cursor = last.seq
        if last.body.__class__ is RunEnded:
            self._over = True
        return events

    def _beyond(self, log: RunLog) -> tuple[RunEvent, ...]:
        """Give the end to a cursor past it; one that stands on it has had everything."""
        assert log.ended is not None
        if self._cursor > log.last_seq:
            return (RunEvent(self._cursor + 1, 0, log.ended.body),)
        self._over = True
        return ()

    async def _stored(self) -> tuple[RunEvent, ...]:
        rows = await self._host.storage.read_events(self._owner, self._run_id, after_seq=self._cursor)
        cursor = self._cursor
        return tuple(event for row in rows for event in read_row(self._codec, row) if event.seq > cursor)

    async def _elsewhere(self) -> tuple[RunEvent, ...]:
        """Follow a run that this process does not have: it is over, or another process generates it."""
        events = await self._stored()
        if events:
            return events
        run = await self._host.storage.get_run(self._owner, self._run_id)
        if run is None:
            # Deleted while being watched.
            return (RunEvent(self._cursor + 1, 0, RunEnded(RunStatus.CANCELLED, None, False)),)
        if run.status is RunStatus.RUNNING:
            self._log = self._find_log()
            if self._log is None:
                await self._host.clock.sleep(_POLL)
            return ()
        # Rows may have come between the two reads.
        return await self._stored() or await self._end_of(run)

    async def _end_of(self, run: Run) -> tuple[RunEvent, ...]:
        """Give the end of a run whose log holds nothing above the cursor."""
        rows = await self._host.storage.read_events(self._owner, self._run_id, after_seq=run.last_seq - 1)
        last = read_row(self._codec, rows[-1])[-1] if rows else None
        if last is not None and last.seq == self._cursor and last.body.__class__ is RunEnded:
            # The cursor stands on it: this client has had everything.
            self._over = True
            return ()
        return (RunEvent(max(self._cursor, run.last_seq) + 1, 0, RunEnded(run.status, run.error)),)
