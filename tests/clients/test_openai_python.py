"""OpenAI's own SDK for Python drives our surface: what it reads is what the provider said."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import openai
import pytest

KEY = "sdk-key-0123456789abcdef"
HI: Any = [{"role": "user", "content": "hi"}]
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
]
SCRIPT: list[Any] = [
    {"match": "weather", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "call_1"}]},
    {"match": "twice", "tool_calls": [{"name": "a", "arguments": {"n": 1}}, {"name": "b", "arguments": {"n": 2}}]},
    {"match": "slow down", "error": {"kind": "rate_limited", "retry_after": 3}},
    {"match": "break", "text": "one two three", "error": {"kind": "failed", "after": 2, "message": "it broke"}},
    {"match": "think", "reasoning": "let me see", "text": "42"},
    {"match": "never", "refusal": "I must not"},
    {"text": "Hello, wörld!", "times": 99, "usage": {"input_tokens": 5, "output_tokens": 3, "cache_read_tokens": 2}},
]
T = TypeVar("T")


@pytest.fixture
async def base_url(serve: Any) -> str:
    # Fallbacks and retries would answer in place of the failures that are looked at here.
    resilience = {"attempts": 1, "breaker_failures": 0}
    server = await serve(
        script=SCRIPT, config={"resilience": resilience}, environment={"AICHAT_API_KEYS": f"sdk={KEY}"}
    )
    return f"{server.url}/v1"


async def with_sync(base_url: str, work: Callable[[openai.OpenAI], T], key: str = KEY) -> T:
    """Use the synchronous client, in a thread of its own."""

    def run() -> T:
        with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
            return work(client)

    return await asyncio.to_thread(run)


def ask(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def test_a_whole_answer(base_url: str) -> None:
    answer = await with_sync(base_url, lambda c: c.chat.completions.create(model="mock/echo", messages=HI))
    assert ("Hello, wörld!", "stop") == (answer.choices[0].message.content.strip(), answer.choices[0].finish_reason)
    assert (5, 3, 8) == (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens)
    assert 2 == answer.usage.prompt_tokens_details.cached_tokens
    assert "mock/echo".endswith(answer.model)


async def test_a_streamed_answer_with_usage_at_its_end(base_url: str) -> None:
    def work(client: openai.OpenAI) -> list[Any]:
        return list(
            client.chat.completions.create(
                model="mock/echo", messages=HI, stream=True, stream_options={"include_usage": True}
            )
        )

    chunks = await with_sync(base_url, work)
    assert "assistant" == chunks[0].choices[0].delta.role
    assert "Hello, wörld!" == "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).strip()
    assert ([], 8) == (chunks[-1].choices, chunks[-1].usage.total_tokens)
    assert 1 == len({chunk.id for chunk in chunks})


async def test_the_asynchronous_client_streams_too(base_url: str) -> None:
    async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(model="mock/echo", messages=HI, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert "Hello, wörld!" == text.strip()
        answer = await client.chat.completions.create(model="mock/echo", messages=ask("think"))
        assert ("42", "let me see") == (
            answer.choices[0].message.content.strip(),
            answer.choices[0].message.reasoning_content.strip(),
        )


async def test_the_sdks_own_accumulator_puts_parallel_calls_together(base_url: str) -> None:
    async with (
        openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client,
        client.chat.completions.stream(model="mock/echo", messages=ask("twice"), tools=TOOLS) as stream,
    ):
        answer = await stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls
    assert [("a", '{"n": 1}'), ("b", '{"n": 2}')] == [
        (call.function.name, call.function.arguments.replace(":1", ": 1").replace(":2", ": 2")) for call in calls
    ]
    assert "tool_calls" == answer.choices[0].finish_reason


async def test_a_tool_turn_goes_there_and_back(base_url: str) -> None:
    def work(client: openai.OpenAI) -> tuple[Any, Any]:
        messages = ask("weather?")
        first = client.chat.completions.create(model="mock/echo", messages=messages, tools=TOOLS)
        call = first.choices[0].message.tool_calls[0]
        messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        messages.append({"role": "user", "content": "thanks"})
        return call, client.chat.completions.create(model="mock/echo", messages=messages, tools=TOOLS)

    call, second = await with_sync(base_url, work)
    assert ("call_1", "get_weather") == (call.id, call.function.name)
    assert "Hello, wörld!" == second.choices[0].message.content.strip()


async def test_a_refusal_is_one(base_url: str) -> None:
    answer = await with_sync(base_url, lambda c: c.chat.completions.create(model="mock/echo", messages=ask("never")))
    assert "I must not" == answer.choices[0].message.refusal.strip()


async def test_errors_are_the_sdks_own_classes(base_url: str) -> None:
    create = {"model": "mock/echo", "messages": HI}

    async def failure(expected: type[openai.APIStatusError], key: str = KEY, **changes: Any) -> openai.APIStatusError:
        with pytest.raises(expected) as caught:
            await with_sync(base_url, lambda c: c.chat.completions.create(**{**create, **changes}), key)
        assert caught.value.request_id.startswith("req_")
        return caught.value

    assert "invalid_api_key" == (await failure(openai.AuthenticationError, "wrong-key-wrong-key")).code
    assert "model_not_found" == (await failure(openai.NotFoundError, model="nobody/has-this")).code
    assert "n" == (await failure(openai.BadRequestError, n=3)).param
    assert "messages" == (await failure(openai.BadRequestError, messages=[])).param
    limited = await failure(openai.RateLimitError, messages=ask("slow down"))
    assert "3" == limited.response.headers["retry-after"]


async def test_a_failure_inside_a_stream_is_raised_after_what_came(base_url: str) -> None:
    seen = []
    async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(model="mock/echo", messages=ask("break"), stream=True)
        with pytest.raises(openai.APIError) as caught:
            async for chunk in stream:
                seen.append(chunk.choices[0].delta.content or "")
    assert "one two" == "".join(seen).strip()
    assert "it broke" in str(caught.value)


async def test_models_are_listed_and_found(base_url: str) -> None:
    models = await with_sync(base_url, lambda c: list(c.models.list()))
    assert "mock/echo" in [model.id for model in models]
    found = await with_sync(base_url, lambda c: c.models.retrieve("mock/echo"))
    assert ("mock/echo", "mock") == (found.id, found.owned_by)
    with pytest.raises(openai.NotFoundError):
        await with_sync(base_url, lambda c: c.models.retrieve("nobody/has-this"))
