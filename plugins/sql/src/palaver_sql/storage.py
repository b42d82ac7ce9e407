"""A ``palaver.Storage`` over any database that runs our programs. May touch: the database, through its driver."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from palaver import Approval, Page, Run, Session, StoredMessage
from palaver.codec import Codec
from palaver.storage import ApprovalId, EventRow, Owner, RunId, SessionId, WriteOp

from palaver_sql import approvals, runs, sessions
from palaver_sql.operations import place, program, weight
from palaver_sql.program import Program
from palaver_sql.rows import RowCodec
from palaver_sql.writer import GroupWriter

__all__ = ["Driver", "SqlStorage", "open_storage"]

T = TypeVar("T")


class Driver(Protocol):
    """A database as the storage sees it. Raises only ``StorageError`` and its kinds."""

    async def commit(self, programs: Sequence[Program[Any]]) -> Sequence[Any]:
        """Run *programs* in one transaction and give their results, or raise and leave nothing."""
        ...

    async def read(self, program: Program[T]) -> T:
        """Run *program*, which only reads, on one state of the database."""
        ...

    async def check(self, *, write: bool) -> None:
        """Return when the database answers and, with *write*, accepts a write."""
        ...


@asynccontextmanager
async def open_storage(driver: Driver, codec: Codec, *, queue_units: int = 4096) -> AsyncIterator["SqlStorage"]:
    """Open a storage over *driver*; leaving commits what waits."""
    rows = RowCodec(codec)

    async def commit(ops: Sequence[WriteOp]) -> Sequence[Any]:
        return await driver.commit([program(op, rows) for op in ops])

    async with GroupWriter(commit, place=place, weight=weight, queue_units=queue_units) as writer:
        yield SqlStorage(driver, writer, rows)


class SqlStorage:
    """Conversations and runs in a database; see ``palaver.Storage`` for what each method promises."""

    def __init__(self, driver: Driver, writer: GroupWriter[WriteOp], codec: RowCodec) -> None:
        self._driver = driver
        self._writer = writer
        self._codec = codec

    async def write(self, op: WriteOp) -> Any:
        """Commit *op*, together with what else waits, and return its result."""
        return await self._writer.write(op)

    async def get_session(self, owner: Owner, session_id: SessionId) -> Session | None:
        """Read one session."""
        return await self._driver.read(sessions.get_session(owner, session_id))

    async def list_sessions(
        self,
        owner: Owner,
        *,
        limit: int,
        offset: int = 0,
        after: SessionId | None = None,
        count: bool = False,
    ) -> Page[Session]:
        """List sessions, newest ``updated_at`` first."""
        return await self._driver.read(sessions.list_sessions(owner, limit, offset, after, count))

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
        return await self._driver.read(sessions.list_messages(owner, session_id, limit, offset, after_seq, self._codec))

    async def history(self, owner: Owner, session_id: SessionId, *, limit: int) -> tuple[StoredMessage, ...]:
        """Read the newest *limit* messages of the active branch, oldest of them first."""
        return await self._driver.read(sessions.history(owner, session_id, limit, self._codec))

    async def get_run(self, owner: Owner, run_id: RunId) -> Run | None:
        """Read one run."""
        return await self._driver.read(runs.get_run(owner, run_id, self._codec))

    async def active_run(self, owner: Owner, session_id: SessionId) -> Run | None:
        """Read the run that is generating in this session."""
        return await self._driver.read(runs.active_run(owner, session_id, self._codec))

    async def read_events(
        self, owner: Owner, run_id: RunId, *, after_seq: int = 0, limit: int = 64
    ) -> tuple[EventRow, ...]:
        """Read log rows that hold numbers above *after_seq*."""
        return await self._driver.read(runs.read_events(owner, run_id, after_seq, limit))

    async def get_approval(self, owner: Owner, approval_id: ApprovalId) -> Approval | None:
        """Read one approval."""
        return await self._driver.read(approvals.get_approval(owner, approval_id, self._codec))

    async def list_approvals(self, owner: Owner, *, session_id: SessionId | None = None) -> tuple[Approval, ...]:
        """List the approvals that can still be decided, oldest first."""
        return await self._driver.read(approvals.list_approvals(owner, session_id, self._codec))

    async def expired_runs(self, *, limit: int = 100) -> tuple[Run, ...]:
        """List runs whose server fell silent and whose events no message holds yet."""
        return await self._driver.read(runs.expired_runs(limit, self._codec))

    async def check(self, *, write: bool = False) -> None:
        """Return when the database answers and, with *write*, accepts a write."""
        await self._driver.check(write=write)
