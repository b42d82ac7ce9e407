"""Which program an operation is, whose it is, and how much it weighs in a batch."""

from typing import Any, assert_never

from palaver import StoredMessage
from palaver.storage import (
    AppendEvents,
    BeginSend,
    ClaimToolCall,
    ClearSession,
    CreateSession,
    DecideApproval,
    DeleteSession,
    FinishRun,
    RecordUsage,
    RenameSession,
    RenewLease,
    SettleToolCall,
    WriteOp,
)

from palaver_sql.approvals import claim_tool_call, decide_approval, settle_tool_call
from palaver_sql.program import Program
from palaver_sql.rows import RowCodec
from palaver_sql.runs import append_events, begin_send, finish_run, renew_lease
from palaver_sql.sessions import clear_session, create_session, delete_session, rename_session
from palaver_sql.usage import record_usage

__all__ = ["place", "program", "weight"]

#: Bytes counted for a row whatever is in it.
_ROW = 256


def program(op: WriteOp, codec: RowCodec) -> Program[Any]:
    """Give the program of *op*; make a new one for each try."""
    match op:
        case AppendEvents():
            return append_events(op)
        case BeginSend():
            return begin_send(op, codec)
        case FinishRun():
            return finish_run(op, codec)
        case RenewLease():
            return renew_lease(op)
        case CreateSession():
            return create_session(op)
        case RenameSession():
            return rename_session(op)
        case DeleteSession():
            return delete_session(op)
        case ClearSession():
            return clear_session(op)
        case DecideApproval():
            return decide_approval(op, codec)
        case ClaimToolCall():
            return claim_tool_call(op)
        case SettleToolCall():
            return settle_tool_call(op)
        case RecordUsage():
            return record_usage(op)
        case _:
            assert_never(op)


def place(op: WriteOp) -> tuple[str, str]:
    """Tell where *op* writes: servers that lock rows in this order never wait for each other in a circle."""
    return op.owner, op.session_id or ""


def weight(op: WriteOp) -> int:
    """Estimate the bytes that *op* writes."""
    match op:
        case AppendEvents():
            return _ROW + len(op.row.data)
        case BeginSend():
            return _ROW + sum(map(_message_weight, op.messages))
        case FinishRun():
            log = 0 if op.row is None else len(op.row.data)
            return _ROW + log + sum(map(_message_weight, op.messages))
        case SettleToolCall():
            return _ROW + len(op.result)
        case _:
            return _ROW


def _message_weight(message: StoredMessage) -> int:
    weight = _ROW
    for part in message.message.parts:
        for name in ("text", "arguments", "data"):
            value = getattr(part, name, None)
            if isinstance(value, (str, bytes)):
                weight += len(value)
    return weight + sum(len(execution.result) for execution in message.tool_executions)
