"""Bad input: each is a clear 4xx in the shape of its surface, never a 500, and nothing is half stored."""

import json
from typing import Any

import attrs
import pytest
from palaver.config.schema import Config, LimitsConfig

ANN = {"X-User-ID": "ann"}
JSON = {**ANN, "Content-Type": "application/json"}
SEND = "/v1/chat/send"
COMPLETIONS = "/v1/chat/completions"
DEEP = b'{"message":' + b"[" * 100 + b"]" * 100 + b"}"


def assert_chat_error(status: int, answer: Any) -> None:
    assert 400 <= status < 500, answer
    assert {"error", "code", "request_id", "retryable"} <= answer.keys()
    assert isinstance(answer["error"], str)
    assert answer["error"]


def assert_openai_error(status: int, answer: Any) -> None:
    assert 400 <= status < 500, answer
    assert ["error"] == list(answer)
    assert {"message", "type", "param", "code"} <= answer["error"].keys()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b"nonsense", JSON, 400),
        (b"[]", JSON, 400),
        (b"null", JSON, 400),
        (b'"text"', JSON, 400),
        (b'{"message": "\\ud800"}', JSON, 400),
        (b'{"message": "\xff"}', JSON, 400),
        (b'{"message": NaN}', JSON, 400),
        (DEEP, JSON, 400),
        (b'{"message":' + b"[" * 100_000, JSON, 400),
        (b'{"message": "hi"}', {**ANN, "Content-Type": "text/plain"}, 415),
        (b'{"message": "hi"}', {**ANN, "Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"message": "hi"}', {**JSON, "Content-Encoding": "gzip"}, 415),
        (b'{"message": "hi"}', {**ANN, "Content-Type": "application/json; charset=utf-16"}, 415),
    ],
)
@pytest.mark.parametrize("path", [SEND, COMPLETIONS])
async def test_a_body_that_is_no_json_object(
    server: Any, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with server.client.post(path, data=body, headers=headers) as answer:
        assert status == answer.status
        check = assert_openai_error if path == COMPLETIONS else assert_chat_error
        check(answer.status, await answer.json())
    assert [] == server.storage.writes
    assert [] == server.provider.requests


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "Invalid request format"),
        ({"message": ""}, 400, "Invalid request format"),
        ({"message": "  \n"}, 400, "Invalid request format"),
        ({"message": 5}, 400, "Invalid request format"),
        ({"message": None}, 400, "Invalid request format"),
        ({"message": "hi", "session_id": 5}, 400, "Invalid request format"),
        ({"message": "hi", "session_id": "a b"}, 400, None),
        ({"message": "hi", "session_id": "x" * 129}, 400, None),
        ({"message": "hi", "session_id": "../etc"}, 400, None),
        ({"message": "hi", "model": 5}, 400, "Invalid request format"),
        ({"message": "hi", "model": "nobody-has-this"}, 404, None),
        ({"message": "nul \0"}, 400, None),
    ],
)
async def test_a_send_that_cannot_be(server: Any, body: Any, status: int, text: str | None) -> None:
    for path in (SEND, f"{SEND}?streaming=true"):
        found, answer = await server.json("POST", path, body)
        assert status == found
        assert_chat_error(found, answer)
        assert text is None or text == answer["error"]
    assert [] == server.storage.writes


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", f"{SEND}?streaming=maybe", {"message": "hi"}, 400),
        ("POST", f"{SEND}?streaming=true&streaming=false", {"message": "hi"}, 400),
        ("GET", "/v1/chat/stream", None, 400),
        ("GET", "/v1/chat/stream?message=", None, 400),
        ("GET", "/v1/chat/stream?message=hi&session_id=a%20b", None, 400),
        ("GET", "/v1/chat/sessions?limit=ten", None, 400),
        ("GET", "/v1/chat/sessions?page=1.5", None, 400),
        ("GET", "/v1/chat/sessions?total=perhaps", None, 400),
        ("GET", "/v1/chat/sessions?limit=1&limit=2", None, 400),
        ("GET", "/v1/chat/sessions/nope", None, 404),
        ("GET", "/v1/chat/sessions/%00", None, 404),
        ("GET", "/v1/chat/sessions/" + "x" * 500, None, 404),
        ("GET", "/v1/chat/sessions/nope/messages", None, 404),
        ("PUT", "/v1/chat/sessions/nope", {"title": "x"}, 404),
        ("PUT", "/v1/chat/sessions/nope", {}, 400),
        ("PUT", "/v1/chat/sessions/nope", {"title": " "}, 400),
        ("PUT", "/v1/chat/sessions/nope", {"title": 5}, 400),
        ("PUT", "/v1/chat/sessions/nope", {"title": "x" * 256}, 400),
        ("POST", "/v1/chat/sessions", {"title": "x" * 256}, 400),
        ("POST", "/v1/chat/sessions", {"title": ["x"]}, 400),
        ("POST", "/v1/chat/sessions", [], 400),
        ("DELETE", "/v1/chat/sessions/nope", None, 404),
        ("GET", "/v1/chat/runs/nope", None, 404),
        ("GET", "/v1/chat/stream/" + "x" * 500, None, 404),
        ("POST", "/v1/chat/stop", {}, 400),
        ("POST", "/v1/chat/stop", {"stream_id": 5}, 400),
        ("POST", "/v1/chat/stop", {"stream_id": "nope"}, 404),
        ("POST", "/v1/chat/stop", {"session_id": "nope"}, 404),
        ("DELETE", "/v1/chat/clear?session_id=nope", None, 404),
        ("PATCH", "/v1/chat/sessions/x", {}, 405),
        ("GET", SEND, None, 405),
        ("GET", "/v1/chat/send-with-files", None, 404),
        ("GET", "/v1/chat/..%2f..%2fetc", None, 404),
    ],
)
async def test_requests_that_cannot_be(server: Any, method: str, path: str, body: Any, status: int) -> None:
    found, answer = await server.json(method, path, body)
    assert status == found
    assert_chat_error(found, answer)


@pytest.mark.parametrize("last", ["x", "-5", "run_1-", "run_1-x", "other-5", "run_1-99999999999999999999"])
async def test_a_last_event_id_that_nobody_sent(server: Any, last: str) -> None:
    status, answer = await server.json("GET", "/v1/chat/stream/run_1", headers={**ANN, "Last-Event-ID": last})
    assert 400 == status
    assert_chat_error(status, answer)


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
async def test_an_idempotency_key_that_is_none(server: Any, key: str) -> None:
    status, answer = await server.json("POST", SEND, {"message": "hi"}, {**ANN, "Idempotency-Key": key})
    assert_chat_error(status, answer)
    assert [] == server.storage.writes


async def test_a_body_over_the_limit_is_413_by_its_length_and_by_its_bytes(start: Any) -> None:
    async with start(config=Config(limits=attrs.evolve(LimitsConfig(), body=1000))) as server:

        async def endless() -> Any:
            for _ in range(100):
                yield b" " * 100

        for data in (b" " * 2000, endless()):
            async with server.client.post(SEND, data=data, headers=JSON) as answer:
                assert 413 == answer.status
                assert_chat_error(413, await answer.json())


async def test_an_enormous_message_is_413(start: Any) -> None:
    async with start(config=Config(limits=attrs.evolve(LimitsConfig(), message=1000))) as server:
        status, answer = await server.json("POST", SEND, {"message": "é" * 501})
        assert 413 == status
        assert_chat_error(status, answer)
        assert [] == server.storage.writes
        assert 200 == (await server.json("POST", SEND, {"message": "é" * 500}))[0]


async def test_json_up_to_the_depth_is_taken(server: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "nested": json.loads("[" * 63 + "]" * 63)}
    assert 200 == (await server.json("POST", COMPLETIONS, body))[0]
    body["nested"] = [body["nested"]]
    status, answer = await server.json("POST", COMPLETIONS, body)
    assert_openai_error(status, answer)
    assert "64 levels" in answer["error"]["message"]


async def test_what_nobody_knows_in_a_query_is_ignored(server: Any) -> None:
    assert 200 == (await server.json("GET", "/v1/chat/sessions?colour=blue&limit=5"))[0]


async def test_authentication_comes_before_the_body(server: Any) -> None:
    for path in (SEND, COMPLETIONS):
        async with server.client.post(path, data=b"{", headers={"Content-Type": "text/plain"}) as answer:
            assert 401 == answer.status


async def test_unknown_paths_and_methods_have_the_shape_of_their_surface(server: Any) -> None:
    for path in ("/nope", "/v1/chat/nope", "/v1/chat/sessions/a/b/c"):
        assert_chat_error(*await server.json("GET", path))
    for path in ("/v1/embeddings", "/v1/responses"):
        status, answer = await server.json("POST", path, {})
        assert 404 == status
        assert_openai_error(status, answer)
    async with server.client.get(COMPLETIONS, headers=ANN) as answer:
        assert (405, "POST") == (answer.status, answer.headers["Allow"])
        assert_openai_error(405, await answer.json())


async def test_a_request_id_is_taken_over_only_when_it_is_well_formed(server: Any) -> None:
    for given, kept in (("abc-1.2_3", True), ("a b", False), ("x" * 129, False)):
        async with server.client.get("/livez", headers={"X-Request-ID": given}) as answer:
            assert kept == (answer.headers["X-Request-ID"] == given)


async def test_a_storage_that_is_down_is_503_and_not_our_fault_to_hide(server: Any) -> None:
    from palaver import StorageUnavailable

    server.storage.failing = StorageUnavailable("the database is away")
    status, answer = await server.json("POST", SEND, {"message": "hi"})
    assert (503, "storage_unavailable", True) == (status, answer["code"], answer["retryable"])
    assert 503 == (await server.json("GET", "/readyz"))[0]
    assert 200 == (await server.json("GET", "/livez"))[0]
