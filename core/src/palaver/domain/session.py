"""Stored conversations: sessions, messages, runs, approvals, and pages of them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

import attrs

from palaver.domain.completion import FinishReason, ServedBy, Usage
from palaver.domain.content import ToolCallPart
from palaver.domain.message import Message
from palaver.domain.tools import ToolExecution
from palaver.ids import ApprovalId, MessageId, Owner, RunId, SessionId

__all__ = [
    "Approval",
    "ApprovalState",
    "Attachment",
    "MessageStatus",
    "Page",
    "Run",
    "RunStatus",
    "Session",
    "StoredMessage",
]

T = TypeVar("T")


@attrs.frozen
class Page(Generic[T]):
    """A slice of a list: the items, and whether more follow. *total* only when it was asked for."""

    items: tuple[T, ...]
    has_more: bool = False
    total: int | None = None


@attrs.frozen
class Session:
    """A stored conversation. *head_id* is the newest message of the active branch."""

    id: SessionId
    owner: Owner
    title: str
    created_at: datetime
    updated_at: datetime
    #: ``True`` until a person or the model has named it.
    title_is_default: bool = True
    message_count: int = 0
    head_id: MessageId | None = None
    last_seq: int = 0
    branched: bool = False


class MessageStatus(StrEnum):
    """How whole a stored message is."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    FAILED = "failed"


@attrs.frozen
class Attachment:
    """What is known of an attached file; its bytes live apart from message rows."""

    id: str
    filename: str
    mime_type: str
    size: int
    sha256: str = ""


@attrs.frozen
class StoredMessage:
    """A message as a row. *seq* counts gaplessly within the session; times come from the database."""

    id: MessageId
    session_id: SessionId
    message: Message
    seq: int = 0
    parent_id: MessageId | None = None
    created_at: datetime | None = None
    run_id: RunId | None = None
    status: MessageStatus = MessageStatus.COMPLETE
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    served_by: ServedBy | None = None
    tool_executions: tuple[ToolExecution, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    #: Set on the message that shows a request for approval in the history.
    approval_id: ApprovalId | None = None


class RunStatus(StrEnum):
    """Where a run stands; all but ``RUNNING`` are final."""

    RUNNING = "running"
    DONE = "done"
    AWAITING_APPROVAL = "awaiting_approval"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@attrs.frozen
class Run:
    """One send, owned by the server. *error* is ``{code, message, retryable}`` of a run that failed."""

    id: RunId
    owner: Owner
    session_id: SessionId
    status: RunStatus
    user_message_id: MessageId | None = None
    message_id: MessageId | None = None
    model: str | None = None
    last_seq: int = 0
    error: Mapping[str, Any] | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None


class ApprovalState(StrEnum):
    """A request for approval is decided once."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


@attrs.frozen
class Approval:
    """A request for approval with the exact calls it stands for; only these arguments can run."""

    id: ApprovalId
    owner: Owner
    session_id: SessionId
    run_id: RunId
    calls: tuple[ToolCallPart, ...]
    state: ApprovalState = ApprovalState.PENDING
    #: The calls that were allowed, once decided.
    approved_ids: tuple[str, ...] = ()
    expires_at: datetime | None = None
    created_at: datetime | None = None
    decided_at: datetime | None = None
