"""The chat API's JSON: sessions, messages, runs and stream messages, from domain objects. Pure.

Field names and which are left out when empty are facts that a web UI depends on.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from palaver.codec import write_time
from palaver.domain import (
    Attachment,
    FinishReason,
    Page,
    Role,
    Run,
    RunStatus,
    Session,
    StoredMessage,
    ToolCallPart,
    ToolExecution,
    ToolResultPart,
    Usage,
)
from palaver.events import (
    ApprovalAsked,
    LegEnded,
    RefusalDelta,
    RunEnded,
    RunEvent,
    RunStarted,
    StreamEvent,
    TextDelta,
    ToolExecuted,
)

from palaver_server.failures import recorded_failure
from palaver_server.sse import frame

__all__ = ["StreamWriter", "answer_object", "message_object", "pagination", "run_object", "session_object"]

_EVENT = b"message"
#: Ends that need no word: anything else (cut off, withheld, unknown) is told.
_PLAIN_ENDS = frozenset({None, FinishReason.STOP, FinishReason.TOOL_CALLS})


def session_object(session: Session) -> dict[str, Any]:
    """Write a session."""
    return {
        "id": session.id,
        "user_id": session.owner,
        "title": session.title,
        "created_at": write_time(session.created_at),
        "updated_at": write_time(session.updated_at),
    }


def message_object(stored: StoredMessage) -> dict[str, Any]:
    """Write a message of the history."""
    message = stored.message
    role = "tool_approval" if stored.approval_id is not None else message.role.value
    shape: dict[str, Any] = {
        "id": stored.approval_id or stored.id,
        "role": role,
        "content": _content(stored),
        "timestamp": _time(stored.created_at),
    }
    calls = [_call_object(call) for call in message.tool_calls]
    if calls:
        shape["tool_calls"] = calls
    if stored.tool_executions:
        shape["tool_executions"] = [_execution_object(execution) for execution in stored.tool_executions]
    if stored.attachments:
        shape["attachments"] = [_attachment_object(attachment) for attachment in stored.attachments]
    if stored.approval_id is not None:
        shape["approval_request"] = {"request_id": stored.approval_id, "tool_calls": calls}
    if stored.status.value != "complete":
        shape["status"] = stored.status.value
    shape.update(_finish(stored.finish_reason))
    if message.role is Role.ASSISTANT and stored.served_by is not None:
        shape["model"] = stored.served_by.model
    return shape


def answer_object(session_id: str, messages: Sequence[StoredMessage], run: Run) -> dict[str, Any]:
    """Write a whole answer: all that the run said and did, joined into one message."""
    spoken = [stored for stored in messages if stored.message.role is Role.ASSISTANT]
    calls = [_call_object(call) for stored in spoken for call in stored.message.tool_calls]
    executions = [_execution_object(execution) for stored in messages for execution in stored.tool_executions]
    message: dict[str, Any] = {
        "id": run.message_id or "",
        "role": "assistant",
        "content": "".join(_content(stored) for stored in spoken),
        "timestamp": _time(next((stored.created_at for stored in reversed(spoken) if stored.created_at), run.ended_at)),
    }
    if calls:
        message["tool_calls"] = calls
    if executions:
        message["tool_executions"] = executions
    if run.status not in (RunStatus.DONE, RunStatus.AWAITING_APPROVAL):
        message["status"] = run.status.value
    elif spoken:
        message.update(_finish(spoken[-1].finish_reason))
    shape: dict[str, Any] = {"message": message, "session_id": session_id, "stream_id": run.id}
    approval = next((stored.approval_id for stored in messages if stored.approval_id is not None), None)
    if approval is not None:
        shape["request_id"] = approval
    usage = _sum(stored.usage for stored in spoken)
    if usage is not None:
        shape["usage"] = usage
    model = next((stored.served_by.model for stored in reversed(spoken) if stored.served_by), run.model)
    if model:
        shape["model"] = model
    return shape


def run_object(run: Run) -> dict[str, Any]:
    """Write a run: where it stands, and the id to resume it from."""
    shape: dict[str, Any] = {
        "id": run.id,
        "stream_id": run.id,
        "session_id": run.session_id,
        "status": run.status.value,
        "message_id": run.message_id,
        "user_message_id": run.user_message_id,
        "model": run.model,
        "last_event_id": f"{run.id}-{run.last_seq}",
        "created_at": _time(run.created_at),
        "ended_at": _time(run.ended_at),
    }
    if run.error is not None:
        failure = recorded_failure(run.error)
        shape.update(error=failure.message, code=failure.code, retryable=failure.retryable)
    return {name: value for name, value in shape.items() if value is not None}


def pagination(page: Page[Any], *, number: int, limit: int, offset: int) -> dict[str, Any]:
    """Write what the client needs to go on."""
    shape: dict[str, Any] = {"page": number, "limit": limit, "offset": offset, "has_more": page.has_more}
    if page.total is not None:
        shape["total"] = page.total
    return shape


class StreamWriter:
    """Writes a run's events as frames; only the last frame of an event carries its id.

    Args:
        session_id: The real session, in every frame.
        after_seq: The last number the client has; 0 when it comes for the first time.
    """

    def __init__(self, run_id: str, session_id: str) -> None:
        self._run_id = run_id
        self._finish: FinishReason | None = None
        self._session = orjson.dumps(session_id)
        self._text = b'event: message\ndata: {"type":"message","content":'
        self._tail = b',"session_id":' + self._session + b"}\n\n"

    def feed(self, events: Sequence[RunEvent]) -> bytes:
        """Write *events* as one block."""
        return b"".join(self._event(event) for event in events)

    def _event(self, event: RunEvent) -> bytes:
        body = event.body
        event_id = b"id: %s-%d\n" % (self._run_id.encode(), event.seq)
        if isinstance(body, tuple):
            text = _text(body)
            if not text:
                return b""
            return event_id + self._text + orjson.dumps(text) + self._tail
        shape = self._fact(body)
        return event_id + frame(orjson.dumps(shape), event=_EVENT) if shape is not None else b""

    def _fact(self, fact: Any) -> dict[str, Any] | None:
        session_id = orjson.loads(self._session)
        match fact:
            case RunStarted():
                # The UI takes the session from here; the empty text keeps its bubble as it is.
                return {
                    "type": "message",
                    "content": "",
                    "session_id": session_id,
                    "stream_id": self._run_id,
                    "message_id": fact.message_id,
                    "user_message_id": fact.user_message_id,
                    "model": fact.model,
                }
            case ToolExecuted(executions):
                failed = any(execution.error is not None for execution in executions)
                word = "partially failed" if failed else "successful"
                return {
                    "type": "tool_execution",
                    "content": f"Executed {len(executions)} tool(s) ({word})",
                    "session_id": session_id,
                    "tool_executions": [_execution_object(execution) for execution in executions],
                }
            case ApprovalAsked(approval):
                return {
                    "type": "tool_approval_request",
                    "content": f"Approve {len(approval.calls)} tool call(s)?",
                    "session_id": session_id,
                    "tool_calls": [_call_object(call) for call in approval.calls],
                    "request_id": approval.id,
                }
            case LegEnded(finish_reason):
                self._finish = finish_reason
                return None
            case RunEnded():
                return self._end(fact, session_id)
            case _:
                return None

    def _end(self, ended: RunEnded, session_id: str) -> dict[str, Any]:
        more: dict[str, Any] = {} if ended.stored else {"stored": False}
        match ended.status:
            case RunStatus.DONE | RunStatus.AWAITING_APPROVAL:
                return {"type": "done", "session_id": session_id, "done": True, **_finish(self._finish), **more}
            case RunStatus.CANCELLED:
                return {"type": "done", "session_id": session_id, "done": True, "status": "cancelled", **more}
            case status:
                failure = recorded_failure(ended.error or _interrupted(status))
                return {
                    "type": "error",
                    "session_id": session_id,
                    "error": failure.message,
                    "code": failure.code,
                    "retryable": failure.retryable,
                    "status": status.value,
                    **more,
                }


def _interrupted(status: RunStatus) -> dict[str, Any]:
    return {
        "code": status.value,
        "message": "the answer was interrupted; what had come of it is stored",
        "retryable": True,
    }


def _text(events: Sequence[StreamEvent]) -> str:
    pieces: Iterator[str] = (event.text for event in events if isinstance(event, TextDelta | RefusalDelta))
    return "".join(pieces)


def _finish(reason: FinishReason | None) -> dict[str, Any]:
    return {} if reason in _PLAIN_ENDS else {"finish_reason": str(reason)}


def _content(stored: StoredMessage) -> str:
    message = stored.message
    if message.role is Role.TOOL:
        return "".join(part.text for part in message.parts if isinstance(part, ToolResultPart)) or message.text
    return message.text or message.refusal


def _call_object(call: ToolCallPart) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _execution_object(execution: ToolExecution) -> dict[str, Any]:
    shape = {
        "id": execution.call_id,
        "tool_name": execution.tool_name,
        "arguments": execution.arguments,
        "result": execution.result,
        "start_time": write_time(execution.started_at),
        "end_time": write_time(execution.ended_at),
        "duration_ms": execution.duration_ms,
    }
    if execution.error is not None:
        shape["error"] = execution.error
    return shape


def _attachment_object(attachment: Attachment) -> dict[str, Any]:
    return {
        "id": attachment.id,
        "filename": attachment.filename,
        "mime_type": attachment.mime_type,
        "size": attachment.size,
    }


def _sum(usages: Iterator[Usage | None]) -> dict[str, int] | None:
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    return {
        "input_tokens": sum(usage.input_tokens or 0 for usage in known),
        "output_tokens": sum(usage.output_tokens or 0 for usage in known),
        "total_tokens": sum(usage.total_tokens or 0 for usage in known),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else write_time(moment)
