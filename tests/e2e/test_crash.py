"""After kill -9 and a restart on the same database: nothing acknowledged is lost, nothing happens twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_asyncio
from palaver.testing.fake_upstream import STALL, FakeUpstream

from .servers import Answer, Frame, Server, as_user, running
from .vendors import END, configured, says

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: One word each 20 ms for 2.4 s; then nothing more.
WORDS = [f"word{number:03} " for number in range(120)]
PACE = 0.02
#: What the docs promise: what was seen this long before the crash is stored, plus what a commit takes.
FLUSH = 1.0
COMMIT = 0.5


@attrs.define
class Crash:
    """A server that was killed while it answered, the one after it, and what clients saw before."""

    vendor: FakeUpstream
    server: Server
    #: Frames of the answer under way, each with the loop's time at which it was seen.
    seen: list[tuple[float, Frame]]
    killed_at: float
    under_way: Any
    finished: Answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crash(tmp_path_factory: Any) -> AsyncIterator[Crash]:
    folder = tmp_path_factory.mktemp("crash")
    loop = asyncio.get_running_loop()
    async with FakeUpstream() as vendor:
        # The lease is over before the next server is up, so its first sweep finds the run.
        config = configured(vendor, chat={"lease_seconds": 0.5})
        vendor.answer([says("Done."), END])
        vendor.answer([*(piece for word in WORDS for piece in (says(word), PACE)), STALL])
        vendor.answer([says("Next."), END])
        async with running(folder, config) as server:
            body = {"message": "finish this", "session_id": "finished"}
            finished = await server.ask(
                "POST", "/v1/chat/send", body, headers=as_user("ann", Idempotency_Key="key-finished")
            )
            under_way = await server.send("answer at length", session_id="under-way", key="key-under-way")
            seen = []
            async with server.follow(under_way["stream_url"]) as stream:
                while (frame := await stream.next()) is not None:
                    seen.append((loop.time(), frame))
                    if WORDS[-1] in frame.data["content"]:
                        break
                await server.kill()
                killed_at = loop.time()
        async with running(folder, config) as server:
            yield Crash(vendor, server, seen, killed_at, under_way, finished)


async def send_again(crash: Crash, key: str, message: str, session_id: str) -> Answer:
    return await crash.server.ask(
        "POST",
        "/v1/chat/send?streaming=true",
        {"message": message, "session_id": session_id},
        headers=as_user("ann", Idempotency_Key=key),
    )


async def test_the_next_server_ends_the_run_and_keeps_what_was_flushed(crash: Crash) -> None:
    run = f"/v1/chat/runs/{crash.under_way['stream_id']}"
    async with asyncio.timeout(0.5 + 5 + 1):  # lease, sweep, slack
        ended = await crash.server.until(run, lambda answer: answer.body["status"] != "running")
    assert "interrupted" == ended.body["status"]
    messages = await crash.server.history("under-way")
    assert ["user", "assistant"] == [message["role"] for message in messages[:2]]
    user, answer = messages[:2]
    assert ("answer at length", crash.under_way["user_message_id"]) == (user["content"], user["id"])
    assert ("interrupted", crash.under_way["message_id"]) == (answer["status"], answer["id"])
    stored = answer["content"]
    assert "".join(WORDS).startswith(stored)
    before = crash.killed_at - FLUSH - COMMIT
    promised = "".join(frame.data["content"] for at, frame in crash.seen if at < before)
    assert len(promised) > 100
    assert stored.startswith(promised), (len(stored), len(promised))


async def test_resuming_from_any_id_delivers_the_end(crash: Crash) -> None:
    run = f"/v1/chat/runs/{crash.under_way['stream_id']}"
    await crash.server.until(run, lambda answer: answer.body["status"] != "running")
    (_, answer, *_) = await crash.server.history("under-way")
    frames = [frame for _, frame in crash.seen]
    # The first, one in the middle, and the last that was seen, which was never stored.
    for place in (0, len(frames) // 2, len(frames) - 1):
        rest = await crash.server.frames(crash.under_way["stream_url"], after=frames[place].id)
        last = rest[-1].data
        assert ("error", "interrupted", True) == (last["type"], last["status"], last["retryable"])
        assert ["error"] == [frame.data["type"] for frame in rest if frame.data["type"] != "message"]
        had = "".join(frame.data["content"] for frame in frames[: place + 1])
        told = had + "".join(frame.data["content"] for frame in rest[:-1])
        # Without gap or duplicate: either all that was stored, or what the client had already.
        assert told == (had if len(had) > len(answer["content"]) else answer["content"])
        again = await crash.server.ask(
            "GET", crash.under_way["stream_url"], headers=as_user("ann", Last_Event_ID=rest[-1].id)
        )
        assert 204 == again.status
    whole = await crash.server.frames(crash.under_way["stream_url"])
    assert answer["content"] == "".join(frame.data.get("content", "") for frame in whole)


async def test_the_same_key_and_body_is_the_same_run_and_another_body_is_409(crash: Crash) -> None:
    asked = len(crash.vendor.requests)
    for key, message, session_id, run_id in (
        ("key-finished", "finish this", "finished", crash.finished.body["stream_id"]),
        ("key-under-way", "answer at length", "under-way", crash.under_way["stream_id"]),
    ):
        again = await send_again(crash, key, message, session_id)
        assert (200, run_id, session_id) == (again.status, again.body["stream_id"], again.body["session_id"])
        other = await send_again(crash, key, "something else", session_id)
        assert (409, "conflict") == (other.status, other.body["code"])
        contents = [message["content"] for message in await crash.server.history(session_id)]
        assert 1 == contents.count(message)
        assert "something else" not in contents
    assert asked == len(crash.vendor.requests)
    # Without streaming the stored answer is replayed.
    body = {"message": "finish this", "session_id": "finished"}
    replayed = await crash.server.ask(
        "POST", "/v1/chat/send", body, headers=as_user("ann", Idempotency_Key="key-finished")
    )
    assert (200, "Done.") == (replayed.status, replayed.body["message"]["content"])
    assert crash.finished.body["message"]["id"] == replayed.body["message"]["id"]


async def test_both_conversations_go_on(crash: Crash) -> None:
    run = f"/v1/chat/runs/{crash.under_way['stream_id']}"
    await crash.server.until(run, lambda answer: answer.body["status"] != "running")
    for session_id, said in (("finished", "finish this"), ("under-way", "answer at length")):
        answer = await crash.server.ask("POST", "/v1/chat/send", {"message": "go on", "session_id": session_id})
        assert (200, "Next.") == (answer.status, answer.body["message"]["content"])
        sent = crash.vendor.requests[-1].json["messages"]
        assert [("user", said), ("assistant", None), ("user", "go on")] == [
            (message["role"], None if message["role"] == "assistant" else message["content"]) for message in sent
        ]
    assert {"finished", "under-way"} == set(await crash.server.sessions())
