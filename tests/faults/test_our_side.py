"""1e, as far as one process shows it: a POST that is sent twice, and streams that no proxy holds back.

Slow and lost clients, stop, drain and kill are in ``tests/e2e``, with processes of their own.
"""

import asyncio
from typing import Any

import pytest
from palaver import ShuttingDown
from palaver.ids import Owner, SessionId
from palaver.testing import STALL, MemoryStorage
from palaver_server.keys import STATE

from .rig import ANN, DONE, Door, police, said, start

SEND = "/v1/chat/send"


@pytest.mark.parametrize("query", ["", "?streaming=true"])
async def test_u35_a_post_that_is_sent_again_to_another_server_is_one_message_and_one_answer(query: str) -> None:
    storage = MemoryStorage()
    headers = {**ANN, "Idempotency-Key": "once"}
    body = {"message": "hello", "session_id": "s"}
    async with start(storage=storage) as first, start(storage=storage) as second:
        hold = asyncio.Event()
        first.vendor.answer([said("fine"), hold, said("!", "stop"), DONE])
        second.vendor.answer_with(police)
        async with asyncio.TaskGroup() as group:
            before = group.create_task(first.client.post(f"{SEND}{query}", json=body, headers=headers))
            await first.vendor.received()
            again = group.create_task(second.client.post(f"{SEND}{query}", json=body, headers=headers))
            if query:
                ids = [(await (await post).json())["stream_id"] for post in (before, again)]
                assert ids[0] == ids[1]
            hold.set()
        for post in (before, again):
            assert 200 == post.result().status
            post.result().close()
        other = await second.client.post(f"{SEND}{query}", json={**body, "message": "other"}, headers=headers)
        assert 409 == other.status
        owner, session = Owner("ann"), SessionId("s")
        # Without streaming the answers have told that it is over; a stream's end is asked for.
        while await storage.active_run(owner, session) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        rows = await storage.history(owner, session, limit=10)
        assert [("user", "hello"), ("assistant", "fine!")] == [(row.message.role, row.message.text) for row in rows]
        assert [] == second.vendor.requests


@pytest.mark.parametrize("door", [Door.CHAT_STREAM, Door.OPENAI_STREAM])
async def test_u36_the_first_event_arrives_before_the_last_is_made(door: Door) -> None:
    async with start(keepalive=0.05) as rig:
        more = asyncio.Event()
        rig.vendor.answer([said("first"), more, said("last", "stop"), DONE])
        path, send = "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        if door.chat:
            async with rig.client.post(f"{SEND}?streaming=true", json={"message": "hi"}, headers=ANN) as answer:
                path = (await answer.json())["stream_url"]
        request: Any = rig.client.get(path, headers=ANN) if door.chat else rig.client.post(path, json=send, headers=ANN)
        async with asyncio.timeout(3), request as answer:
            assert ("no", "no-cache") == (answer.headers["X-Accel-Buffering"], answer.headers["Cache-Control"])
            got = b""
            # The words, and after them a comment that keeps the connection open, while the vendor thinks.
            while b"first" not in got or not got.partition(b"first")[2].partition(b"\n\n")[2].startswith(b":"):
                got += await answer.content.readany()
            assert b"last" not in got
            more.set()
            assert b"last" in await answer.content.read()


async def test_u34_a_call_without_content_yet_is_told_when_the_server_drains() -> None:
    async with start() as rig:
        rig.vendor.answer([STALL])
        async with asyncio.TaskGroup() as group:
            ask = group.create_task(rig.ask(Door.OPENAI_STREAM))
            request = await rig.vendor.received()
            rig.client.app[STATE].presence.stop_stateless(ShuttingDown("bye"))  # type: ignore[union-attr]
        seen = ask.result()
        assert seen.error is not None
        assert (503, "shutting_down") == (seen.status, seen.error["code"])
        await asyncio.wait_for(request.closed.wait(), 1)
