"""The tables of the storage in memory, and what its operations share. May touch: its own memory and the clock."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from palaver.clock import Clock, SystemClock
from palaver.domain import Approval, Run, RunStatus, Session, StoredMessage
from palaver.errors import StorageError
from palaver.ids import ApprovalId, MessageId, Owner, RunId, SessionId
from palaver.storage import Busy, EventRow, NotClaimed, UsageRow

__all__ = ["MemoryTables", "RunRow", "clean"]


@attrs.define
class RunRow:
    """A run, and what only the storage knows of it."""

    run: Run
    server_id: str
    lease_until: datetime
    key: str | None = None
    body_hash: str = ""
    #: Interrupted by the next send; its events still wait to be folded into a message.
    needs_fold: bool = False


class MemoryTables:
    """Everything a storage keeps, keyed by owner and id."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._sessions: dict[tuple[Owner, SessionId], Session] = {}
        self._messages: dict[tuple[Owner, SessionId], list[StoredMessage]] = {}
        self._runs: dict[tuple[Owner, RunId], RunRow] = {}
        self._events: dict[tuple[Owner, RunId], dict[int, EventRow]] = {}
        self._approvals: dict[tuple[Owner, ApprovalId], Approval] = {}
        self._tool_calls: dict[tuple[Owner, RunId, str], NotClaimed] = {}
        self._usage: dict[tuple[Owner, str], UsageRow] = {}

    def _moment(self, session: Session) -> datetime:
        """The time of a write to *session*: now, and never before an earlier write."""
        return max(self._clock.now(), session.updated_at)

    def _after(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)

    def _rows_of(self, owner: Owner, session_id: SessionId) -> Iterator[RunRow]:
        return (row for row in self._runs.values() if (row.run.owner, row.run.session_id) == (owner, session_id))

    def _run_of(self, owner: Owner, session_id: SessionId, run_id: RunId) -> RunRow | None:
        row = self._runs.get((owner, run_id))
        return row if row is not None and row.run.session_id == session_id else None

    def _active(self, owner: Owner, session_id: SessionId) -> RunRow | None:
        return next((row for row in self._rows_of(owner, session_id) if row.run.status is RunStatus.RUNNING), None)

    def _busy(self, owner: Owner, session_id: SessionId) -> Busy | None:
        """Tell the active run; one whose server fell silent is interrupted instead, its text kept for the sweep."""
        row = self._active(owner, session_id)
        if row is None:
            return None
        now = self._clock.now()
        if row.lease_until > now:
            return Busy(row.run.id)
        row.run = attrs.evolve(row.run, status=RunStatus.INTERRUPTED, ended_at=now)
        row.needs_fold = True
        return None

    def _forget_approvals(self, owner: Owner, session_id: SessionId) -> None:
        for key, approval in list(self._approvals.items()):
            if (approval.owner, approval.session_id) == (owner, session_id):
                del self._approvals[key]

    def _keep_usage(self, owner: Owner, rows: tuple[UsageRow, ...]) -> None:
        for row in rows:
            self._usage.setdefault((owner, row.call_id), row)

    def _find(self, key: tuple[Owner, SessionId], message_id: MessageId) -> StoredMessage | None:
        return next((message for message in self._messages.get(key, ()) if message.id == message_id), None)

    def _check_new_ids(self, owner: Owner, messages: tuple[StoredMessage, ...]) -> None:
        taken = {message.id for (of, _), stored in self._messages.items() if of == owner for message in stored}
        for message in messages:
            if message.id in taken:
                raise StorageError(f"message id {message.id!r} is already taken")
            taken.add(message.id)

    def _store(
        self, key: tuple[Owner, SessionId], messages: tuple[StoredMessage, ...], run_id: RunId
    ) -> tuple[StoredMessage, ...]:
        session = self._sessions[key]
        now = self._moment(session)
        parent, stored = session.head_id, []
        for seq, message in enumerate(messages, start=session.last_seq + 1):
            stored.append(
                attrs.evolve(message, session_id=session.id, seq=seq, parent_id=parent, created_at=now, run_id=run_id)
            )
            parent = message.id
        self._messages[key] += stored
        self._sessions[key] = attrs.evolve(
            session,
            head_id=parent,
            last_seq=session.last_seq + len(stored),
            message_count=session.message_count + len(stored),
            updated_at=now,
        )
        return tuple(stored)

    def _path(self, key: tuple[Owner, SessionId], head: MessageId | None) -> Iterator[StoredMessage]:
        """Walk from *head* up to the first message."""
        by_id = {message.id: message for message in self._messages[key]}
        while head is not None:
            message = by_id[head]
            yield message
            head = message.parent_id

    def _branch(self, owner: Owner, session_id: SessionId) -> list[StoredMessage] | None:
        session = self._sessions.get((owner, session_id))
        if session is None:
            return None
        return list(self._path((owner, session_id), session.head_id))[::-1]


def clean(value: Any) -> Any:
    """Replace what no database text can hold: NUL and lone surrogates become U+FFFD."""
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value
        replaced = "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)
        return value if replaced == value else replaced
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        return attrs.evolve(value, **{name: clean(getattr(value, name)) for name in names})
    if isinstance(value, tuple):
        return tuple(clean(item) for item in value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    return value
