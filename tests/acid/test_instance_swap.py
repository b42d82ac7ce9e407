"""Acid test: an instance is swapped under an open stream; the stream ends whole, the next call gets the new one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
from palaver import (
    Batch,
    Call,
    ChatRequest,
    FinishReason,
    Message,
    ModelNotFound,
    PluginContext,
    Principal,
    ProviderSpec,
    ResponseFinished,
    Role,
    TextDelta,
    setting,
)
from palaver.assembly import Assembly
from palaver.config.schema import Config, ProviderEntry
from palaver.runtime import Runtime


@attrs.frozen
class AcmeConfig:
    word: str = setting(default="old")
    broken: bool = setting(default=False)


class Acme:
    def __init__(self, word: str, gate: asyncio.Event) -> None:
        self._word = word
        self._gate = gate

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        yield [TextDelta(self._word)]
        await self._gate.wait()
        yield [TextDelta(f" {self._word}"), ResponseFinished(FinishReason.STOP)]


class Account:
    """The plugin's rim: counts what is open, so that a test sees when an instance closes."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.log: list[str] = []

    @asynccontextmanager
    async def open(self, config: AcmeConfig, context: PluginContext) -> AsyncIterator[Acme]:
        if config.broken:
            raise RuntimeError("no such luck")
        self.log.append(f"open {config.word}")
        try:
            yield Acme(config.word, self.gate)
        finally:
            self.log.append(f"close {config.word}")


def call() -> Call[ChatRequest]:
    return Call(ChatRequest("acme/m", (Message(Role.USER, "hi"),)), Principal("ann"), "req-1")  # type: ignore[arg-type]


@asynccontextmanager
async def running(account: Account) -> AsyncIterator[Runtime]:
    spec = ProviderSpec("acme", AcmeConfig, account.open)
    async with Runtime.open(Config(), Assembly(providers={"acme": spec}), with_storage=False) as runtime:
        yield runtime


async def test_a_swap_leaves_the_open_stream_whole_and_serves_the_next_call_anew() -> None:
    account = Account()
    async with running(account) as runtime:
        stream = await runtime.stream(call())
        assert [TextDelta("old")] == list(await anext(stream))

        state = await runtime.put_instance("acme", ProviderEntry(plugin="acme", options={"word": "new"}))
        assert "ready" == state.state
        assert ["open old", "open new"] == account.log

        account.gate.set()
        rest = [event async for batch in stream for event in batch]
        assert [TextDelta(" old"), ResponseFinished(FinishReason.STOP)] == rest
        await runtime.jobs.drain(5.0)
        assert ["open old", "open new", "close old"] == account.log

        fresh = await runtime.stream(call())
        assert [TextDelta("new")] == list(await anext(fresh))
        await fresh.aclose()
    assert ["open old", "open new", "close old", "close new"] == account.log


async def test_an_instance_that_cannot_open_leaves_the_old_one_serving() -> None:
    account = Account()
    async with running(account) as runtime:
        state = await runtime.put_instance("acme", ProviderEntry(plugin="acme", options={"broken": True}))
        assert ("failed", "RuntimeError while opening; the log has the traceback") == (state.state, state.reason)
        stream = await runtime.stream(call())
        assert [TextDelta("old")] == list(await anext(stream))
        await stream.aclose()


async def test_a_removed_instance_finishes_its_streams_and_is_unknown_to_new_calls() -> None:
    account = Account()
    async with running(account) as runtime:
        stream = await runtime.stream(call())
        assert await runtime.remove_instance("acme")
        with pytest.raises(ModelNotFound):
            await runtime.stream(call())
        account.gate.set()
        assert "old old" == "".join([e.text async for b in stream for e in b if isinstance(e, TextDelta)])
    assert ["open old", "close old"] == account.log
