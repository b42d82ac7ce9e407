"""Bad input with the real plugin behind it: whatever a caller makes up is a clear 4xx or an answer, never a 500.

``server/tests/test_bad_input.py`` has each kind by name; here chance makes them, always the same ones.
"""

import json
import random
from typing import Any

import pytest

from .rig import ANN, MODEL, Rig, police, start

WEIRD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**64, 10**30, 1.5, -1e308),
    *("", " ", "\0", "x" * 5000, "\u202e", "a/b", "../x", "main/", "/x", "http://["),
    *([], [None], [[]], {}, {"a": None}, [{}], [[[[[]]]]], {"type": "text"}, {"type": "image_url"}, {"url": "x"}),
    {"type": "image_url", "image_url": 5},
    {"type": "image_url", "image_url": {"url": "data:;base64,@@"}},
    {"type": "input_audio", "input_audio": {"data": "@@"}},
    {"type": "file", "file": {}},
]
FIELDS = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "tools",
    "user",
    "tool_choice",
    "response_format",
    "metadata",
    "parallel_tool_calls",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "logit_bias",
    "audio",
]
OF_MESSAGES = [
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "audio",
    "function_call",
    "reasoning_content",
]
QUERIES = ("limit", "page", "total", "message", "session_id", "streaming", "model")


def completion(chance: random.Random) -> dict[str, Any]:
    """Make a request of the OpenAI surface with something wrong in it."""
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    kind = chance.randrange(4)
    if kind == 0:
        body[chance.choice(FIELDS)] = chance.choice(WEIRD)
    elif kind == 1:
        message = {
            "role": chance.choice(["user", "assistant", "system", "tool", "developer", "function"]),
            "content": "x",
        }
        body["messages"].append({**message, chance.choice(OF_MESSAGES): chance.choice(WEIRD)})
    elif kind == 2:
        body["messages"][0]["content"] = chance.choices(WEIRD, k=2)
    else:
        function = {
            "name": "f",
            "parameters": {},
            chance.choice(["name", "parameters", "strict"]): chance.choice(WEIRD),
        }
        body["tools"] = [{"type": "function", "function": function, chance.choice(["type", "x"]): chance.choice(WEIRD)}]
    return body


async def judge(rig: Rig, method: str, path: str, body: Any = None, **query: str) -> int:
    """Send it; whatever comes back has the shape of its surface and is not our fault."""
    async with rig.client.request(method, path, json=body, params=query, headers=ANN) as answer:
        text = await answer.text()
    assert answer.status < 500, (path, body, query, text)
    if answer.status >= 400:
        error = json.loads(text)["error"]
        if path.startswith(("/v1/chat/completions", "/v1/models")):
            assert {"message", "type", "param", "code"} <= error.keys(), text
        else:
            assert isinstance(error, str), text
            assert {"code", "request_id", "retryable"} <= json.loads(text).keys(), text
    return answer.status


@pytest.mark.parametrize("seed", range(4))
async def test_made_up_completions_never_break_anything(seed: int) -> None:
    chance = random.Random(seed)
    async with start() as rig:
        rig.vendor.answer_with(police)
        seen = [await judge(rig, "POST", "/v1/chat/completions", completion(chance)) for _ in range(150)]
        assert {200, 400} <= set(seen)
        assert [] == rig.storage.writes


@pytest.mark.parametrize("seed", range(4))
async def test_made_up_sends_never_break_anything_and_a_refused_one_stores_nothing(seed: int) -> None:
    chance = random.Random(seed)
    async with start() as rig:
        rig.vendor.answer_with(police)
        for _ in range(100):
            body: dict[str, Any] = {"message": "hi"}
            for _ in range(2):
                name = chance.choice(["message", "session_id", "model", "context", "attachments"])
                body[name] = chance.choice(WEIRD)
            before = len(rig.storage.writes)
            if 400 <= await judge(rig, "POST", "/v1/chat/send", body):
                assert before == len(rig.storage.writes), body


@pytest.mark.parametrize("seed", range(2))
async def test_made_up_queries_never_break_anything(seed: int) -> None:
    chance = random.Random(seed)
    async with start() as rig:
        rig.vendor.answer_with(police)
        for _ in range(40):
            query = {chance.choice(QUERIES): str(chance.choice(WEIRD))}
            for path in ("sessions", "sessions/x/messages", "stream", "clear"):
                await judge(rig, chance.choice(["GET", "DELETE"]), f"/v1/chat/{path}", **query)
            await judge(rig, "POST", "/v1/chat/sessions", {"title": chance.choice(WEIRD)})


async def test_a_foreign_session_is_never_written_into() -> None:
    async with start() as rig:
        rig.vendor.answer_with(police)
        bob = {"X-User-ID": "bob"}
        await judge(rig, "POST", "/v1/chat/send", {"message": "mine", "session_id": "s"})
        answers = []
        for session in ("s", "unknown"):
            for method, path, body in (
                ("GET", f"sessions/{session}", None),
                ("GET", f"sessions/{session}/messages", None),
                ("PUT", f"sessions/{session}", {"title": "mine now"}),
                ("DELETE", f"sessions/{session}/messages", None),
                ("DELETE", f"sessions/{session}", None),
                ("POST", "stop", {"session_id": session}),
            ):
                async with rig.client.request(method, f"/v1/chat/{path}", json=body, headers=bob) as answer:
                    shape = await answer.json()
                answers.append((session, answer.status, shape["error"], shape["code"]))
        assert {404} == {status for _, status, _, _ in answers}
        assert [entry[1:] for entry in answers[:6]] == [entry[1:] for entry in answers[6:]]
        async with rig.client.get("/v1/chat/sessions/s", headers=ANN) as answer:
            assert (200, "ann") == (answer.status, (await answer.json())["user_id"])


@pytest.mark.parametrize("path", ["/v1/chat/send", "/v1/chat/completions"])
@pytest.mark.parametrize("names", [(), ("ann", "ann"), ("ann", "bob"), ("",), ("a b",)])
async def test_an_identity_that_is_missing_or_doubled_is_401_before_anything(path: str, names: tuple[str, ...]) -> None:
    async with start() as rig:
        headers = [("X-User-ID", name) for name in names]
        async with rig.client.post(path, data=b"{", headers=headers) as answer:
            assert (401, "application/json") == (answer.status, answer.content_type)
        assert ([], []) == (rig.storage.writes, rig.vendor.requests)
