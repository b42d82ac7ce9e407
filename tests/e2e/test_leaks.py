"""A smell of leaks: after thousands of calls the server is no bigger and holds no more than after hundreds."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import pytest_asyncio

from .servers import PATIENCE, Server, asking, running

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, which only Linux has"),
]

COMPLETIONS = "/v1/chat/completions"
AT_ONCE = 20
#: Far above noise (the allocator's steps are 256 KiB to 1 MiB), far below 2,000 requests or answers kept.
GROWTH = 8 * 1024 * 1024
#: A long word makes a kept request weigh something, 2,000 of them 16 MB and more; many words make a long stream.
BULK = "x" * 8192
WORDS = "word " * 1600


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: Any) -> AsyncIterator[Server]:
    config = {"llm": {"provider": "mock"}, "logging": {"level": "warn"}}
    async with running(tmp_path_factory.mktemp("leaks"), config) as server:
        yield server


def resident(server: Server) -> int:
    """Give the bytes of memory in use."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def opened(server: Server) -> int:
    """Count the open file descriptors."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


async def repeat(times: int, server: Server, call: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
    """Make *times* calls, ``AT_ONCE`` at a time, over connections that are closed afterwards."""

    async def some() -> None:
        for _ in range(times // AT_ONCE):
            await call(client)

    async with aiohttp.ClientSession() as session:
        client = attrs.evolve(server, session=session)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(some())


async def settled(server: Server, before: int) -> None:
    """Return when no more descriptors are open than *before*, but for a few that a database opens when needed."""
    async with asyncio.timeout(PATIENCE):
        # The server closes in its own time.
        while opened(server) > before + 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def plain(server: Server) -> None:
    assert 200 == (await server.complete(BULK, model="mock/echo")).status


async def streamed(server: Server) -> None:
    async with server.follow(COMPLETIONS, asking("hi", "mock/echo", stream=True)) as stream:
        assert "[DONE]" == (await stream.rest())[-1].text


async def refused(server: Server) -> None:
    assert 404 == (await server.complete("hi", model="nobody/has-this")).status


async def left_early(server: Server) -> None:
    async with server.follow(COMPLETIONS, asking(WORDS, "mock/echo", stream=True)) as stream:
        await stream.next()
        stream.leave()


async def test_two_thousand_calls_leave_nothing_behind(server: Server) -> None:
    descriptors = opened(server)
    for call, times in ((plain, 300), (streamed, 100), (refused, 40)):
        await repeat(times, server, call)
    before = resident(server)
    for call, times in ((plain, 1400), (streamed, 400), (refused, 200)):
        await repeat(times, server, call)
    assert resident(server) - before < GROWTH
    await settled(server, descriptors)


async def test_clients_that_leave_leave_nothing_behind(server: Server) -> None:
    descriptors = opened(server)
    await repeat(60, server, left_early)
    before = resident(server)
    await repeat(200, server, left_early)
    await settled(server, descriptors)
    assert resident(server) - before < GROWTH
