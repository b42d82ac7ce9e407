"""Writes a run's events to storage while it streams, without ever holding the stream up.

A row whose write was begun keeps its bounds until storage has answered: a connection lost at COMMIT means
*unknown*, and only the very same row may be sent again. May touch storage and the clock.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import attrs

from palaver.chat.host import Host
from palaver.chat.log import RunLog, weigh
from palaver.codec import Codec
from palaver.contracts.storage import AppendEvents, EventRow, FinishRun, Missing
from palaver.domain import Run
from palaver.errors import StorageError
from palaver.events import RunEvent

__all__ = ["FINISH_ATTEMPTS", "Journal", "read_row", "write_row"]

logger = logging.getLogger("palaver.chat")

#: Tries of the final write; with the pauses between them it outlasts a database that is away for 7 s.
FINISH_ATTEMPTS = 6
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 4.0
#: Estimated bytes of one row, about.
_ROW_BYTES = 262_144
#: Unstored bytes at which the stream waits for a storage that works but is slower than the model.
_BEHIND_BYTES = 1_048_576


def read_row(codec: Codec, row: EventRow) -> list[RunEvent]:
    """Decode the events of one row."""
    return codec.loads(row.data, list[RunEvent], path=f"events {row.first_seq}-{row.last_seq}")


def write_row(codec: Codec, events: list[RunEvent]) -> EventRow:
    """Encode *events*, at least one, as a row."""
    return EventRow(events[0].seq, events[-1].seq, codec.dumps(events, list[RunEvent]))


class Journal:
    """The flushes of one run.

    Args:
        on_lost: Called when storage says that the run is over or gone.
        on_full: Called when the unstored events have reached their cap.
    """

    def __init__(
        self,
        host: Host,
        codec: Codec,
        run: Run,
        log: RunLog,
        *,
        on_lost: Callable[[], None],
        on_full: Callable[[], None],
    ) -> None:
        self._host = host
        self._codec = codec
        self._run = run
        self._log = log
        self._on_lost = on_lost
        self._on_full = on_full
        chat = host.config.chat
        self._flush_bytes = chat.flush_bytes
        self._cap = chat.unflushed_bytes
        self._behind = min(_BEHIND_BYTES, chat.unflushed_bytes // 2)
        self._taken_seq = 0  # the last event that is in a row
        self._row: tuple[EventRow, int] | None = None  # begun and not answered, with its weight
        self._task: asyncio.Task[Any] | None = None
        self._pausing = False
        self._aged = False
        self._failing = False
        self._room: asyncio.Future[None] | None = None
        #: Bytes that storage does not have yet.
        self.unsaved = 0

    def note(self, weight: int) -> "asyncio.Future[None] | None":
        """Count an event of *weight* bytes just appended to the log; begins a flush when enough has gathered.

        Returns something to await when a working storage has fallen far behind.
        """
        self.unsaved = unsaved = self.unsaved + weight
        if unsaved < self._flush_bytes:
            return None
        if self._task is None:
            self._start()
        if unsaved < self._behind:
            return None
        if self._failing:
            # A storage that works is waited for, however much one event brings.
            if unsaved >= self._cap:
                self._on_full()
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def tick(self) -> None:
        """Flush what an earlier tick already found waiting; called twice in a flush period."""
        if self._log.last_seq == self._taken_seq:
            self._aged = False
        elif not self._aged:
            self._aged = True
        elif self._task is None:
            self._start()

    async def finish(self, op: FinishRun, last: RunEvent, *, attempts: int = FINISH_ATTEMPTS) -> tuple[Any, int]:
        """Commit *op* with what is left of the log and *last*; returns storage's answer and the number of tries.

        May be called again after a failure.

        Raises:
            StorageError: storage did not take it, although asked several times.
        """
        if self._task is not None:
            if self._pausing:
                self._task.cancel()
            await asyncio.wait({self._task})
        while self._row is not None or self.unsaved > _ROW_BYTES:
            if self._row is None and (row := self._cut()) is not None:
                self._row = row
            if self._row is None:
                break
            answer, _ = await self._insist(self._append(self._row[0]), attempts)
            if isinstance(answer, Missing):
                # Over or gone: the final write tells which.
                break
            self._saved()
        events = [event for event in self._log.after(self._taken_seq) or () if event.seq < last.seq]
        op = attrs.evolve(op, row=write_row(self._codec, [*events, last]))
        return await self._insist(op, attempts)

    # --- flushing ----------------------------------------------------------------------------------

    def _start(self) -> None:
        self._task = self._host.jobs.start(self._flush(), f"flush:{self._run.id}")

    async def _flush(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            if self._row is None:
                self._row = self._cut()
                if self._row is None:
                    break
            try:
                answer = await self._host.storage.write(self._append(self._row[0]))
            except StorageError as error:
                if not self._failing:
                    logger.warning("run %s: events wait for storage: %s", self._run.id, error)
                self._failing = True
                self._release()
                self._pausing = True
                await self._host.clock.sleep(pause)
                self._pausing = False
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._failing = False
            pause = _FIRST_PAUSE
            if isinstance(answer, Missing):
                self._on_lost()
                return
            self._saved()
            if self.unsaved < self._flush_bytes:
                break
        self._task = None

    def _cut(self) -> tuple[EventRow, int] | None:
        """Take the next row's worth of events; nothing may be in flight."""
        events = self._log.after(self._taken_seq)
        if not events:
            return None
        weight = self.unsaved
        if weight > _ROW_BYTES:
            weight = count = 0
            while count < len(events) and weight < _ROW_BYTES:
                weight += weigh(events[count].body)
                count += 1
            del events[count:]
        row = write_row(self._codec, events)
        self._taken_seq = row.last_seq
        self._aged = False
        return row, weight

    def _append(self, row: EventRow) -> AppendEvents:
        return AppendEvents(self._run.owner, self._run.session_id, self._run.id, row)

    def _saved(self) -> None:
        assert self._row is not None
        row, weight = self._row
        self._row = None
        self._log.flushed_seq = row.last_seq
        self.unsaved -= weight
        if self.unsaved < self._behind:
            self._release()

    def _release(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def _insist(self, op: AppendEvents | FinishRun, attempts: int) -> tuple[Any, int]:
        """Write *op*, several times if need be; returns the answer and the number of tries."""
        pause = _FIRST_PAUSE
        for tries in range(1, attempts + 1):
            try:
                return await self._host.storage.write(op), tries
            except StorageError as error:
                if not error.retryable or tries == attempts:
                    raise
                logger.warning("run %s: %s failed, trying again: %s", self._run.id, type(op).__name__, error)
            await self._host.clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("unreachable")
