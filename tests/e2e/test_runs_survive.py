"""Nothing that was acknowledged is lost: over lost sockets, reconnects, kill -9 and an orderly end."""

import asyncio
import signal
from typing import Any

STORY = " ".join(f"word{number}" for number in range(60))


def text_of(frames: list[tuple[str, Any]]) -> str:
    return "".join(data["content"] for _, data in frames if data["type"] == "message")


async def test_a_lost_socket_is_resumed_without_gap_or_duplicate(serve: Any) -> None:
    server = await serve(script=[STORY], delay_ms=5)
    info = await server.send("tell me")
    begun = await server.follow(info["stream_url"], stop=10)
    rest = await server.follow(info["stream_url"], after=begun[-1][0])
    assert STORY == text_of(begun + rest).strip()
    assert "done" == rest[-1][1]["type"]
    ids = [event_id for event_id, _ in begun + rest]
    assert len(ids) == len(set(ids))


async def test_a_run_goes_on_when_everybody_has_left(serve: Any) -> None:
    server = await serve(script=[STORY], delay_ms=2)
    info = await server.send("tell me", session_id="s")
    await server.follow(info["stream_url"], stop=2)
    await server.until(f"/v1/chat/runs/{info['stream_id']}", lambda _, run: run["status"] != "running")
    _, history = await server.json("GET", "/v1/chat/sessions/s/messages")
    assert ["tell me", STORY] == [message["content"].strip() for message in history["messages"]]
    assert STORY == text_of(await server.follow(info["stream_url"])).strip()


async def test_kill_9_keeps_the_users_words_and_ends_the_stream_for_its_reader(serve: Any) -> None:
    config = {"chat": {"lease_seconds": 1, "flush_seconds": 0.05}}
    server = await serve(script=[{"text": STORY, "stall": 50}], delay_ms=10, config=config)
    info = await server.send("remember me", session_id="s")
    # Words come each 10 ms and are flushed each 50: when the fortieth is seen, the tenth is stored for certain.
    seen = await server.follow(info["stream_url"], stop=40)
    server.signal(signal.SIGKILL)
    await server.ended()

    again = await serve(script=[STORY], config=config)
    rest = await again.follow(info["stream_url"], after=seen[-1][0])
    assert ("error", "interrupted") == (rest[-1][1]["type"], rest[-1][1]["status"])
    _, history = await again.json("GET", "/v1/chat/sessions/s/messages")
    user, *answer = history["messages"]
    assert "remember me" == user["content"]
    assert STORY.startswith(answer[0]["content"].strip())
    assert "word10" in answer[0]["content"]
    assert "interrupted" == answer[0]["status"]
    status, whole = await again.json("POST", "/v1/chat/send", {"message": "go on", "session_id": "s"})
    assert (200, STORY) == (status, whole["message"]["content"].strip())


async def test_the_end_waits_for_open_answers_and_takes_no_new_ones(serve: Any) -> None:
    server = await serve(script=[STORY], delay_ms=10)
    info = await server.send("tell me", session_id="s")
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(server.follow(info["stream_url"]))
        await server.follow(info["stream_url"], stop=3)
        server.signal(signal.SIGTERM)
        await server.until("/readyz", lambda status, _: status == 503)
        assert 200 == (await server.json("GET", "/livez"))[0]
        status, answer = await server.json("POST", "/v1/chat/send", {"message": "me too"})
        assert (503, "shutting_down") == (status, answer["code"])
    assert STORY == text_of(following.result()).strip()
    assert "done" == following.result()[-1][1]["type"]
    assert 0 == await server.ended()


async def test_what_does_not_finish_in_time_is_told_and_stored(serve: Any) -> None:
    stalls = [{"text": STORY, "stall": 8, "times": 99}]
    server = await serve(script=stalls, config={"server": {"drain": 0.3}})
    info = await server.send("tell me", session_id="s")
    body = {"model": "mock/echo", "stream": True, "messages": [{"role": "user", "content": "hi"}]}

    async def call() -> str:
        async with server.session.post(
            server.url + "/v1/chat/completions", json=body, headers={"X-User-ID": "ann"}
        ) as answer:
            return await answer.text()

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(server.follow(info["stream_url"]))
        calling = tasks.create_task(call())
        # The ninth frame of a stream that stalls after eight words: both answers are under way.
        await server.follow(info["stream_url"], stop=8)
        await asyncio.sleep(0.2)
        server.signal(signal.SIGTERM)
    last = following.result()[-1][1]
    assert ("error", "interrupted") == (last["type"], last["status"])
    assert '"code":"shutting_down"' in calling.result()
    assert "[DONE]" not in calling.result()
    assert 0 == await server.ended()

    again = await serve(script=[STORY])
    _, history = await again.json("GET", "/v1/chat/sessions/s/messages")
    assert ["complete", "interrupted"] == [message.get("status", "complete") for message in history["messages"]]
    assert history["messages"][1]["content"].startswith("word0 word1")


async def test_told_twice_it_does_not_wait(serve: Any) -> None:
    server = await serve(script=[{"text": STORY, "stall": 3}], config={"server": {"drain": 60}})
    info = await server.send("tell me")
    await server.follow(info["stream_url"], stop=3)
    server.signal(signal.SIGTERM)
    await server.until("/readyz", lambda status, _: status == 503)
    server.signal(signal.SIGTERM)
    assert 0 == await server.ended(10)
