"""Usage of stateless calls, on its way to storage: gathered for a moment, written together, never awaited.

A call's answer must not wait for bookkeeping, and a thousand calls a second must not be a thousand writes.
What cannot be written is dropped beyond a bound, counted and warned about.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from palaver.contracts.storage import RecordUsage, UsageRow
from palaver.domain import Purpose, ServedBy, Usage
from palaver.errors import PalaverError
from palaver.ids import Owner

if TYPE_CHECKING:
    from palaver.runtime import Runtime

__all__ = ["UsageLedger"]

logger = logging.getLogger("palaver.usage")

#: Seconds for which rows are gathered.
_GATHER = 0.5
#: Rows of one write, and rows that may wait in all.
_TOGETHER = 500
_WAITING = 20_000


class UsageLedger:
    """Takes note of usage; ``flush`` writes what is still here."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._rows: dict[Owner, list[UsageRow]] = {}
        self._waiting = 0
        #: What makes our ids differ from those of every other process; the number does the rest.
        self._source = runtime.new_id()
        self._prefix = ""
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        #: Rows that were given up.
        self.dropped = 0

    def note(
        self, owner: Owner, usage: Usage | None, served_by: ServedBy | None, purpose: Purpose = Purpose.CHAT
    ) -> None:
        """Keep the usage of one call; nothing when the vendor said nothing."""
        if usage is None or served_by is None:
            return
        if self._waiting >= _WAITING:
            self._drop(1)
            return
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER, self._start)
            # Ids that begin with the time lie together in the index: a write touches few of its pages.
            self._prefix = f"call_{int(self._runtime.clock.now().timestamp()):x}_{self._source}_"
        self._number += 1
        row = UsageRow(f"{self._prefix}{self._number}", usage, served_by, purpose)
        self._rows.setdefault(owner, []).append(row)
        self._waiting += 1

    def _start(self) -> None:
        self._timer = None
        self._writing = self._runtime.jobs.start(self._write(), "record-usage")

    async def flush(self) -> None:
        """Write everything that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await self._write()

    async def _write(self) -> None:
        try:
            while self._rows:
                waiting, self._rows = self._rows, {}
                for owner, rows in waiting.items():
                    for start in range(0, len(rows), _TOGETHER):
                        await self._record(owner, rows[start : start + _TOGETHER])
        finally:
            self._writing = None

    async def _record(self, owner: Owner, rows: list[UsageRow]) -> None:
        try:
            await self._runtime.storage.write(RecordUsage(owner, tuple(rows)))
        except PalaverError as error:
            self._drop(len(rows), error)
        finally:
            self._waiting -= len(rows)

    def _drop(self, number: int, error: PalaverError | None = None) -> None:
        self.dropped += number
        if error is not None or self.dropped == 1 or self.dropped % 1000 == 0:
            logger.warning("usage of %d calls was not recorded (%s)", self.dropped, error or "too many are waiting")
