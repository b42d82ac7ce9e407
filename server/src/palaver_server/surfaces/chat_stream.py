"""Watching a run over SSE: attached by its id, resumed by ``Last-Event-ID``, begun in one step for EventSource.

A watcher that leaves changes nothing: the run is the server's. Before the first frame a failure is an answer
with a real status; after it everything is told inside the stream.
"""

from aiohttp import web
from multidict import istr
from palaver.chat import Send, Watcher
from palaver.domain import RunStatus
from palaver.errors import InvalidRequest, NotFound
from palaver.events import RunEvent

from palaver_server.browser import refuse_cross_site
from palaver_server.keys import STATE, VISIT
from palaver_server.sse import EventStream
from palaver_server.surfaces.chat_shapes import StreamWriter
from palaver_server.surfaces.query import one
from palaver_server.visit import Visit

__all__ = ["send_and_stream", "stream_run"]

LAST_EVENT_ID = istr("Last-Event-ID")


async def stream_run(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /stream/{stream_id}``."""
    run_id = request.match_info["stream_id"]
    seen = _last_event_id(request)
    if seen is not None and seen[0] != run_id:
        raise InvalidRequest("Last-Event-ID is of another stream")
    return await _watch(request, run_id, None if seen is None else seen[1])


async def send_and_stream(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /stream?session_id=&message=``; a reconnect attaches and never sends again."""
    state, visit = request.app[STATE], request[VISIT]
    refuse_cross_site(request.headers, state.cors)
    message, session_id = one(request, "message"), one(request, "session_id")
    if message is None or not message.strip():
        raise InvalidRequest("message parameter is required", param="message")
    seen = _last_event_id(request)
    if seen is not None:
        return await _watch(request, *seen)
    state.take_new_work()
    send = Send(
        text=message, session_id=session_id or "", model=one(request, "model") or None, request_id=visit.request_id
    )
    started = await state.service.send(visit.principal, send)
    return await _watch(request, started.run_id, None)


def _last_event_id(request: web.Request) -> tuple[str, int] | None:
    """Read ``<run>-<seq>``; ``None`` when the client comes for the first time."""
    values = request.headers.getall(LAST_EVENT_ID, ())
    if not values or values == [""]:
        return None
    run_id, dash, number = values[0].rpartition("-")
    if len(values) > 1 or not dash or not run_id or not (number.isascii() and number.isdigit()) or len(number) > 15:
        raise InvalidRequest("Last-Event-ID: expected one value <stream id>-<number> as sent in id:")
    return run_id, int(number)


async def _watch(request: web.Request, run_id: str, after_seq: int | None) -> web.StreamResponse:
    state, visit = request.app[STATE], request[VISIT]
    if len(run_id) > 200:
        raise NotFound("stream not found")
    run = await state.service.get_run(visit.principal, run_id)
    watcher = await state.service.watch(visit.principal, run_id, after_seq=after_seq or 0)
    try:
        first: tuple[RunEvent, ...] = ()
        if after_seq is not None and run.status is not RunStatus.RUNNING:
            found = await anext(watcher, None)
            if found is None:
                # Everything was delivered before; this status keeps EventSource from coming back.
                return web.Response(status=204, headers=visit.headers)
            first = found
        with state.presence.stay(request, stateless=False) as stay:
            events = stay.events = EventStream(visit.headers, keepalive=state.keepalive)
            await _tell(request, visit, events, StreamWriter(run_id, run.session_id), watcher, first)
            return events
    finally:
        watcher.close()


async def _tell(
    request: web.Request,
    visit: Visit,
    events: EventStream,
    writer: StreamWriter,
    watcher: Watcher,
    first: tuple[RunEvent, ...],
) -> None:
    try:
        await events.begin(request)
        # Something leaves at once, so that the client knows that it is attached.
        await events.put(writer.feed(first) or b": attached\n\n")
        async for batch in watcher:
            await events.put(writer.feed(batch))
    except ConnectionError:
        visit.gone = True
    await events.finish()
