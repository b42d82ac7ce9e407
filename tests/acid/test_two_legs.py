"""Acid test: two models answer in one run, as leg 0 and leg 1 of one sequence of numbers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from palaver import (
    Batch,
    Call,
    ChatRequest,
    EventStream,
    FinishReason,
    Message,
    NoConfig,
    Overloaded,
    PalaverError,
    Principal,
    ProviderSpec,
    ResponseFinished,
    Role,
    Run,
    RunStatus,
    StoredMessage,
    TextDelta,
    Usage,
    UsageReported,
)
from palaver.assembly import Assembly
from palaver.chat import ActiveRun, Runs, Turn, Watcher
from palaver.chat.turn import Emit
from palaver.codec import Codec
from palaver.config.schema import Config, ResilienceConfig
from palaver.contracts.storage import BeginSend, Lease
from palaver.events import LegEnded, RunEnded, RunStarted
from palaver.runtime import Runtime
from palaver.testing.clock import FakeClock, settle
from palaver.testing.memory_storage import MemoryStorage

ANN = Principal("ann")


class Vendor:
    """Two models, each saying what it is told."""

    def __init__(self) -> None:
        self.said: dict[str, asyncio.Queue[Batch | PalaverError]] = {"left": asyncio.Queue(), "right": asyncio.Queue()}

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        while True:
            batch = await self.said[request.model].get()
            if isinstance(batch, PalaverError):
                raise batch
            yield batch
            if any(isinstance(event, ResponseFinished) for event in batch):
                return

    def say(self, model: str, text: str) -> None:
        self.said[model].put_nowait([TextDelta(text)])

    def finish(self, model: str, tokens: int) -> None:
        self.said[model].put_nowait([UsageReported(Usage(1, tokens)), ResponseFinished(FinishReason.STOP)])


@asynccontextmanager
async def running(vendor: Vendor) -> AsyncIterator[Runtime]:
    @asynccontextmanager
    async def open_vendor(config: NoConfig, context: object) -> AsyncIterator[Vendor]:
        yield vendor

    clock = FakeClock()
    assembly = Assembly(providers={"acme": ProviderSpec("acme", NoConfig, open_vendor)})
    config = Config(resilience=ResilienceConfig(attempts=1))
    async with Runtime.open(config, assembly, clock=clock, storage=MemoryStorage(clock)) as runtime:
        yield runtime


async def begin(runtime: Runtime) -> Run:
    said = StoredMessage("u1", "s1", Message(Role.USER, "which way?"))
    op = BeginSend("ann", "s1", "run-1", "a1", (said,), Lease(runtime.server_id), title="Both")
    begun = await runtime.storage.write(op)
    run: Run = begun.run
    return run


def leg(runtime: Runtime, model: str) -> Callable[[Emit], Turn]:
    async def prepare() -> ChatRequest:
        return ChatRequest(f"acme/{model}", (Message(Role.USER, "which way?"),))

    def ask(request: ChatRequest) -> Awaitable[EventStream]:
        return runtime.stream(Call(request, ANN, "req-1", run_id="run-1"))

    return lambda emit: Turn(prepare, ask, emit=emit)


def watch(runtime: Runtime, runs: Runs, after_seq: int = 0) -> Watcher:
    def find_log():
        active = runs.find("ann", "run-1")
        return active.log if active else None

    return Watcher(runtime, Codec(), "ann", "run-1", find_log=find_log, after_seq=after_seq)


async def start(runtime: Runtime) -> tuple[Runs, ActiveRun]:
    runs = Runs(runtime, Codec())
    return runs, runs.start(await begin(runtime), [leg(runtime, "left"), leg(runtime, "right")])


async def test_two_models_stream_at_once_into_one_sequence() -> None:
    vendor = Vendor()
    async with running(vendor) as runtime:
        runs, active = await start(runtime)
        watcher = watch(runtime, runs)
        for model, text in (("left", "go "), ("right", "no, "), ("right", "stay"), ("left", "west")):
            vendor.say(model, text)
            await settle()
        vendor.finish("right", 2)
        await settle()
        assert not active.ended.is_set()
        vendor.finish("left", 3)
        events = [event for batch in [batch async for batch in watcher] for event in batch]

        assert list(range(1, len(events) + 1)) == [event.seq for event in events]
        assert RunStarted("s1", "u1", "a1") == events[0].body
        assert [(0, "go "), (1, "no, "), (1, "stay"), (0, "west")] == [
            (event.leg, item.text)
            for event in events
            if isinstance(event.body, tuple)
            for item in event.body
            if isinstance(item, TextDelta)
        ]
        ends = [(event.leg, event.body.usage.output_tokens) for event in events if isinstance(event.body, LegEnded)]
        assert [(1, 2), (0, 3)] == ends
        assert RunEnded(RunStatus.DONE) == events[-1].body

        stored = await runtime.storage.history("ann", "s1", limit=10)
        answers = {row.served_by.model: (row.id, row.message.text) for row in stored if row.served_by}
        assert {"left", "right"} == set(answers)
        assert ("a1", "go west") == answers["left"]
        assert "no, stay" == answers["right"][1]
        assert {"left", "right"} == {row.served_by.model for row in runtime.storage.usage_rows("ann")}

        # The log in storage has both legs too, in the same numbers.
        again = [
            event for batch in [batch async for batch in watch(runtime, Runs(runtime, Codec()))] for event in batch
        ]
        assert events == again


async def test_one_leg_that_fails_leaves_the_other_whole() -> None:
    vendor = Vendor()
    async with running(vendor) as runtime:
        _, active = await start(runtime)
        vendor.said["left"].put_nowait(Overloaded("not now"))
        await settle()
        vendor.say("right", "stay")
        vendor.finish("right", 1)
        await active.wait()
        assert RunStatus.DONE is active.run.status
        assert ["stay"] == [row.message.text for row in active.messages]


async def test_stopping_the_run_keeps_what_each_leg_has_said() -> None:
    vendor = Vendor()
    async with running(vendor) as runtime:
        _, active = await start(runtime)
        vendor.say("left", "go ")
        vendor.say("right", "no ")
        await settle()
        active.stop(RunStatus.CANCELLED)
        await active.wait()
        assert [("go ", "cancelled"), ("no ", "cancelled")] == [
            (row.message.text, row.status.value) for row in active.messages
        ]
