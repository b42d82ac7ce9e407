"""Acid test: a client that saw more than was stored before the server died resumes, and gets the terminal event."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from palaver import (
    Batch,
    ChatRequest,
    NoConfig,
    Principal,
    ProviderSpec,
    RunEvent,
    RunStatus,
    TextDelta,
)
from palaver.assembly import Assembly
from palaver.chat import ChatService, Send
from palaver.config.schema import ChatConfig, Config, LlmConfig
from palaver.events import RunEnded
from palaver.runtime import Runtime
from palaver.testing.clock import FakeClock, settle
from palaver.testing.memory_storage import MemoryStorage

ANN = Principal("ann")


class Endless:
    """A provider that says what it is told and never finishes."""

    def __init__(self) -> None:
        self.words: asyncio.Queue[str] = asyncio.Queue()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        while True:
            yield [TextDelta(await self.words.get())]


class Disk(MemoryStorage):
    """A storage that outlives the processes that use it; a dead process reaches it no more."""


class Wire:
    """One process's way to the disk; cut, it is as if the process had been killed."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.cut = False

    def __getattr__(self, name: str):
        if self.cut:
            return self._dead
        return getattr(self._disk, name)

    async def _dead(self, *args: object, **fields: object) -> None:
        await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def process(
    wire: Wire, clock: FakeClock, server_id: str, vendor: Endless | None = None
) -> AsyncIterator[ChatService]:
    @asynccontextmanager
    async def open_vendor(config: NoConfig, context: object) -> AsyncIterator[Endless]:
        yield vendor or Endless()

    config = Config(llm=LlmConfig(provider="acme", model="m"), chat=ChatConfig(titles=False))
    assembly = Assembly(providers={"acme": ProviderSpec("acme", NoConfig, open_vendor)})
    async with Runtime.open(config, assembly, clock=clock, storage=wire, server_id=server_id) as runtime:
        yield ChatService(runtime)


async def read_all(service: ChatService, run_id: str, after_seq: int) -> list[RunEvent]:
    watcher = await service.watch(ANN, run_id, after_seq=after_seq)
    return [event for events in [batch async for batch in watcher] for event in events]


async def test_resuming_beyond_the_stored_end_delivers_the_terminal_event() -> None:
    clock, vendor = FakeClock(), Endless()
    disk = Disk(clock)
    wire = Wire(disk)
    async with process(wire, clock, "first", vendor) as first:
        started = await first.send(ANN, Send("hello", "s1"))
        await settle()
        for word in ("stored ", "text "):
            vendor.words.put_nowait(word)
        await settle()
        await clock.advance(1.0)  # one flush window
        for word in ("never ", "stored"):
            vendor.words.put_nowait(word)
        await settle()
        watcher = await first.watch(ANN, started.run_id)
        seen = list(watcher.ready())
        assert [1, 2, 3, 4, 5] == [event.seq for event in seen]
        wire.cut = True  # kill -9: nothing of this process reaches the disk any more

        async with process(Wire(disk), clock, "second") as second:
            # The lease may still hold: whoever resumes waits, and then gets the end.
            async with asyncio.TaskGroup() as group:
                early = group.create_task(read_all(second, started.run_id, 5))
                await clock.advance(40.0)
            (end,) = early.result()
            assert RunEnded(RunStatus.INTERRUPTED) == end.body
            assert end.seq > 5

            # From any number a client may hold, stored or not, the end comes once and nothing twice.
            for cursor in (3, 4, 5, 17):
                events = await read_all(second, started.run_id, cursor)
                assert [RunEnded(RunStatus.INTERRUPTED)] == [event.body for event in events]
                assert events[0].seq > cursor
            assert [*seen[:3], end] == await read_all(second, started.run_id, 0)
            assert [] == await read_all(second, started.run_id, end.seq)

            page = await second.list_messages(ANN, "s1", limit=10)
            assert [("hello", "complete"), ("stored text ", "interrupted")] == [
                (row.message.text, row.status.value) for row in page.items
            ]
        wire.cut = False  # so that what is left of the first process can end
