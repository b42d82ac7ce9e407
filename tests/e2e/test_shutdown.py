"""An orderly end: what is open finishes or is told, what is new is refused, and the process goes."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from palaver.testing.fake_upstream import STALL, FakeUpstream

from .servers import asking, running
from .vendors import END, configured, says

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def vendor() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as vendor:
        yield vendor


async def test_readiness_falls_first_then_open_answers_finish_and_new_ones_are_refused(
    vendor: FakeUpstream, tmp_path: Path
) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    for number, gate in enumerate(gates):
        vendor.answer([says(f"{number}: once "), gate, says("and for all."), END])
    config = configured(vendor, server={"drain": 20})
    async with running(tmp_path, config) as server, asyncio.TaskGroup() as tasks:
        # In turn, so that each gets its own gate.
        first = await server.send("one", session_id="watched")
        async with server.follow(first["stream_url"]) as watched:
            await watched.until(lambda data: "once" in data.get("content", ""))
            waited = tasks.create_task(server.ask("POST", "/v1/chat/send", {"message": "two", "session_id": "waited"}))
            await vendor.received(2)
            async with server.follow("/v1/chat/completions", asking("three", "m", stream=True)) as called:
                await called.next()
                server.signal(signal.SIGTERM)
                ready = await server.until("/readyz", lambda answer: answer.status == 503)
                assert "draining" == ready.body["status"]
                assert 200 == (await server.ask("GET", "/livez")).status
                send = await server.ask("POST", "/v1/chat/send", {"message": "late", "session_id": "late"})
                assert (503, "shutting_down", True) == (send.status, send.body["code"], send.body["retryable"])
                assert "Retry-After" in send.headers
                call = await server.complete("late", model="m")
                assert (503, "shutting_down") == (call.status, call.body["error"]["code"])
                step = await server.ask("GET", "/v1/chat/stream?message=late")
                assert (503, "shutting_down") == (step.status, step.body["code"])
                # What is stored can still be read, and a reader can still come back.
                assert {"watched", "waited"} == set(await server.sessions())
                async with server.follow(first["stream_url"]) as second_reader:
                    for gate in gates:
                        gate.set()
                    assert "done" == (await second_reader.rest())[-1].data["type"]
                assert "[DONE]" == (await called.rest())[-1].text
            assert "0: once and for all." == "".join(
                ["0: once ", *(frame.data.get("content", "") for frame in await watched.rest())]
            )
        answer = await waited
        assert (200, "1: once and for all.") == (answer.status, answer.body["message"]["content"])
        # Idle connections, of which the session still has some, hold nothing up.
        assert 0 == await server.ended(5)


async def test_what_does_not_finish_in_time_is_told_in_its_own_way_and_stored(
    vendor: FakeUpstream, tmp_path: Path
) -> None:
    vendor.answer([says("Half "), STALL])
    config = configured(vendor, server={"drain": 0.3})
    async with running(tmp_path, config) as server, asyncio.TaskGroup() as tasks:
        info = await server.send("one", session_id="watched")
        async with server.follow(info["stream_url"]) as watched:
            await watched.until(lambda data: "Half" in data.get("content", ""))
            waited = tasks.create_task(server.ask("POST", "/v1/chat/send", {"message": "two", "session_id": "waited"}))
            plain = tasks.create_task(server.complete("three", model="m"))
            await vendor.received(3)
            async with server.follow("/v1/chat/completions", asking("four", "m", stream=True)) as called:
                await called.next()
                server.signal(signal.SIGTERM)
                async with asyncio.timeout(3):
                    told = (await called.rest())[-1]
                    last = (await watched.rest())[-1].data
                    answers = await waited, await plain
        assert "shutting_down" == told.data["error"]["code"]
        assert ("error", "interrupted") == (last["type"], last["status"])
        assert (503, "interrupted", True) == (
            answers[0].status,
            answers[0].body["code"],
            answers[0].body["retryable"],
        )
        assert "Half " == answers[0].body["message"]["content"]
        assert (503, "shutting_down") == (answers[1].status, answers[1].body["error"]["code"])
        for request in vendor.requests:
            await asyncio.wait_for(request.closed.wait(), 2)
        assert 0 == await server.ended(5)
        assert "Traceback" not in server.log.read_text()
    async with running(tmp_path, config) as again:
        for session_id in ("watched", "waited"):
            _, answer = await again.history(session_id)
            assert ("Half ", "interrupted") == (answer["content"], answer["status"])
        frames = await again.frames(info["stream_url"])
        assert ["Half ", "interrupted"] == [frames[1].data["content"], frames[-1].data["status"]]


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_told_twice_it_ends_at_once_and_still_keeps_what_came(
    vendor: FakeUpstream, tmp_path: Path, first: int
) -> None:
    vendor.answer([says("Half "), STALL])
    config = configured(vendor, server={"drain": 60})
    async with running(tmp_path, config) as server:
        info = await server.send("one", session_id="watched")
        async with server.follow(info["stream_url"]) as watched:
            await watched.until(lambda data: "Half" in data.get("content", ""))
            server.signal(first)
            await server.until("/readyz", lambda answer: answer.status == 503)
            server.signal(signal.SIGTERM)
            async with asyncio.timeout(3):
                assert "interrupted" == (await watched.rest())[-1].data["status"]
                assert 0 == await server.ended()
    # The database itself says so, without another server's help.
    assert [(1, "interrupted")] == await asyncio.to_thread(_answers, tmp_path)


def _answers(folder: Path) -> list[tuple[int, str]]:
    database = sqlite3.connect(f"file:{folder}/.palaver/palaver.db?mode=ro", uri=True)
    try:
        select = "SELECT instr(content, 'Half ') > 0, status FROM chat_messages WHERE role = 'assistant'"
        return database.execute(select).fetchall()
    finally:
        database.close()


async def test_a_reader_that_takes_nothing_does_not_hold_it_up(vendor: FakeUpstream, tmp_path: Path) -> None:
    vendor.answer([*(says("x" * 60_000) for _ in range(100)), STALL])
    async with (
        running(tmp_path, configured(vendor, server={"drain": 0.2})) as server,
        server.follow("/v1/chat/completions", asking("much", "m", stream=True)) as stream,
    ):
        await stream.next()
        server.signal(signal.SIGTERM)
        assert 0 == await server.ended(8)
        stream.leave()


async def test_with_nothing_open_it_ends_at_once(vendor: FakeUpstream, tmp_path: Path) -> None:
    async with running(tmp_path, configured(vendor, server={"drain": 60})) as server:
        assert 200 == (await server.ask("GET", "/readyz")).status
        server.signal(signal.SIGTERM)
        assert 0 == await server.ended(2)
