"""Approvals, decided once, and tool calls, claimed once. Programs only."""

import json

from palaver import Approval, ApprovalState, RunStatus
from palaver.storage import (
    AlreadyDecided,
    ApprovalId,
    Claimed,
    ClaimToolCall,
    DecideApproval,
    Decided,
    Done,
    Expired,
    Missing,
    NotClaimed,
    Owner,
    SessionId,
    SettleToolCall,
    ToolCallState,
)

from palaver_sql.program import Program
from palaver_sql.rows import APPROVAL_COLUMNS, RowCodec

__all__ = ["claim_tool_call", "decide_approval", "get_approval", "list_approvals", "settle_tool_call"]

_GET = f"SELECT {APPROVAL_COLUMNS} FROM chat_approvals WHERE owner = ? AND id = ?"
# The state in the condition makes it once: of two who decide at the same time one finds nothing to update.
_DECIDE = f"""
    UPDATE chat_approvals SET state = ?, approved_ids = ?, decided_at = palaver_now()
    WHERE owner = ? AND id = ? AND session_id = ? AND state = 'pending' AND expires_at > palaver_now()
    RETURNING {APPROVAL_COLUMNS}
"""
_EXPIRE = f"""
    UPDATE chat_approvals SET state = 'expired'
    WHERE owner = ? AND id = ? AND state = 'pending' AND expires_at <= palaver_now() RETURNING {APPROVAL_COLUMNS}
"""
_PENDING = f"""
    SELECT {APPROVAL_COLUMNS} FROM chat_approvals
    WHERE owner = ? AND state = 'pending' AND expires_at > palaver_now() ORDER BY created_at, id
"""
_PENDING_OF_SESSION = f"""
    SELECT {APPROVAL_COLUMNS} FROM chat_approvals
    WHERE owner = ? AND session_id = ? AND state = 'pending' AND expires_at > palaver_now() ORDER BY created_at, id
"""
# A run that was swept is over: the server that lost it must not start its tools any more.
_LIVE = (RunStatus.RUNNING.value, RunStatus.AWAITING_APPROVAL.value)
_CLAIM = """
    INSERT INTO chat_tool_calls (owner, run_id, call_id, state, claimed_at)
    SELECT owner, id, ?, 'running', palaver_now() FROM chat_runs
    WHERE owner = ? AND id = ? AND session_id = ? AND status IN (?, ?)
    ON CONFLICT (owner, run_id, call_id) DO NOTHING RETURNING call_id
"""
_CALL = """
    SELECT c.state, c.result, c.is_error FROM chat_tool_calls AS c
    JOIN chat_runs AS r ON r.owner = c.owner AND r.id = c.run_id
    WHERE c.owner = ? AND c.run_id = ? AND c.call_id = ? AND r.session_id = ?
"""
_SETTLE = """
    UPDATE chat_tool_calls SET state = 'done', result = ?, is_error = ?, settled_at = palaver_now()
    WHERE owner = ? AND run_id = ? AND call_id = ? AND state = 'running'
"""


def decide_approval(op: DecideApproval, codec: RowCodec) -> Program[Decided | AlreadyDecided | Expired | Missing]:
    """Decide once; only calls that were asked for can be allowed."""
    approval = yield from get_approval(op.owner, op.approval_id, codec)
    if approval is None or approval.session_id != op.session_id:
        return Missing()
    allowed = [call.id for call in approval.calls if call.id in op.approved_ids]
    state = ApprovalState.APPROVED if allowed else ApprovalState.DENIED
    rows = yield _DECIDE, (state.value, json.dumps(allowed), op.owner, op.approval_id, op.session_id)
    if rows:
        return Decided(codec.read_approval(rows[0]))
    rows = yield _EXPIRE, (op.owner, op.approval_id)
    if rows:
        return Expired(codec.read_approval(rows[0]))
    approval = yield from get_approval(op.owner, op.approval_id, codec)
    if approval is None:
        return Missing()
    return Expired(approval) if approval.state is ApprovalState.EXPIRED else AlreadyDecided(approval)


def claim_tool_call(op: ClaimToolCall) -> Program[Claimed | NotClaimed]:
    """Take a call before it runs."""
    rows = yield _CLAIM, (op.call_id, op.owner, op.run_id, op.session_id, *_LIVE)
    if rows:
        return Claimed()
    rows = yield _CALL, (op.owner, op.run_id, op.call_id, op.session_id)
    if not rows:
        return NotClaimed(ToolCallState.UNKNOWN)
    state, result, is_error = rows[0]
    return NotClaimed(state, result, bool(is_error))


def settle_tool_call(op: SettleToolCall) -> Program[Done | Missing]:
    """Note that a call has run; the first result stays."""
    rows = yield _CALL, (op.owner, op.run_id, op.call_id, op.session_id)
    if not rows:
        return Missing()
    yield _SETTLE, (op.result, int(op.is_error), op.owner, op.run_id, op.call_id)
    return Done()


def get_approval(owner: Owner, approval_id: ApprovalId, codec: RowCodec) -> Program[Approval | None]:
    """Read one approval."""
    rows = yield _GET, (owner, approval_id)
    return codec.read_approval(rows[0]) if rows else None


def list_approvals(owner: Owner, session_id: SessionId | None, codec: RowCodec) -> Program[tuple[Approval, ...]]:
    """List the approvals that can still be decided, oldest first."""
    if session_id is None:
        rows = yield _PENDING, (owner,)
    else:
        rows = yield _PENDING_OF_SESSION, (owner, session_id)
    return tuple(codec.read_approval(row) for row in rows)
