"""The rig of the fault tests: a scripted vendor, our openai plugin, the whole pipeline and the real server around it.

Every fault is met through each *door*: the chat API and the OpenAI surface, streaming and not. A door gives back
what its client saw, in one form, so that one set of rules judges all of them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import attrs
from aiohttp.test_utils import TestClient, TestServer
from palaver import Secret, StoredMessage
from palaver.assembly import Assembly
from palaver.chat import ChatService
from palaver.clock import SystemClock
from palaver.config.schema import ChatConfig, Config, LlmConfig, ProviderEntry, ResilienceConfig, RoutingConfig
from palaver.ids import Owner, SessionId
from palaver.runtime import Runtime
from palaver.testing import FakeUpstream, MemoryStorage, Received, Scripted
from palaver_openai.provider import OPENAI
from palaver_server.app import create_app

from .police import check

__all__ = [
    "ANN",
    "DONE",
    "DOORS",
    "STREAMS",
    "Door",
    "Rig",
    "Seen",
    "assert_cut",
    "assert_plain_error",
    "call",
    "chunk",
    "document",
    "faulty",
    "said",
    "sse",
    "start",
]

ANN = {"X-User-ID": "ann"}
KEY = "sk-test-0123456789abcdef"
MODEL = "gpt-4o-mini"


class Door(StrEnum):
    """A way in."""

    CHAT_STREAM = "chat-stream"
    CHAT_WHOLE = "chat-whole"
    OPENAI_STREAM = "openai-stream"
    OPENAI_WHOLE = "openai-whole"

    @property
    def chat(self) -> bool:
        """Whether it is the stored chat, whose run always streams from the vendor."""
        return self in (Door.CHAT_STREAM, Door.CHAT_WHOLE)

    @property
    def streamed(self) -> bool:
        """Whether our client reads a stream."""
        return self in (Door.CHAT_STREAM, Door.OPENAI_STREAM)


DOORS = tuple(Door)
#: Doors behind which the vendor is asked for a stream.
STREAMS = (Door.CHAT_STREAM, Door.CHAT_WHOLE, Door.OPENAI_STREAM)


@attrs.frozen
class Seen:
    """What one client saw of one request."""

    door: Door
    status: int
    headers: Mapping[str, str]
    text: str = ""
    #: ``{code, message, retryable}`` of the failure it was told of, in-band or not.
    error: Mapping[str, Any] | None = None
    #: Whether it was told that the answer is complete.
    done: bool = False
    finish: str | None = None
    calls: tuple[Mapping[str, Any], ...] = ()
    usage: Any = None
    session: str = ""
    #: What a stateless client had sent.
    told: tuple[Mapping[str, Any], ...] = ()
    #: Frames of errors in the stream.
    errors: int = 0
    raw: str = ""


class QuickClock(SystemClock):
    """The machine's clock, but nobody waits longer than a moment; ``ahead`` moves the time."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.02))


@attrs.frozen
class Rig:
    """A server in front of one or more vendors; the first serves what nobody else claims."""

    vendors: Sequence[FakeUpstream]
    client: TestClient[Any, Any]
    storage: MemoryStorage
    clock: QuickClock
    runtime: Runtime

    @property
    def vendor(self) -> FakeUpstream:
        """The first vendor."""
        return self.vendors[0]

    async def ask(self, door: Door, text: str = "hello", *, after: Seen | None = None, **body: Any) -> Seen:
        """Ask through *door*; *after* goes on with that conversation."""
        # What should end and does not is a failure of its own test, soon.
        async with asyncio.timeout(10):
            return await self._ask(door, text, after, body)

    async def _ask(self, door: Door, text: str, after: Seen | None, body: Mapping[str, Any]) -> Seen:
        if door.chat:
            send = {"message": text, "session_id": after.session if after else "", **body}
            return await (self._chat_stream(send) if door.streamed else self._chat_whole(send))
        messages = [*(_told(after) if after else ()), {"role": "user", "content": text}]
        send = {"model": MODEL, "messages": messages, **body}
        if door.streamed:
            send |= {"stream": True, "stream_options": {"include_usage": True}}
        async with self.client.post("/v1/chat/completions", json=send, headers=ANN) as answer:
            raw = await answer.text()
        read = _read_chunks if answer.content_type == "text/event-stream" else _read_completion
        return attrs.evolve(read(door, answer.status, answer.headers, raw), told=tuple(messages))

    async def _chat_whole(self, send: Mapping[str, Any]) -> Seen:
        async with self.client.post("/v1/chat/send", json=send, headers=ANN) as answer:
            raw = await answer.text()
        shape = json.loads(raw)
        message = shape.get("message") or {}
        error = {name: shape[name] for name in ("code", "retryable")} if "error" in shape else None
        if error is not None:
            error["message"] = shape["error"]
        return Seen(
            Door.CHAT_WHOLE,
            answer.status,
            answer.headers,
            message.get("content", ""),
            error,
            error is None,
            message.get("finish_reason"),
            calls=tuple(message.get("tool_calls", ())),
            usage=shape.get("usage"),
            session=shape.get("session_id", ""),
            raw=raw,
        )

    async def _chat_stream(self, send: Mapping[str, Any]) -> Seen:
        async with self.client.post("/v1/chat/send?streaming=true", json=send, headers=ANN) as answer:
            started = await answer.json()
            assert 200 == answer.status, started
        async with self.client.get(started["stream_url"], headers=ANN) as answer:
            raw = await answer.text()
        frames = [json.loads(data) for data in _data(raw)]
        errors = [frame for frame in frames if frame["type"] == "error"]
        done = [frame for frame in frames if frame["type"] == "done"]
        error = None
        if errors:
            error = {
                "code": errors[0]["code"],
                "message": errors[0]["error"],
                "retryable": errors[0]["retryable"],
            }
        return Seen(
            Door.CHAT_STREAM,
            answer.status,
            answer.headers,
            "".join(frame.get("content", "") for frame in frames if frame["type"] == "message"),
            error,
            bool(done),
            done[0].get("finish_reason") if done else None,
            session=started["session_id"],
            errors=len(errors),
            raw=raw,
        )

    async def stored(self, seen: Seen) -> list[tuple[str, str, str]]:
        """List role, text and state of the conversation's messages."""
        async with self.client.get(f"/v1/chat/sessions/{seen.session}/messages", headers=ANN) as answer:
            messages = (await answer.json())["messages"]
        return [(entry["role"], entry["content"], entry.get("status", "complete")) for entry in messages]

    async def rows(self, seen: Seen) -> Sequence[StoredMessage]:
        """Give the conversation's messages as they are stored."""
        return await self.storage.history(Owner("ann"), SessionId(seen.session), limit=100)

    async def assert_goes_on(self, seen: Seen) -> None:
        """The next turn of the conversation is one that a strict vendor takes."""
        self.clock.ahead += 3600.0  # a breaker that has opened gives it a chance
        for vendor in self.vendors:
            vendor.clear()
            vendor.answer_with(police)
        after = await self.ask(seen.door, "and now?", after=seen)
        assert (200, "fine", True, None) == (after.status, after.text, after.done, after.error), after.raw
        assert "and now?" == self.vendor.requests[-1].json["messages"][-1]["content"]


@asynccontextmanager
async def start(
    vendors: int = 1,
    *,
    resilience: ResilienceConfig | None = None,
    url: Callable[[str], str] = lambda url: url,
    keepalive: float = 10.0,
    storage: MemoryStorage | None = None,
    **llm: float,
) -> AsyncIterator[Rig]:
    """Serve the openai plugin in front of *vendors* fake ones; the further ones are fallbacks of the first.

    Args:
        url: Makes the base URL of the vendor's own address.
        storage: What another server uses too; else a new one.
        llm: Timeouts of the configuration's ``llm``.
    """
    storage, clock = storage or MemoryStorage(), QuickClock()
    async with FakeUpstream() as first, FakeUpstream() as second:
        upstreams = (first, second)[:vendors]
        options: dict[str, Any] = {"api_key": Secret(KEY), "reasoning_back": "never"}
        providers = {
            name: ProviderEntry(plugin="openai", models=(MODEL,), options={**options, "base_url": url(upstream.url)})
            for name, upstream in zip(("main", "spare"), upstreams, strict=False)
        }
        config = Config(
            llm=LlmConfig(provider="main", model=MODEL, **llm),  # type: ignore[arg-type]
            providers=providers,
            routing=RoutingConfig(prefer=("main",), fallback={MODEL: (f"spare/{MODEL}",)} if vendors > 1 else {}),
            resilience=resilience or ResilienceConfig(attempts=1, breaker_failures=0),
            chat=ChatConfig(titles=False),
        )
        config = attrs.evolve(config, server=attrs.evolve(config.server, keepalive=keepalive))
        assembly = Assembly(providers={"openai": OPENAI})
        async with Runtime.open(config, assembly, storage=storage, clock=clock) as runtime:
            service = ChatService(runtime)
            async with TestClient(TestServer(create_app(runtime, service))) as client:
                try:
                    yield Rig(upstreams, client, storage, clock, runtime)
                finally:
                    await service.aclose()


# --- the rules every client may rely on ------------------------------------------------------------------------------


async def assert_plain_error(rig: Rig, seen: Seen, status: int, code: str) -> None:
    """Nothing had left: the true status and JSON; a chat stream, which is attached first, tells it in its one frame."""
    assert seen.error is not None, seen.raw
    assert code == seen.error["code"], seen.raw
    assert not seen.done
    assert "" == seen.text
    assert KEY not in seen.raw
    if seen.door is Door.CHAT_STREAM:
        assert (200, 1) == (seen.status, seen.errors)
    else:
        assert (status, "application/json") == (seen.status, seen.headers["Content-Type"].partition(";")[0])
    if seen.door.chat:
        assert [("user", "hello", "complete")] == await rig.stored(seen)
    await rig.assert_goes_on(seen)


async def assert_cut(rig: Rig, seen: Seen, text: str, status: int, code: str) -> None:
    """Text had left: one error in-band, no end that looks good, and the part is stored as interrupted."""
    assert seen.error is not None, seen.raw
    assert code == seen.error["code"], seen.raw
    assert not seen.done
    assert seen.finish is None
    if seen.door.streamed:
        assert (200, 1) == (seen.status, seen.errors)
        assert "[DONE]" not in seen.raw
        assert {"code", "message", "retryable"} <= seen.error.keys()
    else:
        assert status == seen.status
    if seen.door.chat:
        assert [("user", "hello", "complete"), ("assistant", text, "interrupted")] == await rig.stored(seen)
    if seen.door is not Door.OPENAI_WHOLE:
        assert text == seen.text
    await rig.assert_goes_on(seen)


# --- what a vendor says ----------------------------------------------------------------------------------------------


def sse(data: Any) -> bytes:
    """Write one event."""
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()) + b"\n\n"


DONE = sse(b"[DONE]")


def chunk(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    """Write a chunk with *delta*."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "c1", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice], **more})


def said(text: str, finish: str | None = None) -> bytes:
    """Write a chunk of text."""
    return chunk({"content": text}, finish)


def call(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    """Write an entry of a delta's ``tool_calls``; what is ``None`` is left out."""
    function = {"name": name, "arguments": arguments}
    entry = {"index": index, "id": call_id, "type": "function" if name else None}
    return {
        **{key: value for key, value in entry.items() if value is not None},
        "function": {key: value for key, value in function.items() if value is not None},
    }


def document(message: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """Write a whole answer."""
    message = {"role": "assistant", "content": message} if isinstance(message, str) else message
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion", "model": MODEL, "choices": choices, **more}


def faulty(streamed: Sequence[Any], whole: Any, **how: Any) -> Callable[[Received], Scripted]:
    """Answer *streamed* pieces where a stream was asked for, else *whole*; both end the same way."""

    def respond(request: Received) -> Scripted:
        if request.json.get("stream"):
            return Scripted(tuple(streamed), headers=(("Content-Type", "text/event-stream"),), **how)
        body = json.dumps(whole).encode() if isinstance(whole, dict) else whole
        return Scripted((body,), headers=(("Content-Type", "application/json"),), **how)

    return respond


def police(request: Received) -> Scripted:
    """Answer ``fine``, or 400 as OpenAI does to what breaks its grammar."""
    fault = check(request.json)
    if fault is not None:
        error = {"message": fault, "type": "invalid_request_error", "param": "messages", "code": None}
        return _json({"error": error}, 400)
    if request.json.get("stream"):
        pieces = (said("fine"), chunk({}, "stop"), DONE)
        return Scripted(pieces, headers=(("Content-Type", "text/event-stream"),))
    return _json(document("fine"), 200)


def _json(body: Any, status: int) -> Scripted:
    return Scripted((json.dumps(body).encode(),), status, headers=(("Content-Type", "application/json"),))


# --- what a client reads ---------------------------------------------------------------------------------------------


def _data(raw: str) -> list[str]:
    return [line[6:] for line in raw.split("\n") if line.startswith("data: ")]


def _told(seen: Seen) -> list[Mapping[str, Any]]:
    """Give the conversation as a client of the OpenAI surface keeps it, with a result for each call."""
    answer: dict[str, Any] = {"role": "assistant", "content": seen.text or None}
    if seen.calls:
        answer["tool_calls"] = list(seen.calls)
    results = [{"role": "tool", "tool_call_id": entry["id"], "content": "failed"} for entry in seen.calls]
    return [*seen.told, answer, *results] if seen.text or seen.calls else list(seen.told)


def _read_completion(door: Door, status: int, headers: Mapping[str, str], raw: str) -> Seen:
    shape = json.loads(raw)
    if "error" in shape:
        assert status >= 400, raw
        return Seen(door, status, headers, error=shape["error"], raw=raw)
    choice = shape["choices"][0]
    message = choice["message"]
    text = message["content"] or message.get("refusal") or ""
    calls = tuple(message.get("tool_calls", ()))
    return Seen(door, status, headers, text, None, True, choice["finish_reason"], calls, shape["usage"], raw=raw)


def _read_chunks(door: Door, status: int, headers: Mapping[str, str], raw: str) -> Seen:
    *chunks, last = _data(raw)
    done = last == "[DONE]"
    shapes = [json.loads(data) for data in (chunks if done else (*chunks, last))]
    errors = [shape["error"] for shape in shapes if "error" in shape]
    choices = [shape["choices"][0] for shape in shapes if shape.get("choices")]
    text = "".join(choice["delta"].get("content") or choice["delta"].get("refusal") or "" for choice in choices)
    calls: dict[int, dict[str, Any]] = {}
    for choice in choices:
        for delta in choice["delta"].get("tool_calls", ()):
            if "id" in delta:
                assert delta["index"] not in calls
                calls[delta["index"]] = {**delta, "function": dict(delta["function"])}
                del calls[delta["index"]]["index"]
            else:
                calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]
    finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"] is not None]
    assert len(finishes) <= 1
    return Seen(
        door,
        status,
        headers,
        text,
        errors[0] if errors else None,
        done,
        finishes[0] if finishes else None,
        tuple(calls.values()),
        next((shape["usage"] for shape in shapes if shape.get("usage")), None),
        errors=len(errors),
        raw=raw,
    )
