"""The chat API, `/v1/chat`: sessions, messages and sends. A handler reads, calls the service, renders; no more.

The answer's stream is in `chat_stream`, the shapes are in `chat_shapes`.
"""

import hashlib
from typing import Any

from aiohttp import web
from multidict import istr
from palaver.chat import Send, Started
from palaver.codec import write_time
from palaver.contracts.storage import Idempotency
from palaver.domain import Run, RunStatus, StoredMessage
from palaver.errors import InvalidRequest

from palaver_server.body import json_word, read_object
from palaver_server.failures import BadFormat, chat_error, recorded_failure
from palaver_server.keys import STATE, VISIT
from palaver_server.state import ServerState
from palaver_server.surfaces.chat_shapes import (
    answer_object,
    message_object,
    pagination,
    run_object,
    session_object,
)
from palaver_server.surfaces.query import flag, one, paging
from palaver_server.visit import Visit, json_answer, raw_answer

__all__ = [
    "clear_history",
    "clear_messages",
    "create_session",
    "delete_session",
    "get_run",
    "get_session",
    "health",
    "list_messages",
    "list_sessions",
    "list_tools",
    "rename_session",
    "send",
    "stop",
]

IDEMPOTENCY_KEY = istr("Idempotency-Key")
_BAD_FORMAT = "Invalid request format"


async def health(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /health``."""
    state = request.app[STATE]
    now = write_time(state.runtime.clock.now())
    return json_answer(request[VISIT], {"status": "ok", "timestamp": now, "version": state.version})


# --- sending ---------------------------------------------------------------------------------------------


async def send(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /send``: begin a run, then tell its stream, or wait for its end."""
    state, visit = request.app[STATE], request[VISIT]
    streaming = flag(request, "streaming")
    state.take_new_work()
    started = await state.service.send(visit.principal, await _read_send(request, state, visit))
    if streaming:
        return json_answer(
            visit,
            {
                "stream_id": started.run_id,
                "session_id": started.session_id,
                "stream_url": f"/v1/chat/stream/{started.run_id}",
                "message_id": started.message_id,
                "user_message_id": started.user_message_id,
            },
        )
    # From here on the run is safe: a client that leaves only stops waiting for it.
    with state.presence.stay(request, stateless=False):
        messages, run = await state.service.result(visit.principal, started)
    return _whole_answer(visit, started, messages, run)


def _whole_answer(visit: Visit, started: Started, messages: tuple[StoredMessage, ...], run: Run) -> web.Response:
    shape = answer_object(started.session_id, messages, run)
    if run.status in (RunStatus.DONE, RunStatus.AWAITING_APPROVAL, RunStatus.CANCELLED):
        return json_answer(visit, shape)
    recorded = run.error or {"code": "interrupted", "message": "the answer was interrupted", "retryable": True}
    failure = recorded_failure(recorded)
    status = failure.status if failure.code != "interrupted" else 503
    return raw_answer(visit, chat_error(failure, visit.request_id, **shape), status=status)


async def _read_send(request: web.Request, state: ServerState, visit: Visit) -> Send:
    keys = request.headers.getall(IDEMPOTENCY_KEY, ())
    body = await _body(request, state)
    message = _text(body, "message")
    if message is None or not message.strip():
        raise BadFormat(_BAD_FORMAT, "message: missing or empty")
    return Send(
        text=message,
        session_id=_text(body, "session_id") or "",
        model=_text(body, "model") or None,
        idempotency=_idempotency(keys, body),
        request_id=visit.request_id,
    )


def _idempotency(keys: Any, body: dict[str, Any]) -> Idempotency | None:
    if not keys:
        return None
    if len(keys) > 1 or not 1 <= len(keys[0]) <= 255 or not keys[0].isascii() or not keys[0].isprintable():
        raise InvalidRequest("Idempotency-Key: expected one value of 1 to 255 printable ASCII characters")
    said = "\0".join(str(body.get(name) or "") for name in ("session_id", "model", "message"))
    return Idempotency(keys[0], hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest())


async def _body(request: web.Request, state: ServerState, *, required: bool = True) -> dict[str, Any]:
    """Read a JSON object, with the contract's own words for one that is none."""
    try:
        return await read_object(request, state.limits, required=required)
    except InvalidRequest as error:
        if error.status != 400:
            raise
        raise BadFormat(_BAD_FORMAT, error.message) from error


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadFormat(_BAD_FORMAT, f"{name}: expected a string, got {json_word(value)}")
    return value


# --- runs ------------------------------------------------------------------------------------------------


async def stop(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /stop``: cancel a run by its own id or its session's."""
    state, visit = request.app[STATE], request[VISIT]
    body = await _body(request, state)
    run_id, session_id = _text(body, "stream_id"), _text(body, "session_id")
    if not run_id and not session_id:
        raise BadFormat(_BAD_FORMAT, "send stream_id or session_id")
    run = await state.service.stop(visit.principal, run_id=run_id or None, session_id=session_id or None)
    return json_answer(visit, {"message": "Stream stopped", **run_object(run)})


async def get_run(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /runs/{run_id}``."""
    state, visit = request.app[STATE], request[VISIT]
    return json_answer(visit, run_object(await state.service.get_run(visit.principal, request.match_info["run_id"])))


# --- sessions --------------------------------------------------------------------------------------------


async def create_session(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /sessions``."""
    state, visit = request.app[STATE], request[VISIT]
    title = _text(await _body(request, state, required=False), "title")
    session = await state.service.create_session(visit.principal, title or None)
    return json_answer(visit, session_object(session), status=201)


async def list_sessions(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /sessions``."""
    state, visit = request.app[STATE], request[VISIT]
    wanted, count = paging(request, default=20), flag(request, "total")
    page = await state.service.list_sessions(visit.principal, limit=wanted.limit, offset=wanted.offset, count=count)
    told = pagination(page, number=wanted.number, limit=wanted.limit, offset=wanted.offset)
    return json_answer(visit, {"sessions": [session_object(session) for session in page.items], "pagination": told})


async def get_session(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /sessions/{session_id}``."""
    state, visit = request.app[STATE], request[VISIT]
    session = await state.service.get_session(visit.principal, request.match_info["session_id"])
    return json_answer(visit, session_object(session))


async def rename_session(request: web.Request) -> web.StreamResponse:
    """Answer ``PUT /sessions/{session_id}``."""
    state, visit = request.app[STATE], request[VISIT]
    title = _text(await _body(request, state), "title")
    if title is None or not title.strip():
        raise BadFormat("Title is required", "title: missing or empty")
    await state.service.rename_session(visit.principal, request.match_info["session_id"], title)
    return json_answer(visit, {"message": "Session updated successfully"})


async def delete_session(request: web.Request) -> web.StreamResponse:
    """Answer ``DELETE /sessions/{session_id}``."""
    state, visit = request.app[STATE], request[VISIT]
    await state.service.delete_session(visit.principal, request.match_info["session_id"])
    return json_answer(visit, {"message": "Session deleted successfully"})


async def list_messages(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /sessions/{session_id}/messages``."""
    state, visit = request.app[STATE], request[VISIT]
    wanted = paging(request, default=50)
    session_id = request.match_info["session_id"]
    page = await state.service.list_messages(visit.principal, session_id, limit=wanted.limit, offset=wanted.offset)
    told = pagination(page, number=wanted.number, limit=wanted.limit, offset=wanted.offset)
    return json_answer(visit, {"messages": [message_object(message) for message in page.items], "pagination": told})


async def clear_messages(request: web.Request) -> web.StreamResponse:
    """Answer ``DELETE /sessions/{session_id}/messages``."""
    state, visit = request.app[STATE], request[VISIT]
    await state.service.clear_session(visit.principal, request.match_info["session_id"])
    return json_answer(visit, {"message": "Session messages cleared successfully"})


async def clear_history(request: web.Request) -> web.StreamResponse:
    """Answer ``DELETE /clear``."""
    state, visit = request.app[STATE], request[VISIT]
    session_id = one(request, "session_id")
    if not session_id:
        raise InvalidRequest("session_id parameter is required", param="session_id")
    await state.service.clear_session(visit.principal, session_id)
    return json_answer(visit, {"message": "Chat history cleared successfully"})


# --- tools -----------------------------------------------------------------------------------------------


async def list_tools(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /mcp/tools``: no source of tools is connected yet, and that is what it says."""
    shape: dict[str, Any] = {"tools": []}
    if flag(request, "force_refresh"):
        shape["force_refresh"] = True
    return json_answer(request[VISIT], shape)
