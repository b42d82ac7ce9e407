"""Sessions and their messages: create, rename, delete, clear, and the reads. Programs only."""

from palaver import Page, Session, StoredMessage
from palaver.storage import (
    Busy,
    ClearSession,
    CreateSession,
    DeleteSession,
    Done,
    MessageId,
    Missing,
    Owner,
    RenameSession,
    SessionId,
    SessionMade,
)

from palaver_sql.program import Program
from palaver_sql.rows import MESSAGE_COLUMNS, SESSION_COLUMNS, RowCodec, read_session

__all__ = [
    "branch_length",
    "clear_session",
    "create_session",
    "delete_session",
    "free_session",
    "get_session",
    "history",
    "insert_session",
    "list_messages",
    "list_sessions",
    "rename_session",
]

_INSERT = f"""
    INSERT INTO chat_sessions (owner, id, title, title_is_default, created_at, updated_at)
    SELECT ?, ?, ?, ?, at, at FROM (SELECT palaver_now() AS at) AS clock WHERE TRUE
    ON CONFLICT (owner, id) DO NOTHING RETURNING {SESSION_COLUMNS}
"""
_GET = f"SELECT {SESSION_COLUMNS} FROM chat_sessions WHERE owner = ? AND id = ?"
_RENAME = """
    UPDATE chat_sessions SET title = ?, title_is_default = 0, updated_at = palaver_later(palaver_now(), updated_at)
    WHERE owner = ? AND id = ? RETURNING id
"""
# A title the model found is no activity of the user's: the session keeps its place in the list.
_NAME = """
    UPDATE chat_sessions SET title = ?, title_is_default = 0
    WHERE owner = ? AND id = ? AND title_is_default = 1 RETURNING id
"""
_DELETE = "DELETE FROM chat_sessions WHERE owner = ? AND id = ? RETURNING id"

_CLEAR = """
    UPDATE chat_sessions SET head_id = NULL, last_seq = 0, message_count = 0, branched = 0,
        updated_at = palaver_later(palaver_now(), updated_at)
    WHERE owner = ? AND id = ? RETURNING id
"""
_CLEAR_MESSAGES = "DELETE FROM chat_messages WHERE owner = ? AND session_id = ?"
_RUNS_OF_SESSION = "run_id IN (SELECT id FROM chat_runs WHERE owner = ? AND session_id = ?)"
_CLEAR_EVENTS = f"DELETE FROM chat_run_events WHERE owner = ? AND {_RUNS_OF_SESSION}"
_CLEAR_APPROVALS = f"DELETE FROM chat_approvals WHERE owner = ? AND {_RUNS_OF_SESSION}"
_CLEAR_FOLDS = "UPDATE chat_runs SET needs_fold = 0 WHERE owner = ? AND session_id = ? AND needs_fold = 1"

_ACTIVE = """
    SELECT id, CASE WHEN lease_until > palaver_now() THEN 1 ELSE 0 END FROM chat_runs
    WHERE owner = ? AND session_id = ? AND status = 'running'
"""
_INTERRUPT = """
    UPDATE chat_runs SET status = 'interrupted', needs_fold = 1, ended_at = palaver_now()
    WHERE owner = ? AND id = ? AND status = 'running'
"""

_LIST = f"""
    SELECT {SESSION_COLUMNS} FROM chat_sessions WHERE owner = ?
    ORDER BY updated_at DESC, id LIMIT ? OFFSET ?
"""
_LIST_AFTER = f"""
    SELECT {SESSION_COLUMNS} FROM chat_sessions WHERE owner = ? AND (updated_at < ? OR (updated_at = ? AND id > ?))
    ORDER BY updated_at DESC, id LIMIT ? OFFSET ?
"""
_PLACE = "SELECT updated_at FROM chat_sessions WHERE owner = ? AND id = ?"
_COUNT = "SELECT COUNT(*) FROM chat_sessions WHERE owner = ?"

_MESSAGES = f"""
    SELECT {MESSAGE_COLUMNS} FROM chat_messages WHERE owner = ? AND session_id = ? AND seq > ? ORDER BY seq LIMIT ?
"""
_NEWEST = f"""
    SELECT {MESSAGE_COLUMNS} FROM chat_messages WHERE owner = ? AND session_id = ? ORDER BY seq DESC LIMIT ?
"""
# From the head up to the first message; numbers fall on the way, so it ends even if the parents did not.
_BRANCH = """
    WITH RECURSIVE branch (at_id, at_seq, up) AS (
        SELECT id, seq, parent_id FROM chat_messages WHERE owner = ? AND session_id = ? AND id = ?
        UNION ALL
        SELECT m.id, m.seq, m.parent_id FROM branch JOIN chat_messages AS m ON m.owner = ? AND m.id = branch.up
        WHERE m.seq < branch.at_seq
    )
"""
_BRANCH_LENGTH = f"{_BRANCH} SELECT COUNT(*) FROM branch"
_BRANCH_MESSAGES = f"""
    {_BRANCH} SELECT {MESSAGE_COLUMNS} FROM branch JOIN chat_messages ON owner = ? AND id = at_id
    WHERE at_seq > ? ORDER BY at_seq LIMIT ? OFFSET ?
"""
_BRANCH_NEWEST = f"""
    {_BRANCH} SELECT {MESSAGE_COLUMNS} FROM branch JOIN chat_messages ON owner = ? AND id = at_id
    ORDER BY at_seq DESC LIMIT ?
"""


def get_session(owner: Owner, session_id: SessionId) -> Program[Session | None]:
    """Read one session."""
    rows = yield _GET, (owner, session_id)
    return read_session(rows[0]) if rows else None


def insert_session(owner: Owner, session_id: SessionId, title: str, is_default: bool) -> Program[Session | None]:
    """Make a session unless it is there: then ``None``."""
    rows = yield _INSERT, (owner, session_id, title, int(is_default))
    return read_session(rows[0]) if rows else None


def create_session(op: CreateSession) -> Program[SessionMade]:
    """Make a session, or give the one that is there."""
    made = yield from insert_session(op.owner, op.session_id, op.title, op.title_is_default)
    if made is not None:
        return SessionMade(made, created=True)
    there = yield from get_session(op.owner, op.session_id)
    assert there is not None
    return SessionMade(there, created=False)


def rename_session(op: RenameSession) -> Program[Done | Missing]:
    """Set the title; a repetition of the same naming is done, not missing."""
    rows = yield (_NAME if op.only_default else _RENAME), (op.title, op.owner, op.session_id)
    if rows:
        return Done()
    session = yield from get_session(op.owner, op.session_id)
    return Done() if session is not None and session.title == op.title else Missing()


def delete_session(op: DeleteSession) -> Program[Done | Missing]:
    """Remove the session; what hangs on it goes with it by its foreign keys."""
    rows = yield _DELETE, (op.owner, op.session_id)
    return Done() if rows else Missing()


def clear_session(op: ClearSession) -> Program[Done | Missing | Busy]:
    """Remove what was said: messages, logs and approvals. Runs stay, so that their keys still replay."""
    session = yield from get_session(op.owner, op.session_id)
    if session is None:
        return Missing()
    busy = yield from free_session(op.owner, op.session_id)
    if busy is not None:
        return busy
    yield _CLEAR, (op.owner, op.session_id)
    yield _CLEAR_MESSAGES, (op.owner, op.session_id)
    yield _CLEAR_EVENTS, (op.owner, op.owner, op.session_id)
    yield _CLEAR_APPROVALS, (op.owner, op.owner, op.session_id)
    yield _CLEAR_FOLDS, (op.owner, op.session_id)
    return Done()


def free_session(owner: Owner, session_id: SessionId) -> Program[Busy | None]:
    """Tell the active run; one whose server fell silent is interrupted instead, its text kept for the sweep."""
    rows = yield _ACTIVE, (owner, session_id)
    if not rows:
        return None
    run_id, alive = rows[0]
    if alive:
        return Busy(run_id)
    yield _INTERRUPT, (owner, run_id)
    return None


def list_sessions(
    owner: Owner, limit: int, offset: int, after: SessionId | None, count: bool
) -> Program[Page[Session]]:
    """List sessions, newest first; an unknown *after* has nothing after it."""
    total = None
    if count:
        total = (yield _COUNT, (owner,))[0][0]
    if after is None:
        rows = yield _LIST, (owner, limit + 1, offset)
    else:
        place = yield _PLACE, (owner, after)
        if not place:
            return Page((), total=total)
        rows = yield _LIST_AFTER, (owner, place[0][0], place[0][0], after, limit + 1, offset)
    return Page(tuple(read_session(row) for row in rows[:limit]), has_more=len(rows) > limit, total=total)


def branch_length(owner: Owner, session_id: SessionId, head_id: MessageId) -> Program[int]:
    """Count the messages from *head_id* up; 0 when the session has no such message."""
    rows = yield _BRANCH_LENGTH, (owner, session_id, head_id, owner)
    length: int = rows[0][0]
    return length


def list_messages(
    owner: Owner, session_id: SessionId, limit: int, offset: int, after_seq: int, codec: RowCodec
) -> Program[Page[StoredMessage] | None]:
    """List the active branch, oldest first."""
    session = yield from get_session(owner, session_id)
    if session is None:
        return None
    if session.branched:
        rows = yield (
            _BRANCH_MESSAGES,
            (owner, session_id, session.head_id, owner, owner, after_seq, limit + 1, offset),
        )
    else:
        # Numbers have no gaps, so skipping messages is skipping numbers: the index finds the place.
        rows = yield _MESSAGES, (owner, session_id, max(after_seq, 0) + offset, limit + 1)
    items = tuple(codec.read_message(row) for row in rows[:limit])
    return Page(items, has_more=len(rows) > limit, total=session.message_count)


def history(owner: Owner, session_id: SessionId, limit: int, codec: RowCodec) -> Program[tuple[StoredMessage, ...]]:
    """Read the newest messages of the active branch, oldest of them first."""
    session = yield from get_session(owner, session_id)
    if session is None:
        return ()
    if session.branched:
        rows = yield _BRANCH_NEWEST, (owner, session_id, session.head_id, owner, owner, limit)
    else:
        rows = yield _NEWEST, (owner, session_id, limit)
    return tuple(codec.read_message(row) for row in reversed(rows))
