"""Storage: a dozen named atomic writes, and reads that always name the owner first.

A write is a value. ``await storage.write(op)`` returns after the commit, with a typed result; there is no
interactive transaction, so a backend can commit what waits together. Every operation carries ids made
by the caller and is idempotent by them: a connection lost at COMMIT means *unknown*, and repeating is safe.
A foreign id looks exactly like an unknown one.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import attrs

from palaver.domain import (
    Approval,
    Page,
    Purpose,
    Run,
    RunStatus,
    ServedBy,
    Session,
    StoredMessage,
    Usage,
)
from palaver.ids import ApprovalId, MessageId, Owner, RunId, SessionId

__all__ = [
    "AlreadyDecided",
    "AlreadyEnded",
    "AppendEvents",
    "Appended",
    "BeginSend",
    "Begun",
    "Busy",
    "ClaimToolCall",
    "Claimed",
    "ClearSession",
    "CreateSession",
    "DecideApproval",
    "Decided",
    "DeleteSession",
    "Done",
    "EventRow",
    "Expired",
    "FinishRun",
    "Finished",
    "Idempotency",
    "Lease",
    "Mismatched",
    "Missing",
    "NotClaimed",
    "RecordUsage",
    "RenameSession",
    "RenewLease",
    "Replayed",
    "SessionMade",
    "SettleToolCall",
    "Storage",
    "ToolCallState",
    "UsageRow",
    "WriteOp",
    "WriteResult",
]


# --- what operations carry -------------------------------------------------------------------------


@attrs.frozen
class Idempotency:
    """The caller's ``Idempotency-Key`` and the hash of the body it came with; kept 24 hours."""

    key: str
    body_hash: str


@attrs.frozen
class Lease:
    """Which server process generates a run, and for how long it may be silent (database's clock)."""

    server_id: str
    seconds: float = 20.0


@attrs.frozen
class EventRow:
    """One flush of a run's log: encoded ``RunEvent``s with numbers *first_seq* to *last_seq*."""

    first_seq: int
    last_seq: int
    data: bytes


@attrs.frozen
class UsageRow:
    """Tokens and cost of one provider call; a row per call id, never a counter."""

    call_id: str
    usage: Usage
    served_by: ServedBy
    purpose: Purpose = Purpose.CHAT
    session_id: SessionId | None = None
    run_id: RunId | None = None
    #: US dollars as a decimal string, ``None`` when no price is known.
    cost: str | None = None


class ToolCallState:
    """Words for the state of a claimed tool call."""

    RUNNING = "running"
    DONE = "done"
    UNKNOWN = "unknown"


# --- operations ------------------------------------------------------------------------------------


@attrs.frozen
class CreateSession:
    """Make a session. Result: ``SessionMade`` (also when it was already there)."""

    owner: Owner
    session_id: SessionId
    title: str
    title_is_default: bool = True


@attrs.frozen
class RenameSession:
    """Set the title; with *only_default* only while no person or model has named it.

    Result: ``Done`` or ``Missing`` (also when *only_default* and it already has a name).
    """

    owner: Owner
    session_id: SessionId
    title: str
    only_default: bool = False


@attrs.frozen
class DeleteSession:
    """Remove the session with its messages, runs, events and approvals. Result: ``Done`` or ``Missing``."""

    owner: Owner
    session_id: SessionId


@attrs.frozen
class ClearSession:
    """Remove the session's messages and keep the session. Result: ``Done``, ``Missing`` or ``Busy``."""

    owner: Owner
    session_id: SessionId


@attrs.frozen
class BeginSend:
    """Store what the user said and start a run, or say why not.

    *messages* get their ``seq`` and ``created_at`` here and hang below *parent_id*, or below the head
    when it is ``None``. With *title* a missing session is made; without it a missing one is ``Missing``.
    Result: ``Begun``, ``Busy`` (a run is active), ``Replayed`` (same idempotency key, same body),
    ``Mismatched`` (same key, other body) or ``Missing``.
    """

    owner: Owner
    session_id: SessionId
    run_id: RunId
    #: Id that the answer will have.
    message_id: MessageId
    messages: tuple[StoredMessage, ...]
    lease: Lease
    title: str | None = None
    parent_id: MessageId | None = None
    model: str | None = None
    idempotency: Idempotency | None = None


@attrs.frozen
class AppendEvents:
    """Append one flush to a run's log. Result: ``Appended``, or ``Missing`` when the run is gone or over."""

    owner: Owner
    session_id: SessionId
    run_id: RunId
    row: EventRow


@attrs.frozen
class FinishRun:
    """Store what the run produced and its final state, with the last flush, in one commit.

    Result: ``Finished``, ``AlreadyEnded`` (by a sweep or another try) or ``Missing`` (session deleted).
    """

    owner: Owner
    session_id: SessionId
    run_id: RunId
    status: RunStatus
    messages: tuple[StoredMessage, ...] = ()
    row: EventRow | None = None
    usage: tuple[UsageRow, ...] = ()
    approvals: tuple[Approval, ...] = ()
    error: Mapping[str, Any] | None = None
    #: Seconds from now until the approvals expire, by the database's clock.
    approval_seconds: float = 86_400.0


@attrs.frozen
class RenewLease:
    """Keep a running run ours. Result: ``Done``, or ``Missing`` when it is over or another's."""

    owner: Owner
    session_id: SessionId
    run_id: RunId
    lease: Lease


@attrs.frozen
class DecideApproval:
    """Decide once, whoever comes first. *approved_ids* empty means denied.

    Result: ``Decided``, ``AlreadyDecided`` (with what was decided), ``Expired`` or ``Missing``.
    """

    owner: Owner
    session_id: SessionId
    approval_id: ApprovalId
    approved_ids: tuple[str, ...]


@attrs.frozen
class ClaimToolCall:
    """Take a call before it runs: pending becomes running, once. Result: ``Claimed`` or ``NotClaimed``."""

    owner: Owner
    session_id: SessionId
    run_id: RunId
    call_id: str


@attrs.frozen
class SettleToolCall:
    """Note that a claimed call has run. Result: ``Done`` or ``Missing``."""

    owner: Owner
    session_id: SessionId
    run_id: RunId
    call_id: str
    result: str
    is_error: bool = False


@attrs.frozen
class RecordUsage:
    """Keep usage of stateless calls. Result: ``Done``."""

    owner: Owner
    rows: tuple[UsageRow, ...]
    session_id: SessionId | None = None


WriteOp: TypeAlias = (
    CreateSession
    | RenameSession
    | DeleteSession
    | ClearSession
    | BeginSend
    | AppendEvents
    | FinishRun
    | RenewLease
    | DecideApproval
    | ClaimToolCall
    | SettleToolCall
    | RecordUsage
)


# --- results ---------------------------------------------------------------------------------------


@attrs.frozen
class Done:
    """It is committed."""


@attrs.frozen
class Missing:
    """There is nothing of this owner by that id (or no longer in the state the operation needs)."""


@attrs.frozen
class SessionMade:
    """The session as stored; *created* is false when it was there already."""

    session: Session
    created: bool


@attrs.frozen
class Begun:
    """The run is ours and the user's words are safe. *messages* are as stored."""

    run: Run
    session: Session
    messages: tuple[StoredMessage, ...]
    created_session: bool


@attrs.frozen
class Busy:
    """Another run is active in this session."""

    run_id: RunId


@attrs.frozen
class Replayed:
    """This key was used before with the same body: watch that run."""

    run: Run


@attrs.frozen
class Mismatched:
    """This key was used before with another body."""

    run_id: RunId


@attrs.frozen
class Appended:
    """The log reaches *last_seq*."""

    last_seq: int


@attrs.frozen
class Finished:
    """The run is over and its messages are stored, here as stored."""

    messages: tuple[StoredMessage, ...]
    session: Session


@attrs.frozen
class AlreadyEnded:
    """Somebody ended the run before."""

    status: RunStatus


@attrs.frozen
class Decided:
    """This decision counts."""

    approval: Approval


@attrs.frozen
class AlreadyDecided:
    """An earlier decision counts."""

    approval: Approval


@attrs.frozen
class Expired:
    """The time to decide is over."""

    approval: Approval


@attrs.frozen
class Claimed:
    """Run it: nobody else will."""


@attrs.frozen
class NotClaimed:
    """Do not run it. *state* is running (perhaps on a server that died), done or unknown."""

    state: str
    result: str | None = None
    is_error: bool = False


WriteResult: TypeAlias = (
    Done
    | Missing
    | SessionMade
    | Begun
    | Busy
    | Replayed
    | Mismatched
    | Appended
    | Finished
    | AlreadyEnded
    | Decided
    | AlreadyDecided
    | Expired
    | Claimed
    | NotClaimed
)


# --- the contract ----------------------------------------------------------------------------------


class Storage(Protocol):
    """Conversations and runs. Registry, keys and usage reports are protocols of their own.

    Every method raises ``StorageUnavailable`` when the database cannot be reached or its queue is full.
    """

    async def write(self, op: WriteOp) -> Any:
        """Commit *op* and return its result (the classes above; each operation names its own)."""
        ...

    async def get_session(self, owner: Owner, session_id: SessionId) -> Session | None:
        """Read one session."""
        ...

    async def list_sessions(
        self,
        owner: Owner,
        *,
        limit: int,
        offset: int = 0,
        after: SessionId | None = None,
        count: bool = False,
    ) -> Page[Session]:
        """List sessions, newest ``updated_at`` first; after the session *after*, or skipping *offset*."""
        ...

    async def list_messages(
        self,
        owner: Owner,
        session_id: SessionId,
        *,
        limit: int,
        offset: int = 0,
        after_seq: int = 0,
    ) -> Page[StoredMessage] | None:
        """List the active branch, oldest first, with its total; ``None`` for an unknown session."""
        ...

    async def history(self, owner: Owner, session_id: SessionId, *, limit: int) -> tuple[StoredMessage, ...]:
        """Read the newest *limit* messages of the active branch, oldest of them first."""
        ...

    async def get_run(self, owner: Owner, run_id: RunId) -> Run | None:
        """Read one run."""
        ...

    async def active_run(self, owner: Owner, session_id: SessionId) -> Run | None:
        """Read the run that is generating in this session, if any."""
        ...

    async def read_events(
        self, owner: Owner, run_id: RunId, *, after_seq: int = 0, limit: int = 64
    ) -> tuple[EventRow, ...]:
        """Read log rows that hold numbers above *after_seq*, in order, at most *limit* rows."""
        ...

    async def get_approval(self, owner: Owner, approval_id: ApprovalId) -> Approval | None:
        """Read one approval."""
        ...

    async def list_approvals(self, owner: Owner, *, session_id: SessionId | None = None) -> tuple[Approval, ...]:
        """List the pending approvals, oldest first."""
        ...

    async def expired_runs(self, *, limit: int = 100) -> tuple[Run, ...]:
        """List running runs whose lease is over, of every owner: for the sweep only."""
        ...

    async def check(self, *, write: bool = False) -> None:
        """Return when the database answers (and, with *write*, accepts a write); else raise."""
        ...
