"""The OpenAI-compatible surface: stateless calls through the same pipeline, and the list of models.

A call makes no run: the upstream is read in the handler's own task, so a slow reader slows the upstream, and
a client that leaves closes it.
"""

import asyncio
from typing import Any

from aiohttp import web
from palaver.domain import Call, Completion
from palaver.errors import PalaverError
from palaver.fold import Fold
from palaver.runtime import ListedModel

from palaver_server.body import read_object
from palaver_server.failures import failure_of, openai_error
from palaver_server.keys import STATE, VISIT
from palaver_server.presence import Stay
from palaver_server.sse import EventStream, frame
from palaver_server.state import ServerState
from palaver_server.surfaces.openai_answer import ChunkWriter, completion_object
from palaver_server.surfaces.openai_request import CompletionRequest, read_request
from palaver_server.visit import Visit, json_answer

__all__ = ["create_completion", "get_model", "list_models"]


async def create_completion(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /v1/chat/completions``."""
    state, visit = request.app[STATE], request[VISIT]
    state.take_new_work()
    wanted = read_request(await read_object(request, state.limits))
    call = Call(wanted.chat, visit.principal, visit.request_id)
    with state.presence.stay(request, stateless=True) as stay:
        try:
            if wanted.streaming:
                return await _stream(request, state, visit, stay, call, wanted)
            return await _answer(state, visit, call)
        except asyncio.CancelledError:
            if stay.stopped is None or not _uncancelled():
                raise
            # Not the client but the server ended it: the client is still there to be told.
            raise stay.stopped from None


def _uncancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.uncancel() == 0


async def _answer(state: ServerState, visit: Visit, call: Call[Any]) -> web.Response:
    stream = await state.runtime.stream(call)
    fold = Fold()
    try:
        async for batch in stream:
            fold.feed(batch)
    finally:
        await stream.aclose()
        state.usage.note(call.principal.owner, stream.usage, stream.served_by)
    answer: Completion = fold.completion()
    return json_answer(visit, completion_object(answer, _answer_id(state), _now(state), _called(call, stream)))


async def _stream(
    request: web.Request,
    state: ServerState,
    visit: Visit,
    stay: Stay,
    call: Call[Any],
    wanted: CompletionRequest,
) -> web.StreamResponse:
    events = stay.events = EventStream(visit.headers, keepalive=state.keepalive)
    # Until then a failure is a plain answer with its own status; after it the 200 stands and errors are in-band.
    stay.begin_at = stay.task.get_loop().time() + state.keepalive
    try:
        stream = await state.runtime.stream(call)
        try:
            writer = ChunkWriter(
                _answer_id(state), _now(state), _called(call, stream), include_usage=wanted.include_usage
            )
            await events.begin(request)
            async for batch in stream:
                await events.put(writer.feed(batch))
        finally:
            await stream.aclose()
            state.usage.note(call.principal.owner, stream.usage, stream.served_by)
    except ConnectionError:
        visit.gone = True
    except asyncio.CancelledError:
        if stay.stopped is None or not events.prepared or not _uncancelled():
            raise
        await _tell(events, stay.stopped, visit)
    except Exception as error:
        if not events.prepared:
            raise
        if not isinstance(error, PalaverError):
            state.log_failure(error, visit.request_id)
        await _tell(events, error, visit)
    await events.finish()
    return events


async def _tell(events: EventStream, error: BaseException, visit: Visit) -> None:
    """Say inside the stream that it failed; there is no ``[DONE]`` after that."""
    try:
        await events.put(frame(openai_error(failure_of(error), visit.request_id)))
    except ConnectionError:
        visit.gone = True


def _answer_id(state: ServerState) -> str:
    return "chatcmpl-" + state.runtime.new_id().replace("-", "")


def _now(state: ServerState) -> int:
    return int(state.runtime.clock.now().timestamp())


def _called(call: Call[Any], stream: Any) -> str:
    served_by = stream.served_by
    name: str = served_by.model if served_by is not None else call.request.model
    return name


async def list_models(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /v1/models`` from memory: a dead provider never blocks it."""
    state = request.app[STATE]
    data = [_model_object(model, state.started_at) for model in state.runtime.models()]
    return json_answer(request[VISIT], {"object": "list", "data": data})


async def get_model(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /v1/models/{id}``."""
    state = request.app[STATE]
    name = request.match_info["model"]
    listed = {model.id: model for model in state.runtime.models()}
    model = listed.get(name)
    if model is None:
        target = state.runtime.resolve(name)
        model = listed.get(f"{target.instance}/{target.model}") or ListedModel(name, target.instance, target.model, "")
    # Under the name it was asked for, as clients compare.
    return json_answer(request[VISIT], {**_model_object(model, state.started_at), "id": name})


def _model_object(model: ListedModel, created: int) -> dict[str, Any]:
    shape: dict[str, Any] = {"id": model.id, "object": "model", "created": created, "owned_by": model.instance}
    info = model.info
    if info is not None:
        more = {
            "name": info.display_name,
            "description": info.description or None,
            "context_length": info.context_window,
            "max_output_tokens": info.max_output_tokens,
            "capabilities": sorted(info.capabilities) or None,
        }
        shape.update({name: value for name, value in more.items() if value is not None})
        if info.price is not None:
            prices = {"input": info.price.input, "output": info.price.output}
            shape["pricing_per_million_tokens"] = {name: str(value) for name, value in prices.items()}
    return shape
