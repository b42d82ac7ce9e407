"""The runtime over a small plugin: what observers hear of calls, and a plugin that wants to end the process."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from palaver import (
    Batch,
    Call,
    CallEnded,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    Message,
    NoConfig,
    Observation,
    PalaverError,
    Principal,
    ProviderRejected,
    ProviderSpec,
    Purpose,
    Role,
    ServedBy,
    Usage,
)
from palaver.assembly import Assembly
from palaver.config.schema import Config
from palaver.runtime import Runtime

ANN = Principal("ann")  # type: ignore[arg-type]


class Acme:
    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        raise ProviderRejected("no")
        yield ()

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        return Embeddings(((1.0,),), usage=Usage(1))


@asynccontextmanager
async def open_acme(config: Any, context: Any) -> AsyncIterator[Acme]:
    yield Acme()


@asynccontextmanager
async def open_and_exit(config: Any, context: Any) -> AsyncIterator[Acme]:
    sys.exit(3)
    yield Acme()


class Heard:
    def __init__(self) -> None:
        self.ended: list[CallEnded] = []

    def observe(self, observation: Observation) -> None:
        if isinstance(observation, CallEnded):
            self.ended.append(observation)


@asynccontextmanager
async def running(**openers: Any) -> AsyncIterator[tuple[Runtime, Heard]]:
    specs = {name: ProviderSpec(name, NoConfig, opener) for name, opener in openers.items()}
    async with Runtime.open(Config(), Assembly(providers=specs), with_storage=False) as runtime:
        heard = Heard()
        runtime.add_observer(heard)
        yield runtime, heard


def chat(model: str) -> Call[ChatRequest]:
    return Call(ChatRequest(model, (Message(Role.USER, "hi"),)), ANN, "req-1")


async def test_a_failed_call_is_told_with_the_target_it_failed_on() -> None:
    async with running(acme=open_acme) as (runtime, heard):
        with pytest.raises(ProviderRejected):
            await runtime.stream(chat("acme/m"))
    assert [(ServedBy("acme", "m"), "provider_rejected")] == [(call.served_by, call.outcome) for call in heard.ended]


async def test_a_call_that_reaches_no_target_is_told_without_one() -> None:
    async with running(acme=open_acme) as (runtime, heard):
        with pytest.raises(PalaverError):
            await runtime.stream(chat("unknown"))
    assert [(None, "model_not_found")] == [(call.served_by, call.outcome) for call in heard.ended]


async def test_embeddings_say_who_served_them_and_so_does_what_observers_hear() -> None:
    async with running(acme=open_acme) as (runtime, heard):
        embeddings = await runtime.embed(Call(EmbeddingRequest("acme/m", ("a",)), ANN, "req-1", Purpose.EMBED))
    served_by = ServedBy("acme", "m", "acme")
    assert served_by == embeddings.served_by
    assert [(served_by, "ok", Usage(1))] == [(call.served_by, call.outcome, call.usage) for call in heard.ended]


async def test_a_plugin_that_calls_sys_exit_while_opening_fails_alone() -> None:
    async with running(acme=open_acme, rude=open_and_exit) as (runtime, _):
        assert {"acme": "ready", "rude": "failed"} == {name: state.state for name, state in runtime.instances.items()}
        assert "instance 'rude' called sys.exit while opening" == runtime.instances["rude"].reason
