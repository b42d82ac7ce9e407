"""Our own openai plugin pointed at our own OpenAI surface: whatever a provider says survives the way around."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import pytest
import pytest_asyncio
import yaml

from .servers import Answer, Server, asking, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "round-trip-key-0123456789"
CALLS = [
    {"id": "call_1", "name": "get_weather", "arguments": {"city": "Zürich", "days": [1, 2]}},
    {"id": "call_2", "name": "get_time", "arguments": "{}"},
]
USAGE = {
    "input_tokens": 11,
    "output_tokens": 22,
    "reasoning_tokens": 3,
    "cache_read_tokens": 4,
    "cache_write_tokens": 5,
}
#: What is asked → what the provider behind says.
TURNS: Mapping[str, Mapping[str, Any]] = {
    "text": {"text": "Hello, wörld 👩‍👩‍👧!\n\n```\ncode\n```\n"},
    "usage": {"text": "Counted.", "usage": USAGE},
    "no usage": {"text": "Not counted.", "usage": False},
    "tools": {"tool_calls": CALLS},
    "text and tools": {"text": "Let me look.", "tool_calls": CALLS},
    "broken arguments": {"tool_calls": [{"id": "call_3", "name": "f", "arguments": '{"a": '}]},
    "reasoning": {"reasoning": "Let me think. ", "text": "42."},
    "length": {"text": "Too lo", "finish": "length"},
    "filtered": {"text": "I will not s", "finish": "content_filter"},
    "refusal": {"refusal": "I would rather not."},
    "nothing": {"text": ""},
}
FAULTS: Mapping[str, tuple[Mapping[str, Any], int, str]] = {
    "fault limited": ({"error": {"kind": "rate_limited", "retry_after": 9}}, 429, "rate_limited"),
    "fault quota": ({"error": "quota"}, 429, "insufficient_quota"),
    "fault overloaded": ({"error": "overloaded"}, 503, "overloaded"),
    "fault rejected": ({"error": "rejected"}, 400, "provider_rejected"),
    "fault context": ({"error": "context_too_long"}, 400, "context_length_exceeded"),
    "fault refused": ({"error": "content_refused"}, 400, "content_refused"),
    "fault model": ({"error": "unknown_model"}, 404, "model_not_found"),
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time", "f")
]


@attrs.frozen
class Pair:
    """A server with the provider, and one that knows only the first."""

    behind: Server
    front: Server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: Any) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("behind")
    faults = {name: turn for name, (turn, *_) in FAULTS.items()}
    faults["fault later"] = {"text": "Half an answer here", "error": {"kind": "overloaded", "after": 2}}
    faults["fault cut"] = {"text": "Half an answer here", "cut": 2}
    script = [{"match": f"/^{asked}$/", **turn} for asked, turn in {**TURNS, **faults}.items()]
    (folder / "script.yaml").write_text(yaml.safe_dump(script))
    resilience = {"attempts": 1, "breaker_failures": 0}
    config = {
        "llm": {"provider": "mock"},
        "providers": {"mock": {"plugin": "mock", "script": "script.yaml"}},
        "resilience": resilience,
    }
    async with (
        running(folder, config, AICHAT_API_KEYS=f"front={KEY}") as behind,
        # As an operator would: from the environment alone, but for the breaker.
        running(
            tmp_path_factory.mktemp("front"),
            {"resilience": resilience},
            AICHAT_LLM_PROVIDER="openai",
            AICHAT_LLM_MODEL="mock/echo",
            AICHAT_LLM_BASE_URL=f"{behind.url}/v1",
            AICHAT_API_KEY=KEY,
            AICHAT_CHAT_TITLES="false",
        ) as front,
    ):
        yield Pair(behind, front)


async def whole(server: Server, asked: str) -> Answer:
    return await server.complete(asked, model="mock/echo" if server.log.parent.name.startswith("behind") else "")


async def streamed(server: Server, asked: str) -> dict[str, Any]:
    """Fold a stream into the shape of a whole answer."""
    model = "mock/echo" if server.log.parent.name.startswith("behind") else ""
    body = asking(asked, model, stream=True, stream_options={"include_usage": True}, tools=TOOLS)
    frames = await server.frames("/v1/chat/completions", body)
    assert "[DONE]" == frames[-1].text
    message: dict[str, Any] = {"content": "", "refusal": "", "reasoning_content": "", "tool_calls": {}}
    finish = usage = None
    for chunk in (frame.data for frame in frames[:-1]):
        usage = chunk["usage"] or usage
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            for name in ("content", "refusal", "reasoning_content"):
                message[name] += choice["delta"].get(name) or ""
            for call in choice["delta"].get("tool_calls", ()):
                kept = message["tool_calls"].setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
                kept["id"] = call.get("id") or kept["id"]
                kept["name"] += call["function"].get("name") or ""
                kept["arguments"] += call["function"].get("arguments") or ""
    message["tool_calls"] = list(message["tool_calls"].values())
    return {"message": message, "finish_reason": finish, "usage": usage}


def folded(answer: Answer) -> dict[str, Any]:
    """Write a whole answer like a folded stream."""
    assert 200 == answer.status, answer
    (choice,) = answer.body["choices"]
    message = choice["message"]
    calls = [{"id": call["id"], **call["function"]} for call in message.get("tool_calls", ())]
    texts = {name: message.get(name) or "" for name in ("content", "refusal", "reasoning_content")}
    return {
        "message": {**texts, "tool_calls": calls},
        "finish_reason": choice["finish_reason"],
        "usage": answer.body["usage"],
    }


@pytest.mark.parametrize("asked", TURNS)
async def test_what_is_said_survives_the_way_around(pair: Pair, asked: str) -> None:
    direct = await streamed(pair.behind, asked)
    turn = TURNS[asked]
    assert turn.get("text", "").strip() == direct["message"]["content"].strip()
    assert len(turn.get("tool_calls", ())) == len(direct["message"]["tool_calls"])
    assert direct == await streamed(pair.front, asked)
    assert direct == folded(await whole(pair.behind, asked))
    assert direct == folded(await whole(pair.front, asked))


async def test_usage_keeps_its_parts(pair: Pair) -> None:
    usage = folded(await whole(pair.front, "usage"))["usage"]
    assert (11, 22, 33) == tuple(usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    assert (4, 3) == (
        usage["prompt_tokens_details"]["cached_tokens"],
        usage["completion_tokens_details"]["reasoning_tokens"],
    )


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("asked", FAULTS)
async def test_a_failure_keeps_its_class(pair: Pair, asked: str, streaming: bool) -> None:
    _, status, code = FAULTS[asked]
    for server, model in ((pair.behind, "mock/echo"), (pair.front, "")):
        answer = await server.complete(asked, model=model, stream=streaming)
        assert (status, code) == (answer.status, answer.body["error"]["code"]), answer.body
        assert (status == 503 or asked == "fault limited") == ("Retry-After" in answer.headers)
        # Who stands behind is not told to those in front.
        assert KEY not in json.dumps(answer.body)


@pytest.mark.parametrize(("asked", "code"), [("fault later", "overloaded"), ("fault cut", "upstream_interrupted")])
async def test_a_failure_inside_a_stream_keeps_its_class_and_the_text_before_it(
    pair: Pair, asked: str, code: str
) -> None:
    for server, model in ((pair.behind, "mock/echo"), (pair.front, "")):
        frames = await server.frames("/v1/chat/completions", asking(asked, model, stream=True))
        *told, last = [frame.data for frame in frames]
        assert "Half an " == "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in told)
        assert code == last["error"]["code"], last


async def test_a_conversation_through_it_is_stored_in_front_and_nowhere_else(pair: Pair) -> None:
    answer = await pair.front.ask("POST", "/v1/chat/send", {"message": "text", "session_id": "around"})
    assert (200, TURNS["text"]["text"]) == (answer.status, answer.body["message"]["content"])
    assert ["text", TURNS["text"]["text"]] == [message["content"] for message in await pair.front.history("around")]
    assert [] == await pair.behind.sessions(user="front")


async def test_what_a_tool_said_finds_its_way_to_the_model(pair: Pair) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "what time is it"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    counts = [
        (await server.ask("POST", "/v1/chat/completions", {"model": model, "messages": messages, "tools": TOOLS})).body
        for server, model in ((pair.behind, "mock/echo"), (pair.front, "openai/mock/echo"))
    ]
    direct, around = (body["choices"][0]["message"]["content"] for body in counts)
    assert "Mock streaming response to: 'what time is it'. Available tools: 3 " == direct
    assert direct == around
    # The mock counts every word it was given: the same words arrived.
    assert counts[0]["usage"] == counts[1]["usage"]
