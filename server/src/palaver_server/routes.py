"""The one table of routes: method, path, surface, who may call, handler. And what answers everything else."""

import logging
from collections import defaultdict
from collections.abc import Iterable

import attrs
from aiohttp import web
from palaver.assembly import Assembly
from palaver.errors import NotFound

from palaver_server import health
from palaver_server.admission import admit
from palaver_server.failures import MethodNotAllowed
from palaver_server.hookspecs import PRINCIPAL, RUNTIME, Access, Handler, RouteSpec
from palaver_server.keys import STATE, VISIT
from palaver_server.state import ServerState
from palaver_server.surfaces import CHAT, OPENAI, Surface, chat, chat_stream, openai

__all__ = ["ROUTES", "Route", "add_routes", "plugin_routes"]

logger = logging.getLogger("palaver.server")


@attrs.frozen
class Route:
    """One route. *label* is its path in metrics and logs, when it should not be the path itself."""

    method: str
    path: str
    surface: Surface
    access: Access
    handler: Handler
    label: str = ""


ROUTES: tuple[Route, ...] = (
    Route("GET", "/livez", CHAT, "open", health.livez),
    Route("GET", "/healthz", CHAT, "open", health.livez),
    Route("GET", "/readyz", CHAT, "open", health.readyz),
    Route("GET", "/v1/chat/health", CHAT, "open", chat.health),
    # OpenAI's API, between the routes of the chat API.
    Route("POST", "/v1/chat/completions", OPENAI, "user", openai.create_completion),
    Route("GET", "/v1/models", OPENAI, "user", openai.list_models),
    Route("GET", "/v1/models/{model:.+}", OPENAI, "user", openai.get_model, "/v1/models/{model}"),
    # The chat API.
    Route("POST", "/v1/chat/send", CHAT, "user", chat.send),
    Route("GET", "/v1/chat/stream", CHAT, "user", chat_stream.send_and_stream),
    Route("GET", "/v1/chat/stream/{stream_id}", CHAT, "user", chat_stream.stream_run),
    Route("POST", "/v1/chat/stop", CHAT, "user", chat.stop),
    Route("GET", "/v1/chat/runs/{run_id}", CHAT, "user", chat.get_run),
    Route("DELETE", "/v1/chat/clear", CHAT, "user", chat.clear_history),
    Route("POST", "/v1/chat/sessions", CHAT, "user", chat.create_session),
    Route("GET", "/v1/chat/sessions", CHAT, "user", chat.list_sessions),
    Route("GET", "/v1/chat/sessions/{session_id}", CHAT, "user", chat.get_session),
    Route("PUT", "/v1/chat/sessions/{session_id}", CHAT, "user", chat.rename_session),
    Route("DELETE", "/v1/chat/sessions/{session_id}", CHAT, "user", chat.delete_session),
    Route("GET", "/v1/chat/sessions/{session_id}/messages", CHAT, "user", chat.list_messages),
    Route("DELETE", "/v1/chat/sessions/{session_id}/messages", CHAT, "user", chat.clear_messages),
    Route("GET", "/v1/chat/mcp/tools", CHAT, "user", chat.list_tools),
)
_METRICS = Route("GET", "/metrics", CHAT, "operator", health.metrics)
#: Handlers that send or stream: a HEAD request must not run them.
_NO_HEAD = frozenset({"/v1/chat/stream", "/v1/chat/stream/{stream_id}"})


def add_routes(app: web.Application, state: ServerState, extra: Iterable[Route] = ()) -> None:
    """Register every route, an answer to every other method of its path, and to every other path."""
    routes = [*ROUTES, *extra]
    if state.config.server.metrics:
        routes.append(_METRICS)
    allowed: dict[str, list[str]] = defaultdict(list)
    first: dict[str, Route] = {}
    for route in routes:
        first.setdefault(route.path, route)
        methods = ["GET", "HEAD"] if route.method == "GET" and route.path not in _NO_HEAD else [route.method]
        handler = admit(state, route.surface, route.label or route.path, route.access, route.handler)
        for method in methods:
            app.router.add_route(method, route.path, handler)
            allowed[route.path].append(method)
    for path, methods in allowed.items():
        route, other = first[path], _other_method(state, tuple(methods))
        app.router.add_route("*", path, admit(state, route.surface, route.label or path, "open", other))
    # Clients of OpenAI's API have `/v1` as their base, so what is missing there is told in their shape.
    for prefix, surface in (("/v1/chat/{tail:.*}", CHAT), ("/v1/{tail:.*}", OPENAI), ("/{tail:.*}", CHAT)):
        app.router.add_route("*", prefix, admit(state, surface, "(unknown)", "open", _no_such_path))


def plugin_routes(assembly: Assembly) -> tuple[Route, ...]:
    """Ask every plugin for routes; one that fails, or claims a path that is ours, is logged and left out."""
    taken = {(route.method, route.path) for route in (*ROUTES, _METRICS)}
    found: list[Route] = []
    for answer in assembly.call("palaver_routes", RouteSpec):
        if answer.reason:
            logger.error("plugin %s: its routes are left out: %s", answer.plugin, answer.reason)
        for spec in answer.items:
            method = spec.method.upper()
            if (method, spec.path) in taken:
                logger.error("plugin %s: %s %s is taken already", answer.plugin, method, spec.path)
                continue
            taken.add((method, spec.path))
            found.append(Route(method, spec.path, CHAT, spec.access, _for_plugin(spec)))
    return tuple(found)


def _for_plugin(spec: RouteSpec) -> Handler:
    """Hand a plugin's handler what its contract promises."""

    async def handle(request: web.Request) -> web.StreamResponse:
        request[RUNTIME] = request.app[STATE].runtime
        if spec.access == "user":
            request[PRINCIPAL] = request[VISIT].principal
        return await spec.handler(request)

    return handle


def _other_method(state: ServerState, allowed: tuple[str, ...]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            if "Access-Control-Request-Method" in request.headers:
                return web.Response(status=204, headers=state.cors.preflight(request.headers))
            return web.Response(status=204, headers={"Allow": ", ".join((*allowed, "OPTIONS"))})
        raise MethodNotAllowed(
            f"method {request.method[:20]} is not allowed here: use {', '.join(allowed)}", allowed=allowed
        )

    return answer


async def _no_such_path(request: web.Request) -> web.StreamResponse:
    raise NotFound("there is nothing at this path")
