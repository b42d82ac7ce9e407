"""Runs: beginning a send, its log, its lease, its end, and the reads. Programs only."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from palaver import Role, Run, RunStatus, Session, StoredMessage
from palaver.storage import (
    AlreadyEnded,
    Appended,
    AppendEvents,
    BeginSend,
    Begun,
    Busy,
    Done,
    EventRow,
    Finished,
    FinishRun,
    Mismatched,
    Missing,
    Owner,
    RenewLease,
    Replayed,
    RunId,
    SessionId,
)

from palaver_sql.program import Program
from palaver_sql.rows import (
    APPROVAL_COLUMNS,
    MESSAGE_COLUMNS,
    RUN_COLUMNS,
    SESSION_COLUMNS,
    RowCodec,
    marks,
    read_run,
    read_session,
)
from palaver_sql.sessions import branch_length, free_session, get_session, insert_session
from palaver_sql.usage import keep_usage

__all__ = [
    "active_run",
    "append_events",
    "begin_send",
    "expired_runs",
    "finish_run",
    "get_run",
    "read_events",
    "renew_lease",
]

_GET = f"SELECT {RUN_COLUMNS} FROM chat_runs WHERE owner = ? AND id = ?"
_ACTIVE = f"""
    SELECT {RUN_COLUMNS} FROM chat_runs
    WHERE owner = ? AND session_id = ? AND status = 'running' AND lease_until > palaver_now()
"""
# Interrupted by the next send before any sweep came by: its events still wait to be folded into a message.
_EXPIRED = f"""
    SELECT {RUN_COLUMNS} FROM chat_runs
    WHERE (status = 'running' OR needs_fold = 1) AND (needs_fold = 1 OR lease_until <= palaver_now())
    ORDER BY lease_until LIMIT ?
"""

#: Seconds for which an idempotency key is remembered.
_KEY_SECONDS = 24 * 3600
_BY_KEY = f"""
    SELECT {RUN_COLUMNS}, body_hash, CASE WHEN created_at > palaver_after(?) THEN 1 ELSE 0 END
    FROM chat_runs WHERE owner = ? AND idempotency_key = ?
"""
_FORGET_KEY = "UPDATE chat_runs SET idempotency_key = NULL WHERE owner = ? AND id = ?"
_INSERT = f"""
    INSERT INTO chat_runs (owner, id, session_id, status, user_message_id, message_id, model, server_id, lease_until,
        idempotency_key, body_hash, created_at)
    VALUES (?, ?, ?, 'running', ?, ?, ?, ?, palaver_after(?), ?, ?, ?) RETURNING {RUN_COLUMNS}
"""

_HEAD = "UPDATE chat_sessions SET head_id = ?, message_count = ?, branched = 1 WHERE owner = ? AND id = ?"
_GROW = f"""
    UPDATE chat_sessions SET head_id = ?, last_seq = last_seq + ?, message_count = message_count + ?,
        updated_at = palaver_later(palaver_now(), updated_at)
    WHERE owner = ? AND id = ? RETURNING {SESSION_COLUMNS}
"""
_UPDATED_AT = SESSION_COLUMNS.split(", ").index("updated_at")
_INSERT_MESSAGE = f"INSERT INTO chat_messages ({MESSAGE_COLUMNS}) VALUES ({marks(MESSAGE_COLUMNS)})"

_LOG = """
    INSERT INTO chat_run_events (owner, run_id, first_seq, last_seq, data) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (owner, run_id, first_seq) DO UPDATE SET last_seq = excluded.last_seq, data = excluded.data
    WHERE excluded.last_seq > chat_run_events.last_seq
"""
_REACH = """
    UPDATE chat_runs SET last_seq = CASE WHEN last_seq < ? THEN ? ELSE last_seq END
    WHERE owner = ? AND id = ? AND session_id = ? AND status = 'running' RETURNING last_seq
"""
_EVENTS = """
    SELECT first_seq, last_seq, data FROM chat_run_events
    WHERE owner = ? AND run_id = ? AND last_seq > ? ORDER BY first_seq LIMIT ?
"""

_STATE = "SELECT status, needs_fold FROM chat_runs WHERE owner = ? AND id = ? AND session_id = ?"
_INSERT_APPROVAL = f"""
    INSERT INTO chat_approvals ({APPROVAL_COLUMNS})
    VALUES (?, ?, ?, ?, ?, 'pending', '[]', palaver_after(?), palaver_now(), NULL)
    ON CONFLICT (owner, id) DO NOTHING
"""
_FINISH = """
    UPDATE chat_runs SET status = ?, error = ?, needs_fold = 0, ended_at = palaver_now(),
        last_seq = CASE WHEN last_seq < ? THEN ? ELSE last_seq END
    WHERE owner = ? AND id = ?
"""
_RENEW = """
    UPDATE chat_runs SET lease_until = palaver_after(?)
    WHERE owner = ? AND id = ? AND session_id = ? AND status = 'running' AND server_id = ? RETURNING id
"""


def begin_send(op: BeginSend, codec: RowCodec) -> Program[Begun | Busy | Replayed | Mismatched | Missing]:
    """Store what the user said and start a run, or say why not; every check comes before the first write."""
    rows = yield _GET, (op.owner, op.run_id)
    if rows:
        return (yield from _begun_before(op, read_run(rows[0], codec), codec))
    replayed = yield from _replay(op, codec)
    if replayed is not None:
        return replayed
    session = yield from get_session(op.owner, op.session_id)
    if session is None and (op.title is None or op.parent_id is not None):
        return Missing()
    depth = 0
    if op.parent_id is not None:
        depth = yield from branch_length(op.owner, op.session_id, op.parent_id)
        if not depth:
            return Missing()
    busy = yield from free_session(op.owner, op.session_id)
    if busy is not None:
        return busy
    created = session is None
    if session is None:
        session = yield from insert_session(op.owner, op.session_id, op.title or "", is_default=True)
        assert session is not None
    elif op.parent_id is not None and op.parent_id != session.head_id:
        yield _HEAD, (op.parent_id, depth, op.owner, op.session_id)
        session = attrs.evolve(session, head_id=op.parent_id)
    session, messages, stamp = yield from _store(op.owner, session, op.messages, op.run_id, codec)
    said = [message.id for message in messages if message.message.role is Role.USER]
    key = op.idempotency
    rows = yield (
        _INSERT,
        (
            op.owner,
            op.run_id,
            op.session_id,
            said[-1] if said else None,
            op.message_id,
            op.model,
            op.lease.server_id,
            op.lease.seconds,
            key and key.key,
            key and key.body_hash,
            stamp,
        ),
    )
    return Begun(read_run(rows[0], codec), session, messages, created_session=created)


def _begun_before(op: BeginSend, run: Run, codec: RowCodec) -> Program[Begun | Missing]:
    session = yield from get_session(op.owner, op.session_id)
    if session is None or run.session_id != op.session_id:
        return Missing()
    ids = [message.id for message in op.messages]
    rows = yield (
        f"SELECT {MESSAGE_COLUMNS} FROM chat_messages WHERE owner = ? AND session_id = ? "
        f"AND id IN ({', '.join('?' * len(ids)) or 'NULL'}) ORDER BY seq",
        (op.owner, op.session_id, *ids),
    )
    return Begun(run, session, tuple(codec.read_message(row) for row in rows), created_session=False)


def _replay(op: BeginSend, codec: RowCodec) -> Program[Replayed | Mismatched | None]:
    if op.idempotency is None:
        return None
    rows = yield _BY_KEY, (-_KEY_SECONDS, op.owner, op.idempotency.key)
    if not rows:
        return None
    *columns, body_hash, fresh = rows[0]
    run = read_run(columns, codec)
    if not fresh:
        yield _FORGET_KEY, (op.owner, run.id)
        return None
    return Replayed(run) if body_hash == op.idempotency.body_hash else Mismatched(run.id)


def _store(
    owner: Owner, session: Session, messages: Sequence[StoredMessage], run_id: RunId, codec: RowCodec
) -> Program[tuple[Session, tuple[StoredMessage, ...], Any]]:
    """Hang *messages* below the head, one below the other; give the time too, as the database wrote it."""
    head = messages[-1].id if messages else session.head_id
    rows = yield _GROW, (head, len(messages), len(messages), owner, session.id)
    grown, stamp = read_session(rows[0]), rows[0][_UPDATED_AT]
    parent, seq, stored = session.head_id, grown.last_seq - len(messages), []
    for message in messages:
        seq += 1
        placed = attrs.evolve(
            message, session_id=session.id, seq=seq, parent_id=parent, created_at=grown.updated_at, run_id=run_id
        )
        columns, placed = codec.write_message(owner, placed)
        yield _INSERT_MESSAGE, (*columns, stamp)
        stored.append(placed)
        parent = placed.id
    return grown, tuple(stored), stamp


def append_events(op: AppendEvents) -> Program[Appended | Missing]:
    """Append one flush; a longer one that begins at the same number replaces the shorter."""
    last = op.row.last_seq
    rows = yield _REACH, (last, last, op.owner, op.run_id, op.session_id)
    if not rows:
        return Missing()
    yield _LOG, (op.owner, op.run_id, op.row.first_seq, last, op.row.data)
    return Appended(rows[0][0])


def finish_run(op: FinishRun, codec: RowCodec) -> Program[Finished | AlreadyEnded | Missing]:
    """Store what the run produced and its final state."""
    # Tokens were spent, whatever has become of the run and its session.
    yield from keep_usage(op.owner, op.usage, op.session_id)
    rows = yield _STATE, (op.owner, op.run_id, op.session_id)
    if not rows:
        return Missing()
    status, needs_fold = rows[0]
    if status != RunStatus.RUNNING and not needs_fold:
        return AlreadyEnded(RunStatus(status))
    session = yield from get_session(op.owner, op.session_id)
    assert session is not None
    session, messages, _ = yield from _store(op.owner, session, op.messages, op.run_id, codec)
    if op.row is not None:
        yield _LOG, (op.owner, op.run_id, op.row.first_seq, op.row.last_seq, op.row.data)
    for approval in op.approvals:
        calls = codec.write_calls(approval.calls)
        yield _INSERT_APPROVAL, (approval.id, op.owner, op.session_id, op.run_id, calls, op.approval_seconds)
    last = 0 if op.row is None else op.row.last_seq
    error = None if op.error is None else codec.write(op.error, Mapping[str, Any])[0]
    yield _FINISH, (op.status.value, error, last, last, op.owner, op.run_id)
    return Finished(messages, session)


def renew_lease(op: RenewLease) -> Program[Done | Missing]:
    """Keep a running run of this server."""
    lease = op.lease
    rows = yield _RENEW, (lease.seconds, op.owner, op.run_id, op.session_id, lease.server_id)
    return Done() if rows else Missing()


def get_run(owner: Owner, run_id: RunId, codec: RowCodec) -> Program[Run | None]:
    """Read one run."""
    rows = yield _GET, (owner, run_id)
    return read_run(rows[0], codec) if rows else None


def active_run(owner: Owner, session_id: SessionId, codec: RowCodec) -> Program[Run | None]:
    """Read the run that is generating: running, and its lease not over."""
    rows = yield _ACTIVE, (owner, session_id)
    return read_run(rows[0], codec) if rows else None


def read_events(owner: Owner, run_id: RunId, after_seq: int, limit: int) -> Program[tuple[EventRow, ...]]:
    """Read the log above *after_seq*."""
    rows = yield _EVENTS, (owner, run_id, after_seq, limit)
    return tuple(EventRow(first, last, bytes(data)) for first, last, data in rows)


def expired_runs(limit: int, codec: RowCodec) -> Program[tuple[Run, ...]]:
    """List runs whose server fell silent and whose events no message holds yet."""
    rows = yield _EXPIRED, (limit,)
    return tuple(read_run(row, codec) for row in rows)
