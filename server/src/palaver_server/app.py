"""The aiohttp application: the state that handlers share, and the routes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiohttp import web
from palaver.chat import ChatService
from palaver.contracts import Authenticator
from palaver.runtime import Runtime

from palaver_server.keys import STATE
from palaver_server.logs import RequestLog
from palaver_server.routes import Route, add_routes
from palaver_server.state import ServerState

__all__ = ["create_app"]


def create_app(
    runtime: Runtime,
    service: ChatService,
    *,
    routes: Sequence[Route] = (),
    authenticators: Sequence[Authenticator] = (),
    log: RequestLog | None = None,
) -> web.Application:
    """Make the application over an opened runtime.

    Args:
        routes: Those of plugins; see ``palaver_server.routes.plugin_routes``.
        log: Where request lines go, ``None`` for nowhere.

    Raises:
        ConfigError: the identity, the origins or the networks of the configuration make no sense.
    """
    # Our own handlers check the limit before they read; this holds for those of plugins.
    app = web.Application(client_max_size=runtime.config.limits.body)
    state = app[STATE] = ServerState(runtime, service, authenticators=authenticators, log=log)
    runtime.add_observer(state.metrics, attempts=False)
    add_routes(app, state, routes)
    app.cleanup_ctx.append(_attended)
    return app


async def _attended(app: web.Application) -> AsyncIterator[None]:
    """Look after open answers while the application runs; write what is left of the usage at its end."""
    state = app[STATE]
    rounds = state.runtime.jobs.start(state.presence.run(), "presence")
    yield
    rounds.cancel()
    await asyncio.wait({rounds})
    await state.usage.flush()
    if state.log is not None:
        state.log.flush()
