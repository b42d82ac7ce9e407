"""Answers as they stream from the chat API: their frames, several readers, lost sockets, stopping."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from palaver.testing.fake_upstream import STALL, FakeUpstream

from .servers import Server, as_user, running
from .vendors import END, configured, says

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = ("Once ", "upon ", "a ", "time ", "🦊 ", "slept.")
TALE = "".join(WORDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: Any) -> AsyncIterator[tuple[FakeUpstream, Server]]:
    async with (
        FakeUpstream() as vendor,
        running(tmp_path_factory.mktemp("streams"), configured(vendor)) as server,
    ):
        yield vendor, server


@pytest.fixture
def vendor(served: tuple[FakeUpstream, Server]) -> FakeUpstream:
    """Give the vendor with nothing scripted."""
    served[0].clear()
    return served[0]


@pytest.fixture
def server(served: tuple[FakeUpstream, Server]) -> Server:
    return served[1]


def text_of(frames: list[Any]) -> str:
    return "".join(frame.data.get("content", "") for frame in frames if frame.data["type"] == "message")


def speaks(data: Any) -> bool:
    """Tell whether a frame carries text of the answer."""
    return data["type"] == "message" and data["content"] != ""


async def test_the_frames_are_those_that_the_web_ui_reads(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([*(says(word) for word in WORDS[:3]), gate, *(says(word) for word in WORDS[3:]), END])
    info = await server.send("tell me a tale", session_id="")
    assert f"/v1/chat/stream/{info['stream_id']}" == info["stream_url"]
    async with server.follow(info["stream_url"]) as stream:
        headers = stream.answer.headers
        assert "text/event-stream" == headers["Content-Type"].partition(";")[0]
        assert "no-cache" in headers["Cache-Control"]
        assert "no" == headers["X-Accel-Buffering"]
        assert "Content-Length" not in headers
        # The first words come while the vendor still holds the last ones back.
        frames = await stream.until(speaks)
        gate.set()
        frames += await stream.rest()
    assert TALE == text_of(frames)
    assert {"message"} == {frame.event for frame in frames}
    assert {info["session_id"]} == {frame.data["session_id"] for frame in frames}
    assert info["session_id"] == (await server.sessions())[0]
    first, *_, last = [frame.data for frame in frames]
    assert [info[name] for name in ("stream_id", "message_id", "user_message_id")] == [
        first[name] for name in ("stream_id", "message_id", "user_message_id")
    ]
    assert ("done", True) == (last["type"], last["done"])
    assert ["done"] == [frame.data["type"] for frame in frames if frame.data["type"] not in ("message",)]
    runs, numbers = zip(*(frame.id.rsplit("-", 1) for frame in frames), strict=True)
    assert {info["stream_id"]} == set(runs)
    assert sorted({int(number) for number in numbers}) == [int(number) for number in numbers]


async def test_every_reader_gets_the_same_bytes(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says(WORDS[0]), gate, *(says(word) for word in WORDS[1:]), END])
    info = await server.send("tell me a tale")
    async with server.follow(info["stream_url"]) as one, server.follow(info["stream_url"]) as two:
        await one.until(speaks)
        await two.until(speaks)
        gate.set()
        await asyncio.gather(one.rest(), two.rest())
    async with server.follow(info["stream_url"]) as late:
        await late.rest()
    assert TALE == text_of(await server.frames(info["stream_url"]))
    assert one.raw == two.raw
    assert one.raw == late.raw


async def test_from_every_id_a_reader_gets_exactly_the_rest(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([piece for word in WORDS for piece in (says(word), 0.002)] + [gate, END])
    info = await server.send("tell me a tale")
    async with server.follow(info["stream_url"]) as stream:
        seen = await stream.until(lambda data: "slept" in data.get("content", ""))
        # While it runs …
        for place, frame in enumerate(seen):
            async with server.follow(info["stream_url"], after=frame.id) as again:
                assert seen[place + 1 :] == [await again.next() for _ in seen[place + 1 :]]
        gate.set()
        frames = seen + await stream.rest()
    assert TALE == text_of(frames)
    assert len(frames) > 4
    # … and when it is over.
    for place, frame in enumerate(frames[:-1]):
        assert frames[place + 1 :] == await server.frames(info["stream_url"], after=frame.id)
    last = as_user("ann", Last_Event_ID=frames[-1].id)
    assert 204 == (await server.ask("GET", info["stream_url"], headers=last)).status


async def test_an_answer_is_made_and_stored_while_nobody_watches(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says(WORDS[0]), gate, *(says(word) for word in WORDS[1:]), END])
    info = await server.send("tell me a tale", session_id="left-alone")
    async with server.follow(info["stream_url"]) as stream:
        seen = await stream.until(speaks)
        stream.leave()
    gate.set()
    run = f"/v1/chat/runs/{info['stream_id']}"
    await server.until(run, lambda answer: answer.body["status"] == "done")
    assert ["tell me a tale", TALE] == [message["content"] for message in await server.history("left-alone")]
    assert TALE == text_of(seen + await server.frames(info["stream_url"], after=seen[-1].id))
    assert 1 == len(vendor.requests)


async def test_one_step_for_eventsource_sends_once_however_often_it_comes_back(
    vendor: FakeUpstream, server: Server
) -> None:
    gate = asyncio.Event()
    vendor.answer([says(WORDS[0]), gate, *(says(word) for word in WORDS[1:]), END])
    path = f"/v1/chat/stream?session_id=one-step&message={quote('tell me & all')}"
    async with server.follow(path) as stream:
        seen = await stream.until(speaks)
        stream.leave()
    async with server.follow(path, after=seen[-1].id) as stream:
        gate.set()
        rest = await stream.rest()
    assert TALE == text_of(seen + rest)
    over = await server.ask("GET", path, headers=as_user("ann", Last_Event_ID=rest[-1].id))
    assert (204, b"") == (over.status, over.body)
    assert 1 == len(vendor.requests)
    assert ["tell me & all", TALE] == [message["content"] for message in await server.history("one-step")]


async def test_one_step_is_not_for_other_sites_nor_for_a_look_ahead(vendor: FakeUpstream, server: Server) -> None:
    path = "/v1/chat/stream?session_id=lured&message=transfer"
    lured = await server.ask("GET", path, headers=as_user("ann", Sec_Fetch_Site="cross-site"))
    assert (403, "forbidden") == (lured.status, lured.body["code"])
    assert 405 == (await server.ask("HEAD", path)).status
    assert "lured" not in await server.sessions()
    assert [] == vendor.requests


@pytest.mark.parametrize("by", ["stream_id", "session_id"])
async def test_stop_closes_the_upstream_and_keeps_what_came(vendor: FakeUpstream, server: Server, by: str) -> None:
    vendor.answer([says("Half an "), STALL])
    vendor.answer([says("Whole."), END])
    info = await server.send("tell me a tale", session_id=f"stopped-by-{by}")
    async with server.follow(info["stream_url"]) as stream:
        await stream.until(speaks)
        async with asyncio.timeout(1):
            stopped = await server.ask("POST", "/v1/chat/stop", {by: info[by]})
            await vendor.requests[0].closed.wait()
        assert (200, "cancelled") == (stopped.status, stopped.body["status"])
        last = (await stream.rest())[-1].data
    assert ("done", "cancelled") == (last["type"], last["status"])
    _, answer = await server.history(info["session_id"])
    assert ("Half an ", "cancelled") == (answer["content"], answer["status"])
    # Stopping what has ended is no error, and changes nothing.
    again = await server.ask("POST", "/v1/chat/stop", {"stream_id": info["stream_id"]})
    assert (200, "cancelled") == (again.status, again.body["status"])
    answer = await server.ask("POST", "/v1/chat/send", {"message": "again", "session_id": info["session_id"]})
    assert (200, "Whole.") == (answer.status, answer.body["message"]["content"])


async def test_stop_also_reaches_an_upstream_that_has_not_said_a_word(vendor: FakeUpstream, server: Server) -> None:
    vendor.answer(b"", before=STALL)
    info = await server.send("anybody there?", session_id="silence")
    request = await asyncio.wait_for(vendor.received(), 5)
    async with asyncio.timeout(1):
        stopped = await server.ask("POST", "/v1/chat/stop", {"stream_id": info["stream_id"]})
        await request.closed.wait()
    assert "cancelled" == stopped.body["status"]
    assert ["anybody there?"] == [message["content"] for message in await server.history("silence")]


async def test_a_second_send_while_one_streams_is_409_and_is_not_stored(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says("One "), gate, says("moment."), END])
    info = await server.send("first", session_id="busy")
    busy = await server.ask("POST", "/v1/chat/send", {"message": "second", "session_id": "busy"})
    assert (409, "session_busy") == (busy.status, busy.body["code"])
    gate.set()
    assert "One moment." == text_of(await server.frames(info["stream_url"]))
    assert ["first", "One moment."] == [message["content"] for message in await server.history("busy")]


async def test_a_cut_answer_is_an_error_in_the_stream_and_kept_as_far_as_it_came(
    vendor: FakeUpstream, server: Server
) -> None:
    vendor.answer([says("Half an "), says("answer")])  # ends without the vendor's terminal marker
    info = await server.send("tell me a tale", session_id="cut")
    frames = await server.frames(info["stream_url"])
    assert "Half an answer" == text_of(frames)
    assert {"message"} == {frame.event for frame in frames}
    last = frames[-1].data
    assert ("error", "upstream_interrupted", True) == (last["type"], last["code"], last["retryable"])
    _, answer = await server.history("cut")
    assert ("Half an answer", "interrupted") == (answer["content"], answer["status"])


async def test_who_stops_waiting_for_a_whole_answer_leaves_it_to_be_made(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says("One "), gate, says("moment."), END])
    async with asyncio.TaskGroup() as tasks:
        body = {"message": "hurry", "session_id": "impatient"}
        waiting = tasks.create_task(server.ask("POST", "/v1/chat/send", body))
        request = await asyncio.wait_for(vendor.received(), 5)
        waiting.cancel()
    # A send of the same session is refused until the answer is whole, which it becomes.
    assert 409 == (await server.ask("POST", "/v1/chat/send", body)).status
    assert not request.closed.is_set()
    gate.set()
    messages = "/v1/chat/sessions/impatient/messages"
    told = await server.until(messages, lambda answer: len(answer.body["messages"]) == 2)
    assert ["hurry", "One moment."] == [message["content"] for message in told.body["messages"]]


async def test_many_sends_at_once_to_one_session_are_one_and_refusals(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says("One."), gate, END])
    path = "/v1/chat/send?streaming=true"
    answers = await asyncio.gather(
        *(server.ask("POST", path, {"message": f"{number}", "session_id": "crowd"}) for number in range(10))
    )
    assert [200] + [409] * 9 == sorted(answer.status for answer in answers)
    (won,) = [answer.body for answer in answers if answer.status == 200]
    gate.set()
    await server.frames(won["stream_url"])
    assert ["user", "assistant"] == [message["role"] for message in await server.history("crowd")]
    assert 1 == len(vendor.requests)


async def test_one_key_many_times_at_once_is_one_run(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says("Once."), gate, END])
    infos = await asyncio.gather(*(server.send("only once", session_id="keyed", key="k-1") for _ in range(10)))
    assert 1 == len({info["stream_id"] for info in infos})
    gate.set()
    assert "Once." == text_of(await server.frames(infos[0]["stream_url"]))
    assert ["only once", "Once."] == [message["content"] for message in await server.history("keyed")]
    assert 1 == len(vendor.requests)


async def test_deleting_a_session_under_its_stream_ends_it_and_brings_nothing_back(
    vendor: FakeUpstream, server: Server
) -> None:
    vendor.answer([says("Half "), STALL])
    vendor.answer([says("Anew."), END])
    info = await server.send("tell me", session_id="deleted")
    async with server.follow(info["stream_url"]) as stream:
        await stream.until(speaks)
        async with asyncio.timeout(2):
            assert 200 == (await server.ask("DELETE", "/v1/chat/sessions/deleted")).status
            await vendor.requests[0].closed.wait()
        last = (await stream.rest())[-1].data
    assert ("done", "cancelled") == (last["type"], last["status"])
    assert "deleted" not in await server.sessions()
    run = f"/v1/chat/runs/{info['stream_id']}"
    for gone in ("/v1/chat/sessions/deleted", "/v1/chat/sessions/deleted/messages", run, info["stream_url"]):
        assert 404 == (await server.ask("GET", gone)).status
    answer = await server.ask("POST", "/v1/chat/send", {"message": "again", "session_id": "deleted"})
    assert (200, "Anew.") == (answer.status, answer.body["message"]["content"])
    assert ["again"] == [message["content"] for message in vendor.requests[1].json["messages"]]


@pytest.mark.parametrize("path", ["/v1/chat/sessions/{}/messages", "/v1/chat/clear?session_id={}"])
async def test_what_is_being_answered_is_not_cleared(vendor: FakeUpstream, server: Server, path: str) -> None:
    gate = asyncio.Event()
    vendor.answer([says("One "), gate, says("moment."), END])
    session_id = f"cleared-{len(path)}"
    info = await server.send("tell me", session_id=session_id)
    async with server.follow(info["stream_url"]) as stream:
        await stream.until(speaks)
        refused = await server.ask("DELETE", path.format(session_id))
        assert (409, "session_busy") == (refused.status, refused.body["code"])
        gate.set()
        assert "done" == (await stream.rest())[-1].data["type"]
    assert ["tell me", "One moment."] == [message["content"] for message in await server.history(session_id)]
    assert 200 == (await server.ask("DELETE", path.format(session_id))).status
    assert [] == await server.history(session_id)
    # The stream's id tells no more than that it has ended.
    assert ["done"] == [frame.data["type"] for frame in await server.frames(info["stream_url"])]
    assert session_id in await server.sessions()
