"""A chat over the real runtime: a vendor that a test plays by hand, storage in memory, time that stands still."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest
from palaver import (
    Batch,
    ChatRequest,
    FinishReason,
    NoConfig,
    Principal,
    ProviderSpec,
    ResponseFinished,
    RunEvent,
    StreamEvent,
    TextDelta,
)
from palaver.assembly import Assembly
from palaver.chat import ChatService, Send, Started, Watcher
from palaver.config.schema import ChatConfig, Config, LlmConfig, ResilienceConfig
from palaver.events import RunEnded
from palaver.runtime import Runtime
from palaver.testing.clock import FakeClock, settle
from palaver.testing.fakes import counting_ids
from palaver.testing.memory_storage import MemoryStorage

STOP = ResponseFinished(FinishReason.STOP, raw="stop")


class Vendor:
    """A provider that says what the test hands it, when the test hands it."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Batch | BaseException] = asyncio.Queue()
        self.title: str | BaseException = "A fine title"
        self.requests: list[ChatRequest] = []
        self.open = 0

    def say(self, *texts: str) -> None:
        """Say each text in a batch of its own."""
        for text in texts:
            self._said.put_nowait((TextDelta(text),))

    def send(self, *events: StreamEvent) -> None:
        """Send one batch."""
        self._said.put_nowait(events)

    def finish(self) -> None:
        """Send the terminal marker."""
        self._said.put_nowait((STOP,))

    def fail(self, error: BaseException) -> None:
        """Fail at this place."""
        self._said.put_nowait(error)

    @property
    def chats(self) -> list[ChatRequest]:
        """The requests that were no requests for a title."""
        return [request for request in self.requests if "palaver.purpose" not in request.metadata]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        self.requests.append(request)
        if request.metadata.get("palaver.purpose") == "title":
            if isinstance(self.title, BaseException):
                raise self.title
            yield (TextDelta(self.title), STOP)
            return
        self.open += 1
        try:
            while True:
                batch = await self._said.get()
                if isinstance(batch, BaseException):
                    raise batch
                yield batch
                if STOP in batch or any(isinstance(event, ResponseFinished) for event in batch):
                    return
        finally:
            self.open -= 1


@attrs.define
class Chat:
    """A service and what stands around it."""

    runtime: Runtime
    service: ChatService
    vendor: Vendor
    storage: MemoryStorage
    clock: FakeClock
    ann: Principal = Principal("ann")
    bob: Principal = Principal("bob")

    async def send(self, text: str = "hello", session_id: str = "s1", **fields: Any) -> Started:
        """Send as ann and let the run begin."""
        started = await self.service.send(self.ann, Send(text, session_id, **fields))
        await settle()
        return started

    async def read(self, run_id: str, after_seq: int = 0, principal: Principal | None = None) -> list[RunEvent]:
        """Watch to the end."""
        watcher = await self.service.watch(principal or self.ann, run_id, after_seq=after_seq)
        return await to_end(watcher)

    async def answer(self, text: str = "hello", *words: str, session_id: str = "s1") -> Started:
        """Send, and let the vendor give a whole answer."""
        self.vendor.say(*(words or ("fine",)))
        self.vendor.finish()
        started = await self.send(text, session_id)
        await self.service.result(self.ann, started)
        return started

    async def texts(self, session_id: str = "s1") -> list[tuple[str, str, str]]:
        """Read what is stored: role, text and status of each message."""
        page = await self.storage.list_messages(self.ann.owner, session_id, limit=100)
        assert page is not None
        return [(row.message.role.value, row.message.text, row.status.value) for row in page.items]


async def to_end(watcher: Watcher) -> list[RunEvent]:
    """Collect all events of a watcher."""
    return [event for events in [batch async for batch in watcher] for event in events]


def text_of(events: list[RunEvent]) -> str:
    """Join the text of a run's events."""
    return "".join(
        item.text
        for event in events
        if isinstance(event.body, tuple)
        for item in event.body
        if isinstance(item, TextDelta)
    )


def end_of(events: list[RunEvent]) -> RunEnded:
    """Give the terminal fact, which must be the last and only one."""
    ends = [event.body for event in events if isinstance(event.body, RunEnded)]
    assert 1 == len(ends)
    assert events[-1].body is ends[0]
    return ends[0]


OpenChat = Callable[..., AbstractAsyncContextManager[Chat]]


@asynccontextmanager
async def open_chat(
    *,
    storage: MemoryStorage | None = None,
    clock: FakeClock | None = None,
    llm: LlmConfig | None = None,
    server_id: str = "server-1",
    **chat: Any,
) -> AsyncIterator[Chat]:
    vendor = Vendor()

    @asynccontextmanager
    async def open_vendor(config: NoConfig, context: object) -> AsyncIterator[Vendor]:
        yield vendor

    clock = clock or FakeClock()
    storage = storage if storage is not None else MemoryStorage(clock)
    config = Config(
        llm=llm or LlmConfig(provider="acme", model="m"),
        chat=ChatConfig(**{"titles": False, **chat}),
        resilience=ResilienceConfig(attempts=1, breaker_failures=0),
    )
    spec = ProviderSpec("acme", NoConfig, open_vendor, model_prefixes=("m",))
    ids = counting_ids()
    async with Runtime.open(
        config,
        Assembly(providers={"acme": spec}),
        clock=clock,
        new_id=lambda prefix="": f"{server_id}-{ids(prefix)}",
        storage=storage,
        server_id=server_id,
    ) as runtime:
        service = ChatService(runtime)
        await settle()
        try:
            yield Chat(runtime, service, vendor, storage, clock)
        finally:
            storage.failing = None
            await runtime.jobs.drain(0.0)


@pytest.fixture(scope="session")
def chat_kit():
    """Give the pieces by name: ``open``, ``text_of``, ``end_of``, ``to_end``."""

    class Kit:
        open = staticmethod(open_chat)
        text_of = staticmethod(text_of)
        end_of = staticmethod(end_of)
        to_end = staticmethod(to_end)

    return Kit


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    """Give a chat with the default configuration, without titles."""
    async with open_chat() as opened:
        yield opened
