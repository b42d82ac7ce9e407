"""A storage in plain dicts with the semantics of the real ones, for tests and demos; nothing outlives the process.

May touch: nothing but its own memory and the clock it was given.
"""

import asyncio
from typing import Any, TypeVar

from palaver.clock import Clock
from palaver.domain import Approval, ApprovalState, Page, Run, RunStatus, Session, StoredMessage
from palaver.errors import PalaverError
from palaver.ids import ApprovalId, Owner, RunId, SessionId
from palaver.storage import EventRow, UsageRow, WriteOp
from palaver.testing.memory_tables import clean
from palaver.testing.memory_writes import MemoryWrites

__all__ = ["MemoryStorage"]

T = TypeVar("T")


class MemoryStorage(MemoryWrites):
    """A ``palaver.Storage`` in memory.

    Args:
        clock: Stands for the database's clock: times, leases and expiry follow it.

    Set *failing* to an error and every call raises it, as if the database were down.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.failing: PalaverError | None = None
        #: Every operation that came, failed ones too, for tests to look at.
        self.writes: list[WriteOp] = []

    def usage_rows(self, owner: Owner) -> tuple[UsageRow, ...]:
        """List the usage kept for *owner*, oldest first."""
        return tuple(row for (of, _), row in self._usage.items() if of == owner)

    async def write(self, op: WriteOp) -> Any:
        """Apply *op* as a whole and return its result."""
        self.writes.append(op)
        await self._answer()
        return self._apply(clean(op))

    async def get_session(self, owner: Owner, session_id: SessionId) -> Session | None:
        """Read one session."""
        await self._answer()
        return self._sessions.get((owner, session_id))

    async def list_sessions(
        self,
        owner: Owner,
        *,
        limit: int,
        offset: int = 0,
        after: SessionId | None = None,
        count: bool = False,
    ) -> Page[Session]:
        """List sessions, newest ``updated_at`` first; an unknown *after* has nothing after it."""
        await self._answer()
        sessions = sorted(
            (session for (of, _), session in self._sessions.items() if of == owner), key=lambda session: session.id
        )
        sessions.sort(key=lambda session: session.updated_at, reverse=True)
        total = len(sessions) if count else None
        if after is not None:
            ids = [session.id for session in sessions]
            sessions = sessions[ids.index(after) + 1 :] if after in ids else []
        return _page(sessions[offset:], limit, total)

    async def list_messages(
        self,
        owner: Owner,
        session_id: SessionId,
        *,
        limit: int,
        offset: int = 0,
        after_seq: int = 0,
    ) -> Page[StoredMessage] | None:
        """List the active branch, oldest first, with its total."""
        await self._answer()
        branch = self._branch(owner, session_id)
        if branch is None:
            return None
        return _page([message for message in branch if message.seq > after_seq][offset:], limit, len(branch))

    async def history(self, owner: Owner, session_id: SessionId, *, limit: int) -> tuple[StoredMessage, ...]:
        """Read the newest *limit* messages of the active branch, oldest of them first."""
        await self._answer()
        branch = self._branch(owner, session_id) or []
        return tuple(branch[max(0, len(branch) - limit) :])

    async def get_run(self, owner: Owner, run_id: RunId) -> Run | None:
        """Read one run."""
        await self._answer()
        row = self._runs.get((owner, run_id))
        return None if row is None else row.run

    async def active_run(self, owner: Owner, session_id: SessionId) -> Run | None:
        """Read the run that is generating in this session: running, and its lease not over."""
        await self._answer()
        row = self._active(owner, session_id)
        return row.run if row is not None and row.lease_until > self._clock.now() else None

    async def read_events(
        self, owner: Owner, run_id: RunId, *, after_seq: int = 0, limit: int = 64
    ) -> tuple[EventRow, ...]:
        """Read log rows that hold numbers above *after_seq*."""
        await self._answer()
        log = sorted(self._events.get((owner, run_id), {}).items())
        return tuple(row for _, row in log if row.last_seq > after_seq)[:limit]

    async def get_approval(self, owner: Owner, approval_id: ApprovalId) -> Approval | None:
        """Read one approval."""
        await self._answer()
        return self._approvals.get((owner, approval_id))

    async def list_approvals(self, owner: Owner, *, session_id: SessionId | None = None) -> tuple[Approval, ...]:
        """List the approvals that can still be decided, oldest first."""
        await self._answer()
        now = self._clock.now()
        return tuple(
            approval
            for (of, _), approval in self._approvals.items()
            if of == owner
            and session_id in (None, approval.session_id)
            and approval.state is ApprovalState.PENDING
            and approval.expires_at is not None
            and approval.expires_at > now
        )

    async def expired_runs(self, *, limit: int = 100) -> tuple[Run, ...]:
        """List runs whose server fell silent and whose events no message holds yet."""
        await self._answer()
        now = self._clock.now()
        rows = sorted(
            (
                row
                for row in self._runs.values()
                if row.needs_fold or (row.run.status is RunStatus.RUNNING and row.lease_until <= now)
            ),
            key=lambda row: row.lease_until,
        )
        return tuple(row.run for row in rows[:limit])

    async def check(self, *, write: bool = False) -> None:
        """Return, unless *failing* is set."""
        await self._answer()

    async def _answer(self) -> None:
        # A real storage always gives others a turn; a fake that does not would hide races.
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing


def _page(items: list[T], limit: int, total: int | None) -> Page[T]:
    return Page(tuple(items[:limit]), has_more=len(items) > limit, total=total)
