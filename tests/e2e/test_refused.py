"""Bad input over a real socket: each a clear 4xx in its surface's own shape, nothing stored, and the server well."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import attrs
import pytest
import pytest_asyncio
from multidict import CIMultiDict
from palaver.testing.fake_upstream import FakeUpstream

from .servers import Answer, Server, running
from .vendors import configured

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "callers-key-0123456789"
USER = ("X-User-ID", "ann")
JSON = ("Content-Type", "application/json")
SENT = (USER, JSON)
IDEMPOTENCY, LAST = "Idempotency-Key", "Last-Event-ID"
BEARER = ("Authorization", f"Bearer {KEY}")
SEND, COMPLETIONS, RUN_1 = "/v1/chat/send", "/v1/chat/completions", "/v1/chat/stream/run_1"
DEEP = b"[" * 65 + b"]" * 65
BOTTOMLESS = b"[" * 200_000
ENORMOUS = b'"' + b"x" * 1_048_577 + b'"'
#: Over the limit that this server is given for a body, which spares the test 32 MiB.
BODY_LIMIT = 2_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: Any) -> AsyncIterator[tuple[FakeUpstream, Server]]:
    async with FakeUpstream() as vendor:
        config = configured(vendor, limits={"body": BODY_LIMIT})
        folder = tmp_path_factory.mktemp("refused")
        async with running(folder, config, AICHAT_API_KEYS=f"carol={KEY}") as server:
            yield vendor, server


@attrs.frozen
class Case:
    """A request that cannot be, and what it gets."""

    about: str
    status: int
    path: str
    data: bytes | None = None
    method: str = "POST"
    headers: Sequence[tuple[str, str]] = (USER, JSON)
    #: A part of the error's text.
    says: str = ""


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def typed(kind: str) -> Sequence[tuple[str, str]]:
    return USER, ("Content-Type", kind)


def identity(path: str, data: bytes | None, method: str = "POST") -> list[Case]:
    """List what can be wrong with credentials, on any route."""
    wrong = {
        "nobody": [],
        "empty user": [("X-User-ID", "")],
        "two users": [USER, ("X-User-ID", "bob")],
        "the same user twice": [USER, USER],
        "a user with a space": [("X-User-ID", "ann bob")],
        "a user with a comma": [("X-User-ID", "ann,bob")],
        "a user in brackets": [("X-User-ID", "<ann>")],
        "too long a user": [("X-User-ID", "a" * 256)],
        "an unknown key": [("Authorization", "Bearer nobody-knows-this-key")],
        "a key that is empty": [("Authorization", "Bearer ")],
        "a key of another scheme": [("Authorization", "Basic YW5uOmFubg==")],
        "two keys": [BEARER, BEARER],
    }
    cases = [Case(f"{about} at {path}", 401, path, data, method, [JSON, *sent]) for about, sent in wrong.items()]
    # Identity comes before the body, so a wrong body changes nothing; both credentials at once are 400.
    cases.append(Case(f"nobody, and a bad body, at {path}", 401, path, b"{", method, [JSON]))
    cases.append(Case(f"user and key at {path}", 400, path, data, method, [JSON, USER, BEARER], says="send one"))
    return cases


def bodies(path: str, good: bytes) -> list[Case]:
    """List what can be wrong with a body before anybody reads its fields."""
    return [
        Case(f"no body at {path}", 400, path, b""),
        Case(f"half JSON at {path}", 400, path, good[:-1]),
        Case(f"JSON and more at {path}", 400, path, good + b"}"),
        Case(f"an array at {path}", 400, path, b"[" + good + b"]"),
        Case(f"null at {path}", 400, path, b"null"),
        Case(f"a text at {path}", 400, path, b'"hi"'),
        Case(f"NaN at {path}", 400, path, good[:-1] + b',"x":NaN}'),
        Case(f"broken UTF-8 at {path}", 400, path, good[:-1] + b',"x":"\xff\xfe"}'),
        Case(f"half a surrogate pair at {path}", 400, path, good.replace(b"hi", b"\\ud800")),
        Case(f"65 levels at {path}", 400, path, good[:-1] + b',"x":' + DEEP + b"}"),
        Case(f"no bottom at {path}", 400, path, good[:-1] + b',"x":' + BOTTOMLESS),
        Case(f"a body over the limit at {path}", 413, path, good[:-1] + b" " * BODY_LIMIT + b"}"),
        Case(f"plain text at {path}", 415, path, good, headers=typed("text/plain")),
        Case(f"no type at {path}", 415, path, good, headers=typed("")),
        Case(f"a form at {path}", 415, path, b"message=hi", headers=typed("application/x-www-form-urlencoded")),
        Case(f"UTF-16 at {path}", 415, path, good, headers=typed("application/json; charset=utf-16")),
        Case(f"gzip at {path}", 415, path, gzip.compress(good), headers=(USER, JSON, ("Content-Encoding", "gzip"))),
        Case(f"a host that is not ours at {path}", 421, path, good, headers=(USER, JSON, ("Host", "evil.example"))),
        Case(f"a page of another site at {path}", 403, path, good, headers=(*SENT, ("Sec-Fetch-Site", "cross-site"))),
    ]  # fmt: skip


CHAT = [
    *identity(SEND, body(message="hi")),
    *identity("/v1/chat/sessions", None, "GET"),
    *bodies(SEND, body(message="hi")),
    *bodies(f"{SEND}?streaming=true", body(message="hi")),
    Case("no message", 400, SEND, body(session_id="s"), says="Invalid request format"),
    Case("an empty message", 400, SEND, body(message=""), says="Invalid request format"),
    Case("a blank message", 400, SEND, body(message=" \n\t"), says="Invalid request format"),
    Case("a message that is a number", 400, SEND, body(message=5), says="Invalid request format"),
    Case("a message that is a list", 400, SEND, body(message=["hi"]), says="Invalid request format"),
    Case("a NUL", 400, SEND, body(message="a\0b")),
    Case("an enormous message", 413, SEND, b'{"message":' + ENORMOUS + b"}"),
    Case("a session that is a number", 400, SEND, body(message="hi", session_id=5)),
    Case("a session that no id can be", 400, SEND, body(message="hi", session_id="../x")),
    Case("too long a session", 400, SEND, body(message="hi", session_id="s" * 129)),
    Case("a model nobody has", 404, SEND, body(message="hi", model="nobody/has-this"), says="nobody/has-this"),
    Case("a model that is a number", 400, SEND, body(message="hi", model=5)),
    Case("streaming: maybe", 400, f"{SEND}?streaming=maybe", body(message="hi")),
    Case("streaming twice", 400, f"{SEND}?streaming=true&streaming=false", body(message="hi")),
    Case("too long a key", 400, SEND, body(message="hi"), headers=(*SENT, (IDEMPOTENCY, "k" * 256))),
    Case("two keys", 400, SEND, body(message="hi"), headers=(*SENT, (IDEMPOTENCY, "a"), (IDEMPOTENCY, "b"))),
    Case("one step without a message", 400, "/v1/chat/stream", method="GET", says="message parameter is required"),
    Case("one step with a bad session", 400, "/v1/chat/stream?message=hi&session_id=a%2Fb", method="GET"),
    Case("one step, unknown model", 404, "/v1/chat/stream?message=hi&model=nobody", method="GET"),
    Case("an unknown stream", 404, "/v1/chat/stream/run_unknown", method="GET"),
    Case("a bad place to resume", 400, RUN_1, method="GET", headers=(USER, (LAST, "here"))),
    Case("another stream's place", 400, RUN_1, method="GET", headers=(USER, (LAST, "run_2-5"))),
    Case("an unknown session", 404, "/v1/chat/sessions/unknown", method="GET", says="Session not found"),
    Case("an unknown session's messages", 404, "/v1/chat/sessions/unknown/messages", method="GET"),
    Case("renaming an unknown session", 404, "/v1/chat/sessions/unknown", body(title="t"), "PUT"),
    Case("renaming to nothing", 400, "/v1/chat/sessions/unknown", body(title=""), "PUT", says="Title is required"),
    Case("deleting an unknown session", 404, "/v1/chat/sessions/unknown", method="DELETE"),
    Case("clearing nothing", 400, "/v1/chat/clear", method="DELETE", says="session_id parameter is required"),
    Case("clearing an unknown session", 404, "/v1/chat/clear?session_id=unknown", method="DELETE"),
    Case("too long a title", 400, "/v1/chat/sessions", body(title="t" * 256)),
    Case("a title that is an object", 400, "/v1/chat/sessions", body(title={})),
    Case("a limit in words", 400, "/v1/chat/sessions?limit=ten", method="GET"),
    Case("half a page", 400, "/v1/chat/sessions?page=0.5", method="GET"),
    Case("two offsets", 400, "/v1/chat/sessions?offset=1&offset=2", method="GET"),
    Case("total: perhaps", 400, "/v1/chat/sessions?total=perhaps", method="GET"),
    Case("stopping nothing", 400, "/v1/chat/stop", body()),
    Case("stopping an unknown stream", 404, "/v1/chat/stop", body(stream_id="run_unknown")),
    Case("stopping in an unknown session", 404, "/v1/chat/stop", body(session_id="unknown")),
    Case("an unknown run", 404, "/v1/chat/runs/run_unknown", method="GET"),
    Case("a method that is not allowed", 405, SEND, method="GET"),
    Case("a path that is not there", 404, "/v1/chat/nowhere", method="GET"),
    Case("a path outside", 404, "/v1/chat/%2e%2e/%2e%2e/etc/passwd", method="GET"),
]  # fmt: skip

HI = [{"role": "user", "content": "hi"}]


def call(**fields: Any) -> bytes:
    return body(**{"model": "m", "messages": HI, **fields})


def saying(content: Any) -> bytes:
    return call(messages=[{"role": "user", "content": content}])


OPENAI = [
    *identity(COMPLETIONS, call()),
    *identity("/v1/models", None, "GET"),
    *bodies(COMPLETIONS, call()),
    Case("no messages", 400, COMPLETIONS, body(model="m"), says="messages"),
    Case("empty messages", 400, COMPLETIONS, call(messages=[]), says="messages"),
    Case("messages that are a text", 400, COMPLETIONS, call(messages="hi"), says="messages"),
    Case("a message that is a text", 400, COMPLETIONS, call(messages=["hi"]), says="messages[0]"),
    Case("a message without a role", 400, COMPLETIONS, call(messages=[{"content": "hi"}]), says="messages[0].role"),
    Case("an unknown role", 400, COMPLETIONS, call(messages=[{"role": "king", "content": "hi"}]), says="king"),
    Case("content that is a number", 400, COMPLETIONS, saying(5), says="content"),
    Case("a part of no type", 400, COMPLETIONS, saying([{}])),
    Case("a part of an unknown type", 400, COMPLETIONS, saying([{"type": "smell"}])),
    Case("an image that is no address", 400, COMPLETIONS, saying([
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])),
    Case("a model nobody has", 404, COMPLETIONS, call(model="nobody/has-this"), says="nobody/has-this"),
    Case("a model that is a number", 400, COMPLETIONS, call(model=5), says="model"),
    Case("stream: yes", 400, COMPLETIONS, call(stream="yes"), says="stream"),
    Case("options of a stream that is none", 400, COMPLETIONS, call(stream_options={"include_usage": True})),
    Case("too hot", 400, COMPLETIONS, call(temperature=3), says="temperature"),
    Case("a temperature in words", 400, COMPLETIONS, call(temperature="hot"), says="temperature"),
    Case("no tokens at all", 400, COMPLETIONS, call(max_tokens=0), says="max_tokens"),
    Case("two choices", 400, COMPLETIONS, call(n=2), says="n:"),
    Case("a tool without a name", 400, COMPLETIONS, call(tools=[{"function": {}}]), says="tools[0]"),
    Case("tools that are an object", 400, COMPLETIONS, call(tools={}), says="tools"),
    Case("an unknown choice of tools", 400, COMPLETIONS, call(tool_choice="perhaps"), says="tool_choice"),
    Case("an unknown format", 400, COMPLETIONS, call(response_format={"type": "poem"}), says="response_format"),
    Case("an unknown model's card", 404, "/v1/models/nobody/has-this", method="GET"),
    Case("a method that is not allowed", 405, COMPLETIONS, method="GET"),
    Case("a path that is not there", 404, "/v1/nowhere", call()),
]  # fmt: skip


async def ask(server: Server, case: Case) -> Answer:
    headers = CIMultiDict(case.headers)
    if case.data is None:
        headers.popall("Content-Type", None)
    # As a file where it is big, which is how the client wants big bodies.
    data = io.BytesIO(case.data) if case.data and len(case.data) > 1_000_000 else case.data
    return await server.ask(case.method, case.path, data=data, headers=headers)


def wrong_in(case: Case, answer: Answer, message: Any) -> list[str]:
    """Tell what is not as it should be in any surface's refusal."""
    wrong = []
    if case.status != answer.status:
        wrong.append(f"{answer.status} instead of {case.status}: {answer.body}")
    if "application/json" != answer.headers.get("Content-Type"):
        wrong.append(f"type {answer.headers.get('Content-Type')}")
    if not isinstance(message, str) or not message or len(message) > 1000 or "Traceback" in message:
        wrong.append(f"message {str(message)[:200]!r}")
    elif case.says not in message:
        wrong.append(f"does not say {case.says!r}: {message}")
    if "X-Request-ID" not in answer.headers:
        wrong.append("no X-Request-ID")
    return wrong


async def refused(served: tuple[FakeUpstream, Server], cases: list[Case], shape: Any) -> None:
    """Send every case; nothing of it may reach the vendor or the storage, and the server goes on."""
    vendor, server = served
    answers = [await ask(server, case) for case in cases]
    wrong = {case.about: found for case, answer in zip(cases, answers, strict=True) if (found := shape(case, answer))}
    assert {} == wrong
    assert [] == vendor.requests
    for user in ("ann", "bob", "carol"):
        assert [] == await server.sessions(user=user)
    assert 200 == (await server.ask("GET", "/readyz")).status
    assert "Traceback" not in server.log.read_text()
    assert KEY not in server.log.read_text()


async def test_the_chat_api_refuses_in_its_shape_and_stores_nothing(served: tuple[FakeUpstream, Server]) -> None:
    def shape(case: Case, answer: Answer) -> list[str]:
        told = answer.body if isinstance(answer.body, dict) else {}
        wrong = wrong_in(case, answer, told.get("error"))
        if not {"error", "code", "request_id", "retryable"} <= told.keys():
            wrong.append(f"shape: {answer.body}")
        return wrong

    await refused(served, CHAT, shape)


async def test_the_openai_surface_refuses_in_its_shape_and_asks_nobody(served: tuple[FakeUpstream, Server]) -> None:
    def shape(case: Case, answer: Answer) -> list[str]:
        told = answer.body.get("error") if isinstance(answer.body, dict) else None
        told = told if isinstance(told, dict) else {}
        wrong = wrong_in(case, answer, told.get("message"))
        if not {"message", "type", "param", "code"} <= told.keys():
            wrong.append(f"shape: {answer.body}")
        return wrong

    await refused(served, OPENAI, shape)


UNREADABLE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 canary",  # TLS
    b"GET /v1/chat/stream?message=canary HTTP/9.9\r\n\r\n",
    b"GET /v1/chat/stream?message=canary" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer canary" + b"x" * 9_000 + b"\r\n\r\n",
    *(
        b"POST /v1/chat/send HTTP/1.1\r\nHost: localhost\r\nX-User-ID: ann\r\nContent-Type: application/json\r\n" + rest
        for rest in (
            b"Content-Length: -5\r\n\r\ncanary",
            b"Content-Length: 6\r\nContent-Length: 7\r\n\r\ncanary",
            b"Transfer-Encoding: chunked\r\n\r\ncanary\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\ncanary",
            b"X-Evil: canary\nX-User-ID: bob\r\n\x00: b\r\n\r\n",
            b"Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\ncanary",
        )
    ),
]


async def test_what_is_no_request_is_closed_and_its_bytes_reach_no_log(served: tuple[FakeUpstream, Server]) -> None:
    server = served[1]
    host, port = server.url.removeprefix("http://").split(":")
    for sent in UNREADABLE:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        try:
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            answer = b""  # it did not even answer
        finally:
            writer.close()
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), (sent[:60], answer)
        assert b"Traceback" not in answer
    assert 200 == (await server.ask("GET", "/readyz")).status
    assert [] == await server.sessions()
    told = server.log.read_text()
    assert "a request could not be read: LineTooLong" in told
    assert "canary" not in told
    assert "Traceback" not in told


async def test_a_client_that_breaks_off_in_its_body_leaves_nothing(served: tuple[FakeUpstream, Server]) -> None:
    server = served[1]
    host, port = server.url.removeprefix("http://").split(":")
    for path in (SEND, COMPLETIONS):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-User-ID: ann\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + b'Content-Length: 100\r\n\r\n{"message": "half')
        await writer.drain()
        writer.transport.abort()
        del reader
    assert 200 == (await server.ask("GET", "/readyz")).status
    assert [] == await server.sessions()
    assert [] == served[0].requests
