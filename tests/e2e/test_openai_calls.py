"""Stateless calls of the OpenAI surface: who leaves closes the upstream, and failures are told where they happen."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from palaver.testing.fake_upstream import STALL, End, FakeUpstream, Received, Scripted

from .servers import Following, Server, as_user, asking, running
from .vendors import DONE, END, configured, delta, ended, failed, says, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETIONS = "/v1/chat/completions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: Any) -> AsyncIterator[tuple[FakeUpstream, Server]]:
    async with FakeUpstream() as vendor:
        config = configured(vendor, server={"keepalive": 0.2})
        config["providers"]["nobody"] = {
            "plugin": "openai",
            "base_url": f"http://127.0.0.1:{unused_port()}/v1",
            "api_key": "none",
        }
        async with running(tmp_path_factory.mktemp("openai"), config) as server:
            yield vendor, server


@pytest.fixture
def vendor(served: tuple[FakeUpstream, Server]) -> FakeUpstream:
    """Give the vendor with nothing scripted."""
    served[0].clear()
    return served[0]


@pytest.fixture
def server(served: tuple[FakeUpstream, Server]) -> Server:
    return served[1]


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def chunks(stream: Following) -> list[Any]:
    """Read to the end; the last one is the text ``[DONE]`` where the stream has it."""
    return [frame.text if frame.text == "[DONE]" else frame.data for frame in await stream.rest()]


async def test_nothing_of_a_call_is_kept(vendor: FakeUpstream, server: Server) -> None:
    vendor.answer(whole("Hello."))
    answer = await server.complete("hi", user="stateless")
    assert (200, "Hello.") == (answer.status, answer.body["choices"][0]["message"]["content"])
    assert [] == await server.sessions(user="stateless")


async def test_a_stream_has_one_id_role_first_finish_reason_usage_and_done(
    vendor: FakeUpstream, server: Server
) -> None:
    vendor.answer([says("Hel"), says("lo."), ended(prompt_tokens=7, completion_tokens=5, total_tokens=12)])
    body = asking("hi", "m", stream=True, stream_options={"include_usage": True})
    async with server.follow(COMPLETIONS, body) as stream:
        assert "no" == stream.answer.headers["X-Accel-Buffering"]
        *told, done = await chunks(stream)
    assert "[DONE]" == done
    assert 1 == len({chunk["id"] for chunk in told})
    assert {"chat.completion.chunk"} == {chunk["object"] for chunk in told}
    *said, usage = told
    assert ("assistant", "") == (said[0]["choices"][0]["delta"]["role"], said[0]["choices"][0]["delta"]["content"])
    assert "Hello." == "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in said)
    assert [None] * (len(said) - 1) + ["stop"] == [chunk["choices"][0]["finish_reason"] for chunk in said]
    assert ([], 7, 5, 12) == (
        usage["choices"],
        *(usage["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")),
    )


async def test_usage_does_not_come_unasked(vendor: FakeUpstream, server: Server) -> None:
    vendor.answer([says("Hello."), END])
    async with server.follow(COMPLETIONS, asking("hi", "m", stream=True)) as stream:
        *told, _ = await chunks(stream)
    assert not [chunk for chunk in told if chunk.get("usage")]
    assert not [chunk for chunk in told if not chunk["choices"]]


@pytest.mark.parametrize("streaming", [True, False])
async def test_who_leaves_before_the_first_byte_closes_the_upstream(
    vendor: FakeUpstream, server: Server, streaming: bool
) -> None:
    vendor.answer(b"", before=STALL)
    async with asyncio.TaskGroup() as tasks:
        body = asking("hi", "m", stream=streaming)
        calling = tasks.create_task(server.ask("POST", COMPLETIONS, body))
        request = await asyncio.wait_for(vendor.received(), 5)
        calling.cancel()
        async with asyncio.timeout(1):
            await request.closed.wait()


async def test_who_leaves_in_the_middle_closes_the_upstream(vendor: FakeUpstream, server: Server) -> None:
    vendor.answer([says("Hello"), STALL])
    async with server.follow(COMPLETIONS, asking("hi", "m", stream=True)) as stream:
        await stream.next()
        stream.leave()
        async with asyncio.timeout(1):
            await vendor.requests[0].closed.wait()


async def test_who_leaves_a_whole_answer_half_made_closes_the_upstream(vendor: FakeUpstream, server: Server) -> None:
    body, begun = json.dumps(whole("Hello.")).encode(), asyncio.Event()

    def half(_: Received) -> Scripted:
        begun.set()
        return Scripted((body[:40], STALL), headers=(("Content-Type", "application/json"),))

    vendor.answer_with(half)
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(server.complete("hi"))
        request = await asyncio.wait_for(vendor.received(), 5)
        await begun.wait()
        calling.cancel()
        async with asyncio.timeout(1):
            await request.closed.wait()


def error(status: int, code: str = "", **headers: str) -> dict[str, Any]:
    body = {"error": {"message": "no", "code": code or None}}
    return {"status": status, "body": body, "headers": {name.replace("_", "-"): text for name, text in headers.items()}}


#: What the vendor does → our status, our code, whether to try again.
FAILURES: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "rejected": (error(400), 400, "provider_rejected", "false"),
    "key": (error(401), 502, "provider_auth_failed", "false"),
    "model": (error(404, "model_not_found"), 404, "model_not_found", "false"),
    "limit": (error(429, Retry_After="7"), 429, "rate_limited", "true"),
    "quota": (error(429, "insufficient_quota"), 429, "insufficient_quota", "false"),
    "down": (error(500), 502, "upstream_failed", "true"),
    "overloaded": (error(503), 503, "overloaded", "true"),
    "page": ({"body": b"<html>hello</html>", "content_type": "text/html"}, 502, "upstream_malformed", "false"),
    "silent end": ({"body": b"", "end": End.CUT}, 502, "upstream_interrupted", "true"),
}


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_before_content_is_a_plain_error_with_its_own_status(
    vendor: FakeUpstream, server: Server, name: str, streaming: bool
) -> None:
    script, status, code, again = FAILURES[name]
    vendor.answer(**script)
    answer = await server.complete("hi", model="m", stream=streaming)
    assert "application/json" == answer.headers["Content-Type"].partition(";")[0]
    assert (status, code) == (answer.status, answer.body["error"]["code"])
    assert {"message", "type", "param", "code", "request_id", "retryable"} <= answer.body["error"].keys()
    assert again == answer.headers["x-should-retry"]
    if name == "limit":
        assert "7" == answer.headers["Retry-After"]


async def test_a_vendor_that_cannot_be_reached_is_502(server: Server) -> None:
    answer = await server.complete("hi", model="nobody/m")
    assert (502, "upstream_unreachable") == (answer.status, answer.body["error"]["code"])


@pytest.mark.parametrize(
    ("pieces", "end", "code"),
    [
        ([], End.CUT, "upstream_interrupted"),
        ([], End.RESET, "upstream_interrupted"),
        ([], End.FINISH, "upstream_interrupted"),
        ([failed("on fire")], End.FINISH, "upstream_failed"),
        ([delta("abort")], End.FINISH, "upstream_interrupted"),
    ],
    ids=["cut", "reset", "no terminal marker", "error event", "aborted"],
)
async def test_a_failure_after_content_is_told_in_the_stream_and_done_is_not(
    vendor: FakeUpstream, server: Server, pieces: list[bytes], end: End, code: str
) -> None:
    vendor.answer([says("Half "), says("an answer"), *pieces, *([DONE] if pieces else [])], end=end)
    async with server.follow(COMPLETIONS, asking("hi", "m", stream=True)) as stream:
        *told, last = await chunks(stream)
    assert "Half an answer" == "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in told)
    assert {None} == {chunk["choices"][0]["finish_reason"] for chunk in told}
    assert code == last["error"]["code"]
    assert isinstance(last["error"]["message"], str)


async def test_keep_alives_begin_while_the_upstream_is_silent(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says("At last."), END], before=gate)
    async with server.follow(COMPLETIONS, asking("hi", "m", stream=True)) as stream:
        for _ in range(3):
            assert (await stream.next_block() or "").startswith(":")
        gate.set()
        *told, done = await chunks(stream)
    assert "At last." == "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in told)
    assert "[DONE]" == done


async def test_keep_alives_go_on_between_two_words(vendor: FakeUpstream, server: Server) -> None:
    gate = asyncio.Event()
    vendor.answer([says("One,"), gate, says(" two."), END])
    async with server.follow(COMPLETIONS, asking("hi", "m", stream=True)) as stream:
        while "One," not in (await stream.next_block() or ""):
            pass
        assert (await stream.next_block() or "").startswith(":")
        gate.set()
        assert "[DONE]" == (await chunks(stream))[-1]


async def test_a_failure_after_the_keep_alives_began_is_told_in_the_stream(
    vendor: FakeUpstream, server: Server
) -> None:
    gate = asyncio.Event()
    vendor.answer({"error": {"message": "no"}}, status=503, before=gate)
    async with server.follow(COMPLETIONS, asking("hi", "m", stream=True)) as stream:
        assert (await stream.next_block() or "").startswith(":")
        gate.set()
        (told,) = await chunks(stream)
    assert ("overloaded", True) == (told["error"]["code"], told["error"]["retryable"])


async def test_models_are_listed_and_found_under_their_own_names(server: Server) -> None:
    listed = await server.ask("GET", "/v1/models")
    assert "list" == listed.body["object"]
    assert "vendor/m" in [model["id"] for model in listed.body["data"]]
    for name in ("vendor/m", "m"):
        found = await server.ask("GET", f"/v1/models/{name}", headers=as_user("ann"))
        assert (200, name, "vendor") == (found.status, found.body["id"], found.body["owned_by"])
