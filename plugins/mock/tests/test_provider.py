"""The mock provider: its words, its order, its faults, its other faces."""

import re
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import attrs
import pytest
from palaver import (
    ChatRequest,
    ConfigError,
    EmbeddingRequest,
    FinishReason,
    Fold,
    InvalidRequest,
    Message,
    Overloaded,
    RateLimited,
    ResponseFinished,
    Role,
    Sampling,
    TextDelta,
    ToolResultPart,
    ToolSpec,
    UpstreamInterrupted,
    UpstreamTimeout,
    Usage,
)
from palaver.testing import FakeClock, fake_context
from palaver_mock import palaver_providers
from palaver_mock.config import MockConfig
from palaver_mock.failures import TABLE
from palaver_mock.provider import MOCK
from palaver_mock.script import Turn


def ask(text="are you there", **fields):
    return ChatRequest("echo", (Message(Role.USER, text),), **fields)


@asynccontextmanager
async def mock(tmp_path=None, script=None, clock=None, **config):
    if script is not None:
        path = tmp_path / "script.yaml"
        path.write_text(script)
        config["script"] = str(path)
    context = fake_context("mock", clock=clock or FakeClock(auto=True))
    async with MOCK.open(MockConfig(**config), context) as provider:
        yield provider


async def batches_of(provider, request):
    async with aclosing(provider.stream(request)) as batches:
        return [batch async for batch in batches]


async def answer_of(provider, request):
    fold = Fold()
    for batch in await batches_of(provider, request):
        fold.feed(batch)
    return fold.completion()


async def partial_of(provider, request):
    """The text that came before the failure, and the failure."""
    fold = Fold()
    try:
        async with aclosing(provider.stream(request)) as batches:
            async for batch in batches:
                fold.feed(batch)
    except Exception as error:
        return fold.text, error
    raise AssertionError("nothing failed")


def test_the_hook_offers_the_mock_and_never_makes_an_instance_by_itself():
    assert [MOCK] == list(palaver_providers())
    assert MOCK.automatic is False


async def test_the_question_comes_back_in_the_words_of_the_contract():
    tools = (ToolSpec("look"), ToolSpec("listen"))
    async with mock() as provider:
        answer = await answer_of(provider, ask("is anybody there", tools=tools))
    assert answer.message.text == "Mock streaming response to: 'is anybody there'. Available tools: 2 "
    assert answer.finish_reason is FinishReason.STOP


async def test_the_answer_streams_word_by_word():
    async with mock() as provider:
        batches = await batches_of(provider, ask("hi"))
    words = [event.text for batch in batches for event in batch if isinstance(event, TextDelta)]
    assert words == ["Mock ", "streaming ", "response ", "to: ", "'hi'. ", "Available ", "tools: ", "0 "]
    assert all(sum(isinstance(event, TextDelta) for event in batch) <= 1 for batch in batches)


async def test_without_streaming_everything_comes_in_one_batch():
    async with mock() as provider:
        streamed = await answer_of(provider, ask())
        batches = await batches_of(provider, ask(streaming=False))
    fold = Fold()
    fold.feed(batches[0])
    assert len(batches) == 1
    assert fold.completion().message == streamed.message


async def test_words_come_the_configured_delay_apart():
    clock = FakeClock(auto=True)
    async with mock(clock=clock, delay_ms=200) as provider:
        await answer_of(provider, ask("hi"))
    assert clock.slept == [0.2] * 8


async def test_a_token_is_a_word():
    async with mock() as provider:
        answer = await answer_of(provider, ask("one two three"))
    assert Usage(3, 10) == answer.usage


async def test_max_tokens_shortens_the_answer():
    async with mock() as provider:
        answer = await answer_of(provider, ask(sampling=Sampling(max_tokens=2)))
    assert (answer.message.text, answer.finish_reason) == ("Mock streaming ", FinishReason.LENGTH)


async def test_a_title_is_the_first_six_words_and_takes_no_turn(tmp_path):
    async with mock(tmp_path, "- first\n- second\n") as provider:
        title = await answer_of(
            provider, ask("how do I bake a cake without eggs", metadata={"palaver.purpose": "title"})
        )
        answer = await answer_of(provider, ask())
    assert title.message.text == "how do I bake a cake"
    assert answer.message.text == "first"


async def test_a_request_without_a_user_is_answered_too():
    async with mock() as provider:
        answer = await answer_of(provider, ChatRequest("echo", ()))
    assert answer.message.text == "Mock streaming response to: ''. Available tools: 0 "


# --- scripts -------------------------------------------------------------------------------------------------------


async def test_plain_turns_play_in_order_and_start_over(tmp_path):
    async with mock(tmp_path, "- one\n- text: two\n  times: 2\n") as provider:
        said = [(await answer_of(provider, ask())).message.text for _ in range(4)]
    assert said == ["one", "two", "two", "one"]


async def test_each_instance_plays_its_own_script(tmp_path):
    async with mock(tmp_path, "- one\n- two\n") as here, mock(tmp_path, "- one\n- two\n") as there:
        said = [(await answer_of(provider, ask())).message.text for provider in (here, here, there)]
    assert said == ["one", "two", "one"]


async def test_a_tool_demonstration_asks_and_then_answers(tmp_path):
    script = """
- match: weather
  after: user
  reasoning: let me look
  tool_calls:
    - {name: get_weather, arguments: {city: Paris}}
    - {name: get_weather, arguments: {city: Rome}, id: mine}
- match: weather
  after: tool
  text: sunny
"""
    async with mock(tmp_path, script) as provider:
        first = await answer_of(provider, ask("what WEATHER have we"))
        results = Message(Role.TOOL, (ToolResultPart("call_1", ()),))
        history = (Message(Role.USER, "what weather have we"), first.message, results)
        second = await answer_of(provider, ChatRequest("echo", history))
        other = await answer_of(provider, ask("hi"))
    paris, rome = first.message.tool_calls
    assert (paris.name, paris.arguments, rome.arguments) == ("get_weather", '{"city": "Paris"}', '{"city": "Rome"}')
    assert rome.id == "mine" != paris.id
    assert (first.message.reasoning, first.finish_reason) == ("let me look", FinishReason.TOOL_CALLS)
    assert first.usage.reasoning_tokens == 3
    assert second.message.text == "sunny"
    assert other.message.text.startswith("Mock streaming response")


async def test_a_matching_turn_with_times_gives_way_to_the_next(tmp_path):
    script = "- {match: /^go/, times: 1, error: overloaded}\n- {match: go, text: went}\n"
    async with mock(tmp_path, script) as provider:
        with pytest.raises(Overloaded):
            await answer_of(provider, ask("go on"))
        assert (await answer_of(provider, ask("go on"))).message.text == "went"


async def test_a_call_may_carry_broken_arguments(tmp_path):
    async with mock(tmp_path, "- tool_calls: [{name: x, arguments: '{\"a\": '}]") as provider:
        answer = await answer_of(provider, ask())
    assert answer.message.tool_calls[0].arguments == '{"a": '


async def test_a_refusal_finishes_as_one(tmp_path):
    async with mock(tmp_path, "- refusal: I would rather not\n") as provider:
        answer = await answer_of(provider, ask())
    assert (answer.message.refusal, answer.finish_reason) == ("I would rather not", FinishReason.REFUSAL)


async def test_scripted_usage_and_none_at_all(tmp_path):
    script = "- {text: a, usage: {input_tokens: 7, cache_read_tokens: 5}}\n- {text: b, usage: false}\n"
    async with mock(tmp_path, script) as provider:
        assert Usage(7, cache_read_tokens=5) == (await answer_of(provider, ask())).usage
        assert (await answer_of(provider, ask())).usage is None


# --- faults --------------------------------------------------------------------------------------------------------


async def test_an_error_before_the_first_word_leaves_nothing(tmp_path):
    async with mock(tmp_path, "- error: {kind: rate_limited, retry_after: 2}\n") as provider:
        text, error = await partial_of(provider, ask())
    assert (text, type(error), error.retry_after, error.upstream_status) == ("", RateLimited, 2.0, 429)
    assert (error.provider, error.model) == ("mock", "echo")


async def test_an_error_after_some_words_leaves_them(tmp_path):
    async with mock(tmp_path, "- {text: a b c, error: {kind: failed, after: 2, status: 502}}\n") as provider:
        text, error = await partial_of(provider, ask())
    assert (text, error.upstream_status) == ("a b ", 502)


@pytest.mark.parametrize(("cut", "left"), [("0", ""), ("2", "a b "), ("true", "a b c"), ("99", "a b c")])
async def test_a_cut_answer_is_interrupted_not_finished(tmp_path, cut, left):
    async with mock(tmp_path, f"- {{text: a b c, cut: {cut}}}\n") as provider:
        text, error = await partial_of(provider, ask())
    assert (text, type(error)) == (left, UpstreamInterrupted)


async def test_a_fault_without_streaming_leaves_nothing(tmp_path):
    async with mock(tmp_path, "- {text: a b c, cut: 2}\n") as provider:
        text, error = await partial_of(provider, ask(streaming=False))
    assert (text, type(error)) == ("", UpstreamInterrupted)


@pytest.mark.parametrize(("stall", "phase"), [(0, "first_byte"), (1, "idle")])
async def test_a_stall_lasts_until_the_deadline_of_its_phase(tmp_path, stall, phase):
    clock = FakeClock(auto=True)
    async with mock(tmp_path, f"- {{text: a b, stall: {stall}}}\n", clock=clock) as provider:
        _, error = await partial_of(provider, ask())
    assert (type(error), error.phase) == (UpstreamTimeout, phase)
    assert clock.monotonic() == 60.0


async def test_closing_a_stalled_answer_ends_it(tmp_path):
    async with mock(tmp_path, "- {text: a b, stall: 1}\n", clock=FakeClock()) as provider:
        stream = provider.stream(ask())
        await anext(stream)
        await stream.aclose()
        assert [] == [batch async for batch in stream]


async def test_a_turn_has_delays_of_its_own(tmp_path):
    clock = FakeClock(auto=True)
    async with mock(
        tmp_path, "- {text: a b, delay_ms: 10, first_delay_ms: 990}\n", clock=clock, delay_ms=5
    ) as provider:
        await answer_of(provider, ask())
    assert clock.slept == [1.0, 0.01]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("- one\n- txet: two\n", "script.yaml:2: turn 2: txet: unknown field; known: text, reasoning"),
        ("- text: a\n  error: teapot\n", "script.yaml:2: turn 1: error: unknown kind 'teapot'; known: rejected"),
        ("- text: a\n\n  finish: bored\n", "script.yaml:3: turn 1: finish: unknown reason 'bored'; known: stop"),
        ("- text: 5\n", "script.yaml:1: turn 1: text: expected a text, got 5 (quote it)"),
        ("- tool_calls: [{arguments: {}}]\n", "turn 1: tool_calls: a call has no name"),
        ("- tool_calls: {name: x}\n", "turn 1: tool_calls: expected a list of calls"),
        ("- tool_calls: [{name: x, arguments: {day: 2026-01-01}}]\n", "arguments are not JSON"),
        ("- cut: -1\n", "turn 1: cut: expected a whole number from 0 up, got -1"),
        ("- times: 0\n", "turn 1: times: expected at least 1"),
        ("- delay_ms: .inf\n", "turn 1: delay_ms: expected a number from 0 up, got inf"),
        ("- match: /(/\n", "turn 1: match: not a regular expression"),
        ("- after: system\n", "turn 1: after: expected user or tool, got 'system'"),
        ("- usage: {tokens: 1}\n", "turn 1: usage: unknown field 'tokens'"),
        ("- text: a\n  text: b\n", "script.yaml:2: turn 1: text: given twice"),
        ("- 5\n", "script.yaml:1: turn 1: expected a text or fields"),
        ("text: a\n", "script.yaml:1: expected a list of turns"),
        ("- text: [\n", "script.yaml:2: not YAML"),
    ],
)
async def test_a_wrong_script_is_told_with_its_place(tmp_path, script, problem):
    with pytest.raises(ConfigError) as caught:
        async with mock(tmp_path, script):
            pass
    assert problem in str(caught.value)


async def test_a_missing_script_is_told():
    with pytest.raises(ConfigError, match=r"script: cannot read 'nowhere\.yaml'"):
        async with mock(script=None), MOCK.open(MockConfig(script="nowhere.yaml"), fake_context()):
            pass


async def test_an_empty_script_repeats_the_question(tmp_path):
    async with mock(tmp_path, "# nothing yet\n") as provider:
        answer = await answer_of(provider, ask("hi"))
    assert answer.message.text.startswith("Mock streaming response")


def test_a_negative_delay_is_refused():
    with pytest.raises(ValueError, match="delay_ms: expected milliseconds from 0 up, got -1"):
        MockConfig(delay_ms=-1)


# --- other faces ---------------------------------------------------------------------------------------------------


async def test_vectors_are_near_when_words_are_shared():
    inputs = ("the cat sat on the mat", "the cat sat on the sofa", "quarterly revenue grew")
    async with mock() as provider:
        embeddings = await provider.embed(EmbeddingRequest("embed", inputs))
        again = await provider.embed(EmbeddingRequest("embed", inputs))
    mat, sofa, revenue = embeddings.vectors
    assert dot(mat, sofa) > 0.5 > dot(mat, revenue)
    assert embeddings == again
    assert [64, 64, 64] == [len(vector) for vector in embeddings.vectors]


async def test_a_text_without_words_has_a_vector_too():
    async with mock() as provider:
        embeddings = await provider.embed(EmbeddingRequest("embed", ("", "!"), dimensions=3))
    assert ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0)) == embeddings.vectors


async def test_impossible_dimensions_are_refused():
    async with mock() as provider:
        with pytest.raises(InvalidRequest, match="dimensions: expected 1 to 4096, got 0"):
            await provider.embed(EmbeddingRequest("embed", ("a",), dimensions=0))


async def test_models_tokens_and_health():
    async with mock() as provider:
        assert ["echo", "embed"] == [model.id for model in await provider.list_models()]
        assert 3 == await provider.count_tokens(ask("one two three"))
        await provider.check()


async def test_the_end_comes_once_and_last():
    async with mock() as provider:
        events = [event for batch in await batches_of(provider, ask()) for event in batch]
    assert [len(events) - 1] == [at for at, event in enumerate(events) if isinstance(event, ResponseFinished)]


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


# --- the README ----------------------------------------------------------------------------------------------------

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
EXAMPLE = next(text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if text.startswith("- "))


async def test_the_script_of_the_readme_plays_as_it_says(tmp_path):
    weather = Message(Role.USER, "what about the weather?")
    async with mock(tmp_path, EXAMPLE) as provider:
        plain = [(await answer_of(provider, ask())).message.text for _ in range(3)]
        asked = await answer_of(provider, ChatRequest("echo", (weather,)))
        result = Message(Role.TOOL, (ToolResultPart(asked.message.tool_calls[0].id, ()),))
        told = await answer_of(provider, ChatRequest("echo", (weather, asked.message, result)))
        with pytest.raises(RateLimited):
            await answer_of(provider, ask())
        again = await answer_of(provider, ask())
    assert ["Hello! Ask me about the weather.", "You have been heard.", "You have been heard."] == plain
    assert ("I had better look it up.", '{"city": "Paris"}') == (
        asked.message.reasoning,
        asked.message.tool_calls[0].arguments,
    )
    assert "It is sunny in Paris." == told.message.text
    assert plain[0] == again.message.text


def test_the_readme_lists_every_field_kind_and_setting():
    fields = {field.name for field in attrs.fields(Turn)} | set(TABLE) | {"script", "delay_ms"}
    assert [] == sorted(name for name in fields if f"`{name}`" not in README)
