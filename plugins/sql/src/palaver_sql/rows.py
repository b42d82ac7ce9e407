"""Rows to domain objects and back, through the neutral codec. Pure.

Each ``*_COLUMNS`` names the columns in the order in which the function beside it reads them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
from palaver import (
    Approval,
    ApprovalState,
    Attachment,
    DecodeError,
    FinishReason,
    Message,
    MessageStatus,
    Part,
    Role,
    Run,
    RunStatus,
    ServedBy,
    Session,
    StorageError,
    StoredMessage,
    ToolCallPart,
    ToolExecution,
    Usage,
)
from palaver.codec import Codec
from palaver.storage import ApprovalId, MessageId, Owner, RunId, SessionId, UsageRow

from palaver_sql.program import Parameters, Row
from palaver_sql.text import write_json

__all__ = [
    "APPROVAL_COLUMNS",
    "MESSAGE_COLUMNS",
    "RUN_COLUMNS",
    "SESSION_COLUMNS",
    "USAGE_COLUMNS",
    "RowCodec",
    "marks",
    "read_run",
    "read_session",
    "write_usage",
]

SESSION_COLUMNS = (
    "id, owner, title, created_at, updated_at, title_is_default, message_count, head_id, last_seq, branched"
)
RUN_COLUMNS = "id, owner, session_id, status, user_message_id, message_id, model, last_seq, error, created_at, ended_at"
MESSAGE_COLUMNS = (
    "owner, id, session_id, seq, parent_id, role, content, status, run_id, approval_id, instance, model, details, "
    "created_at"
)
APPROVAL_COLUMNS = "id, owner, session_id, run_id, calls, state, approved_ids, expires_at, created_at, decided_at"
USAGE_COLUMNS = (
    "owner, call_id, session_id, run_id, purpose, instance, plugin, model, input_tokens, output_tokens, "
    "reasoning_tokens, cache_read_tokens, cache_write_tokens, estimated, cost"
)

_PARTS = tuple[Part, ...]
_CALLS = tuple[ToolCallPart, ...]


def marks(columns: str) -> str:
    """Give as many parameter marks as *columns* names columns."""
    return ", ".join("?" * (columns.count(",") + 1))


def _time(value: Any) -> datetime:
    # A driver that has a type for times gives one; SQLite gives the text that was stored.
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def read_session(row: Row) -> Session:
    """Read a session from its ``SESSION_COLUMNS``."""
    id, owner, title, created, updated, is_default, count, head, last_seq, branched = row
    return Session(
        SessionId(id),
        Owner(owner),
        title,
        _time(created),
        _time(updated),
        bool(is_default),
        count,
        None if head is None else MessageId(head),
        last_seq,
        bool(branched),
    )


def read_run(row: Row, codec: "RowCodec") -> Run:
    """Read a run from its ``RUN_COLUMNS``."""
    id, owner, session_id, status, user_message_id, message_id, model, last_seq, error, created, ended = row
    return Run(
        RunId(id),
        Owner(owner),
        SessionId(session_id),
        RunStatus(status),
        user_message_id,
        message_id,
        model,
        last_seq,
        None if error is None else codec.read(error, Mapping[str, Any], f"run {id!r}"),
        _time(created),
        None if ended is None else _time(ended),
    )


def write_usage(owner: Owner, row: UsageRow, session_id: str | None) -> Parameters:
    """Write usage as its ``USAGE_COLUMNS``."""
    usage, served_by = row.usage, row.served_by
    return (
        owner,
        row.call_id,
        row.session_id or session_id,
        row.run_id,
        row.purpose.value,
        served_by.instance,
        served_by.plugin,
        served_by.model,
        usage.input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        int(usage.estimated),
        row.cost,
    )


@attrs.frozen
class _Details:
    """What few messages have; one JSON column keeps the row narrow."""

    name: str | None = None
    vendor: Mapping[str, Any] = attrs.field(factory=dict)
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    plugin: str = ""
    tool_executions: tuple[ToolExecution, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class RowCodec:
    """The JSON columns: parts, details, calls, errors."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def write(self, value: Any, as_type: Any = None) -> tuple[str, bool]:
        """Write *value* as a JSON column; tell whether unstorable text was replaced.

        Raises:
            StorageError: *value* holds something that is neither neutral data nor a registered part.
        """
        try:
            return write_json(self._codec.to_data(value, as_type))
        except (TypeError, ValueError, RecursionError) as error:
            raise StorageError(f"{type(value).__name__} cannot be stored: {error}") from error

    def read(self, text: str, cls: Any, what: str) -> Any:
        """Read a JSON column.

        Raises:
            StorageError: what is stored does not have the shape of *cls*; *what* says whose it is.
        """
        try:
            return self._codec.loads(text, cls, path=what)
        except DecodeError as error:
            raise StorageError(f"what is stored cannot be read: {error}") from error

    def write_message(self, owner: Owner, message: StoredMessage) -> tuple[Parameters, StoredMessage]:
        """Write *message* as its ``MESSAGE_COLUMNS`` but the last; give it also as it will be read back."""
        said, served_by = message.message, message.served_by
        content, replaced = self.write(said.parts, _PARTS)
        details, also_replaced = self.write(
            _Details(
                said.name,
                said.vendor,
                message.finish_reason,
                message.usage,
                served_by.plugin if served_by else "",
                message.tool_executions,
                message.attachments,
            )
        )
        columns = (
            owner,
            message.id,
            message.session_id,
            message.seq,
            message.parent_id,
            said.role.value,
            content,
            message.status.value,
            message.run_id,
            message.approval_id,
            served_by.instance if served_by else None,
            served_by.model if served_by else None,
            None if details == "{}" else details,
        )
        if replaced or also_replaced:
            message = self.read_message((*columns, message.created_at))
        return columns, message

    def read_message(self, row: Row) -> StoredMessage:
        """Read a message from its ``MESSAGE_COLUMNS``."""
        _, id, session_id, seq, parent_id, role, content, status, run_id, approval_id, instance, model, details, at = (
            row
        )
        what = f"message {id!r}"
        more = _Details() if details is None else self.read(details, _Details, what)
        return StoredMessage(
            MessageId(id),
            SessionId(session_id),
            Message(Role(role), self.read(content, _PARTS, what), more.name, more.vendor),
            seq,
            parent_id,
            _time(at),
            run_id,
            MessageStatus(status),
            more.finish_reason,
            more.usage,
            None if model is None else ServedBy(instance, model, more.plugin),
            more.tool_executions,
            more.attachments,
            approval_id,
        )

    def read_approval(self, row: Row) -> Approval:
        """Read an approval from its ``APPROVAL_COLUMNS``."""
        id, owner, session_id, run_id, calls, state, approved, expires, created, decided = row
        what = f"approval {id!r}"
        return Approval(
            ApprovalId(id),
            Owner(owner),
            SessionId(session_id),
            RunId(run_id),
            self.read(calls, _CALLS, what),
            ApprovalState(state),
            self.read(approved, tuple[str, ...], what),
            _time(expires),
            _time(created),
            None if decided is None else _time(decided),
        )

    def write_calls(self, calls: tuple[ToolCallPart, ...]) -> str:
        """Write the calls of an approval; each argument stays exactly as the model wrote it."""
        return self.write(calls, _CALLS)[0]
