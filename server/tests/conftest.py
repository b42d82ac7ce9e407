"""A whole server around a provider that says what it is told: real sockets, real pipeline, storage in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import BaseRunner
from palaver import NoConfig, ProviderSpec
from palaver.assembly import Assembly
from palaver.chat import ChatService
from palaver.config.schema import Config, ResilienceConfig
from palaver.runtime import Runtime
from palaver.testing import FakeProvider
from palaver.testing.memory_storage import MemoryStorage
from palaver_server.app import create_app
from palaver_server.keys import STATE
from palaver_server.state import ServerState

ANN = {"X-User-ID": "ann"}


@attrs.frozen
class Frame:
    """One server-sent event as a client sees it; *data* is parsed where it is JSON."""

    data: Any
    event: str = "message"
    id: str = ""


@attrs.frozen
class Running:
    """A running server, a client for it, and what is behind it."""

    client: TestClient[Any, Any]
    provider: FakeProvider
    storage: MemoryStorage
    runtime: Runtime
    service: ChatService
    state: ServerState

    async def json(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = ANN, **more: Any
    ) -> tuple[int, Any]:
        """Send *body* as JSON; give status and parsed answer."""
        async with self.client.request(method, path, json=body, headers=headers, **more) as answer:
            return answer.status, json.loads(await answer.read() or b"null")

    async def frames(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = ANN) -> list[Frame]:
        """Read a whole event stream."""
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            assert 200 == answer.status, await answer.text()
            return parse_frames(await answer.text())

    async def next_frame(self, answer: ClientResponse) -> Frame:
        """Read the next frame of an open stream."""
        while True:
            block = await answer.content.readuntil(b"\n\n")
            if found := parse_frames(block.decode()):
                return found[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds, while the server makes its rounds."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            while not condition():
                self.state.presence.round(loop.time())
                await asyncio.sleep(0.005)


def parse_frames(text: str) -> list[Frame]:
    """Take an event stream apart; comments are left out."""
    frames = []
    for block in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        if "data" in fields:
            data = fields["data"]
            parsed = json.loads(data) if data.startswith("{") else data
            frames.append(Frame(parsed, fields.get("event", "message"), fields.get("id", "")))
    return frames


Start = Callable[..., AbstractAsyncContextManager[Running]]


class Site(TestServer):
    """aiohttp's test server cancels the handler of a client that left; ours does not, so tests must not."""

    async def _make_runner(self, **options: Any) -> BaseRunner:
        return await super()._make_runner(**{**options, "handler_cancellation": False})


@asynccontextmanager
async def start(provider: FakeProvider | None = None, config: Config | None = None) -> AsyncIterator[Running]:
    """Serve *provider* as the instance ``fake`` with the model ``m``."""
    provider = provider or FakeProvider()

    @asynccontextmanager
    async def open_provider(_: Any, __: Any) -> AsyncIterator[FakeProvider]:
        yield provider

    spec = ProviderSpec("fake", NoConfig, open_provider, model_prefixes=("m",))
    config = config or Config()
    if not config.llm.provider:
        llm = attrs.evolve(config.llm, provider="fake", model="m")
        config = attrs.evolve(config, llm=llm, resilience=ResilienceConfig(attempts=1, breaker_failures=0))
    storage = MemoryStorage()
    async with Runtime.open(config, Assembly(providers={"fake": spec}), storage=storage) as runtime:
        service = ChatService(runtime)
        app = create_app(runtime, service)
        async with TestClient(Site(app)) as client:
            try:
                yield Running(client, provider, storage, runtime, service, app[STATE])
            finally:
                await service.aclose()


@pytest.fixture(name="start")
def start_fixture() -> Start:
    """Give the way to start a server with a provider and a configuration of the test's own."""
    return start


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    """Serve a provider that says hello."""
    async with start() as running:
        yield running
