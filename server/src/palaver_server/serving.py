"""Serving: opens the runtime, listens, and ends in order when told to.

The first SIGTERM or SIGINT drains: readiness turns 503, no new work is taken, answers finish within the limit,
and what does not is told inside its stream and stored. The second one cuts the waiting short.
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

import attrs
from aiohttp import web
from palaver.assembly import Assembly
from palaver.chat import ChatService
from palaver.config import Loaded
from palaver.config.second_phase import plugin_config
from palaver.config.secrets import secret_texts
from palaver.contracts import Authenticator, PluginContext
from palaver.errors import ConfigError, ShuttingDown
from palaver.runtime import Runtime

from palaver_server.app import create_app
from palaver_server.identity import check_binding
from palaver_server.keys import STATE
from palaver_server.logs import configure_logging
from palaver_server.routes import plugin_routes
from palaver_server.state import ServerState

__all__ = ["Serving", "run_server", "serve"]

logger = logging.getLogger("palaver.server")

#: Seconds that an idle connection is kept: longer than a reverse proxy keeps it, so that the proxy closes first.
_KEEPALIVE = 75.0
_BACKLOG = 1024
#: Seconds for handlers to leave after everything was told.
_LEAVE = 2.0


@attrs.frozen
class Serving:
    """What is served, for whoever waits for it: the bound address and the live runtime."""

    host: str
    port: int
    runtime: Runtime

    @property
    def url(self) -> str:
        """The address to call."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


async def serve(loaded: Loaded, assembly: Assembly, *, on_ready: Callable[[Serving], None] | None = None) -> int:
    """Serve until told to stop; returns the exit code.

    Args:
        on_ready: Called once requests are accepted.

    Raises:
        ConfigError: the configuration cannot be served.
        StorageError: the database could not be opened.
        OSError: the address is taken.
    """
    config = loaded.require()
    check_binding(config.server)
    log = configure_logging(config.logging, secrets=secret_texts(loaded))
    extra = plugin_routes(assembly)
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(Runtime.open(config, assembly, environment=loaded.environment))
        authenticators = await _open_authenticators(runtime, loaded, stack)
        service = ChatService(runtime)
        stack.push_async_callback(service.aclose)
        app = create_app(runtime, service, routes=extra, authenticators=authenticators, log=log)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEPALIVE, shutdown_timeout=_LEAVE)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        with _signals() as told:
            await web.TCPSite(runner, config.server.host, config.server.port, backlog=_BACKLOG).start()
            # What was loaded to get here stays; the collector need not look at it again.
            gc.collect()
            gc.freeze()
            # Requests make no cycles worth speaking of; looking for them each 700 objects costs 5 % of a request.
            gc.set_threshold(10_000, 20, 50)
            if on_ready is not None:
                host, port = runner.addresses[0][:2]
                on_ready(Serving(host, port, runtime))
            await told.first.wait()
            await _drain(app[STATE], service, config.server.drain, told.second)
    return 0


async def _drain(state: ServerState, service: ChatService, limit: float, hurry: asyncio.Event) -> None:
    runtime = state.runtime
    runtime.draining = True
    logger.info("shutting down: %d open answers have %g s to finish", len(state.presence), limit)
    finishing = runtime.jobs.start(_finish(state, service, limit), "drain")
    hurrying = runtime.jobs.start(hurry.wait(), "hurry")
    await asyncio.wait({finishing, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not finishing.done():
        logger.warning("told again to stop: what is open ends now")
        finishing.cancel()
        await asyncio.wait({finishing})
    # Whatever is left is told why, in its stream, and stored as far as it came.
    state.presence.stop_stateless(ShuttingDown("the server is shutting down", retry_after=5.0))
    await service.drain(0.0)
    await asyncio.wait({runtime.jobs.start(state.presence.emptied(), "emptied")}, timeout=_LEAVE)


async def _finish(state: ServerState, service: ChatService, limit: float) -> None:
    """Return when every run has ended and no answer is open, or after *limit* seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            await service.drain(limit)
            await state.presence.emptied()


async def _open_authenticators(runtime: Runtime, loaded: Loaded, stack: AsyncExitStack) -> list[Authenticator]:
    """Open the authenticators that the configuration lists, in its order; one that fails stops the start."""
    opened: list[Authenticator] = []
    for index, item in enumerate(runtime.config.authenticators):
        path = f"authenticators[{index}]"
        name, options = (item, {}) if isinstance(item, str) else next(iter(item.items()))
        spec = runtime.assembly.authenticators.get(name)
        if spec is None:
            known = ", ".join(sorted(runtime.assembly.authenticators)) or "none"
            raise ConfigError(f"{path}: no authenticator {name!r} is installed; installed: {known}")
        config = plugin_config(spec.config, options or {}, loaded.environment, path=path)
        opened.append(await stack.enter_async_context(spec.open(config, _context(runtime, name))))
    return opened


def _context(runtime: Runtime, name: str) -> PluginContext:
    return PluginContext(
        name,
        runtime.connections.open_upstream,
        clock=runtime.clock,
        new_id=runtime.new_id,
        warn=logging.getLogger(f"palaver.authenticator.{name}").warning,
    )


@attrs.frozen
class _Told:
    """The two times somebody may tell us to stop."""

    first: asyncio.Event = attrs.field(factory=asyncio.Event)
    second: asyncio.Event = attrs.field(factory=asyncio.Event)

    def tell(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


@contextmanager
def _signals() -> Iterator[_Told]:
    told = _Told()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    if sys.platform == "win32":
        before = {number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(told.tell)) for number in numbers}
        try:
            yield told
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return
    for number in numbers:
        loop.add_signal_handler(number, told.tell)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def run_server(loaded: Loaded, assembly: Assembly, *, on_ready: Callable[[Serving], None] | None = None) -> int:
    """Serve in an event loop of its own, uvloop's where it is installed; returns the exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop]
    try:
        from uvloop import new_event_loop as factory
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(serve(loaded, assembly, on_ready=on_ready))
