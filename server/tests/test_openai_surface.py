"""The OpenAI surface over real sockets: answers, failures before and after content, clients that leave, drain."""

import asyncio
from typing import Any

import aiohttp
from palaver import (
    FinishReason,
    Overloaded,
    RateLimited,
    ResponseFinished,
    ShuttingDown,
    TextDelta,
    UpstreamInterrupted,
    Usage,
)
from palaver.testing import FakeProvider
from palaver.testing.fakes import say

PATH = "/v1/chat/completions"
ANN = {"X-User-ID": "ann"}
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**ASK, "stream": True}
STALL = FakeProvider.STALL


async def test_a_whole_answer(start: Any) -> None:
    async with start(FakeProvider(say("hel", "lo", usage=Usage(3, 2)))) as server:
        status, answer = await server.json("POST", PATH, ASK)
        assert 200 == status
        assert ("hello", "stop") == (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"])
        assert {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5} == answer["usage"]
        assert not server.provider.requests[0].streaming


async def test_a_streamed_answer_is_server_sent_events_that_no_proxy_holds_back(server: Any) -> None:
    async with server.client.post(PATH, json=STREAM, headers=ANN) as answer:
        assert "text/event-stream" == answer.headers["Content-Type"]
        assert ("no-cache", "no") == (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"])
        assert answer.headers["X-Request-ID"].startswith("req_")
        lines = (await answer.text()).split("\n\n")
    assert ["data: [DONE]", ""] == lines[-2:]
    assert all(line.startswith("data: {") for line in lines[:-2])


async def test_usage_is_kept_for_the_caller_without_being_waited_for(start: Any) -> None:
    async with start(FakeProvider(say("a", usage=Usage(3, 2)))) as server:
        await server.json("POST", PATH, ASK)
        await server.frames("POST", PATH, STREAM)
        await server.state.usage.flush()
        assert [Usage(3, 2)] * 2 == [row.usage for row in server.storage.usage_rows("ann")]


async def test_a_failure_before_content_is_an_answer_with_its_own_status(start: Any) -> None:
    for body in (ASK, STREAM):
        async with start(FakeProvider([RateLimited("slow down", retry_after=7)])) as server:
            async with server.client.post(PATH, json=body, headers=ANN) as answer:
                assert (429, "application/json") == (answer.status, answer.content_type)
                assert ("7", "true") == (answer.headers["Retry-After"], answer.headers["x-should-retry"])
                error = (await answer.json())["error"]
            assert ("slow down", "rate_limit_error", "rate_limited") == (error["message"], error["type"], error["code"])


async def test_a_failure_after_content_is_told_in_the_stream_and_there_is_no_done(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("half"),), UpstreamInterrupted("cut")])) as server:
        frames = await server.frames("POST", PATH, STREAM)
    assert "half" == frames[1].data["choices"][0]["delta"]["content"]
    assert ("cut", "upstream_interrupted") == (frames[-1].data["error"]["message"], frames[-1].data["error"]["code"])
    assert all("[DONE]" != frame.data for frame in frames)
    assert all(frame.data["choices"][0]["finish_reason"] is None for frame in frames[:-1])


async def test_a_bug_in_a_plugin_says_nothing_of_itself(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("half"),), ValueError("password=hunter2")])) as server:
        frames = await server.frames("POST", PATH, STREAM)
        assert "hunter2" not in str(frames)
        assert "error" in frames[-1].data


async def test_an_unknown_model_is_404_and_nobody_is_asked(server: Any) -> None:
    status, answer = await server.json("POST", PATH, {**ASK, "model": "zzz"})
    assert (404, "model_not_found", "model") == (status, answer["error"]["code"], answer["error"]["param"])
    assert [] == server.provider.requests


async def test_the_default_model_answers_when_none_is_named(server: Any) -> None:
    status, answer = await server.json("POST", PATH, {"messages": ASK["messages"]})
    assert (200, "m") == (status, answer["model"])


async def test_a_client_that_leaves_closes_the_upstream_at_every_stage(start: Any) -> None:
    answers = {
        "while streaming": (STREAM, [(TextDelta("a"),), STALL]),
        "before the first byte": (STREAM, [STALL]),
        "without streaming": (ASK, [(TextDelta("a"),), STALL]),
    }
    for body, answer in answers.values():
        async with start(FakeProvider(answer)) as server:
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
                url = server.client.make_url(PATH)

                async def ask(session: Any = session, url: Any = url, body: Any = body) -> None:
                    async with session.post(url, json=body, headers=ANN) as response:
                        await response.read()

                asking = tasks.create_task(ask())
                await server.until(lambda server=server: server.provider.open == 1)
                asking.cancel()
            await server.until(lambda server=server: server.provider.open == 0)
            assert 0 == len(server.state.presence)


async def test_headers_wait_for_content_and_then_for_patience_only(start: Any) -> None:
    async with start(FakeProvider([STALL])) as server, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(server.client.post(PATH, json=STREAM, headers=ANN))
        await server.until(lambda: server.provider.open == 1)
        assert not asking.done()
        server.state.presence.round(asyncio.get_running_loop().time() + server.state.keepalive + 1)
        answer = await asking
        assert 200 == answer.status
        assert b": keep-alive\n\n" == await answer.content.readuntil(b"\n\n")
        # From here a failure can only be told inside the stream.
        server.state.presence.stop_stateless(ShuttingDown("going down"))
        frame = await server.next_frame(answer)
        assert "going down" == frame.data["error"]["message"]
        assert b"" == await answer.content.read()


async def test_an_answer_that_the_drain_ends_before_content_is_503(start: Any) -> None:
    for body in (ASK, STREAM):
        async with start(FakeProvider([STALL])) as server, asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(server.json("POST", PATH, body))
            await server.until(lambda server=server: server.provider.open == 1)
            server.state.presence.stop_stateless(ShuttingDown("going down"))
            status, answer = await asking
            assert (503, "shutting_down") == (status, answer["error"]["code"])
            assert 0 == server.provider.open


async def test_a_draining_server_takes_no_new_call(server: Any) -> None:
    server.runtime.draining = True
    status, answer = await server.json("POST", PATH, ASK)
    assert (503, "shutting_down") == (status, answer["error"]["code"])


async def test_a_batch_leaves_as_one_block(start: Any) -> None:
    batch = (TextDelta("a"), TextDelta("b"), ResponseFinished(FinishReason.STOP))
    async with start(FakeProvider([batch])) as server, server.client.post(PATH, json=STREAM, headers=ANN) as answer:
        block = await answer.content.readany()
        assert block.startswith(b"data: {")
        assert block.endswith(b"data: [DONE]\n\n")


async def test_models_are_listed_with_their_instance(server: Any) -> None:
    status, answer = await server.json("GET", "/v1/models")
    assert (200, "list", ["fake/m"]) == (status, answer["object"], [model["id"] for model in answer["data"]])
    status, model = await server.json("GET", "/v1/models/fake/m")
    assert (200, "fake/m", "model", "fake") == (status, model["id"], model["object"], model["owned_by"])
    status, answer = await server.json("GET", "/v1/models/nope")
    assert (404, "model_not_found") == (status, answer["error"]["code"])


async def test_the_server_overload_of_a_vendor_is_passed_on(start: Any) -> None:
    async with start(FakeProvider([Overloaded("busy")])) as server:
        status, answer = await server.json("POST", PATH, ASK)
        assert (503, "server_error", "overloaded") == (status, answer["error"]["type"], answer["error"]["code"])
