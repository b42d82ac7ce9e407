"""Rules of provider conformance about answers: text, tools, tokens, and the two forms of one answer."""

from palaver.domain import FinishReason
from palaver.events import ResponseFinished, StreamEvent, TextDelta, ToolCallDelta, ToolCallStarted
from palaver.testing.conformance_asserts import (
    assert_answer,
    assert_expected,
    assert_json,
    form,
    kinds,
    neutral,
)
from palaver.testing.conformance_case import Case, NotApplicable, as_batch, fold_of
from palaver.testing.conformance_wire import expected_of

__all__ = [
    "check_expectations",
    "check_parallel_tools",
    "check_stream",
    "check_text",
    "check_unknown_usage",
    "check_usage",
    "check_whole_is_folded_stream",
]

_TOKENS = ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens")


async def check_text(case: Case) -> None:
    """Asked without streaming, the provider gives a whole text with a known finish reason."""
    async with case.play("text", streaming=False) as played:
        assert_answer(await played.answer(), played.expected)


async def check_stream(case: Case) -> None:
    """Asked to stream, the provider gives a text in deltas with a known finish reason."""
    async with case.play("text", streaming=True) as played:
        items = await played.items()
    events = [event for item in items for event in as_batch(item)]
    assert any(isinstance(event, TextDelta) for event in events), f"no TextDelta among {kinds(events)}"
    assert any(isinstance(event, ResponseFinished) for event in events), "the stream ended without ResponseFinished"
    assert_answer(fold_of(items).completion(), played.expected)


async def check_whole_is_folded_stream(case: Case) -> None:
    """The two forms of one answer say the same, and each is understood whichever was asked for."""
    for streaming in (False, True):
        case.need("text", streaming=streaming)
    for name in ("text", "tools", "reasoning"):
        first = None
        for streaming in (each for each in (False, True) if case.has(name, streaming=each)):
            for asked in (False, True):
                async with case.play(name, streaming=streaming, asked=asked) as played:
                    answer = neutral(await played.answer())
                first = first or answer
                assert first == answer, (
                    f"{name}: the {form(streaming)} answer to a request for a {form(asked)} one differs from the "
                    f"first: {answer} != {first}"
                )


async def check_parallel_tools(case: Case) -> None:
    """Several tool calls in one answer keep their ids, names, order and exact arguments."""
    for streaming in case.forms("tools"):
        async with case.play("tools", streaming=streaming) as played:
            items = await played.items()
        _assert_calls_begin_before_they_go_on([event for item in items for event in as_batch(item)])
        answer = fold_of(items).completion()
        calls = answer.message.tool_calls
        assert len(calls) >= 2, f"expected at least two calls, got {len(calls)}: record an answer with parallel calls"
        ids = [call.id for call in calls]
        assert all(ids), f"a call has no id: {calls}"
        assert len(set(ids)) == len(ids), f"calls share an id: {ids}"
        for call in calls:
            assert call.name, f"a call has no name: {call}"
            assert_json(call.arguments, f"arguments of {call.name}")
        assert answer.finish_reason is FinishReason.TOOL_CALLS, f"finish reason is {answer.finish_reason!r}"
        assert_expected(answer, played.expected)


def _assert_calls_begin_before_they_go_on(events: list[StreamEvent]) -> None:
    started: list[int] = []
    for event in events:
        if isinstance(event, ToolCallStarted):
            assert event.index not in started, f"call {event.index} was started twice"
            started.append(event.index)
        elif isinstance(event, ToolCallDelta):
            assert event.index in started, f"arguments came for call {event.index}, which was not started"
    assert sorted(started) == started, f"indexes are not in the order of appearance: {started}"


async def check_usage(case: Case) -> None:
    """Tokens the vendor reports arrive, in both forms."""
    for streaming in case.forms("text"):
        async with case.play("text", streaming=streaming) as played:
            usage = (await played.answer()).usage
        assert usage is not None, f"no UsageReported ({form(streaming)})"
        for name in _TOKENS[:2]:
            tokens = getattr(usage, name)
            assert type(tokens) is int, f"usage.{name} is {tokens!r} ({form(streaming)})"
            assert tokens >= 0, f"usage.{name} is {tokens!r} ({form(streaming)})"
        assert not usage.estimated, "usage that the vendor reported is not an estimate"


async def check_unknown_usage(case: Case) -> None:
    """Where the vendor does not report tokens, none are reported: ``None``, never 0."""
    for streaming in case.forms("no-usage"):
        async with case.play("no-usage", streaming=streaming) as played:
            usage = (await played.answer()).usage
        if usage is None or usage.estimated:
            continue
        for name in _TOKENS:
            tokens = getattr(usage, name)
            assert tokens is None, f"the vendor did not report tokens, but usage.{name} is {tokens!r}"


async def check_expectations(case: Case) -> None:
    """Every exchange that says what is expected of it gives that."""
    if not case.has_wire:
        raise NotApplicable("there is no wire folder")
    for path in case.names(""):
        name, streaming = path.removesuffix("-stream"), path.endswith("-stream")
        expected = expected_of(case.exchange(name, streaming=streaming))
        if not expected:
            continue
        async with case.play(name, streaming=streaming) as played:
            events, error = await played.failure()
        if "error" in expected:
            assert error is not None, f"{path}: expected {expected['error']}, got an answer"
            assert expected["error"] == type(error).__name__, f"{path}: expected {expected['error']}, got {error!r}"
        elif error is not None:
            raise AssertionError(f"{path}: expected an answer, got {error!r}") from error
        assert_expected(fold_of(events).completion(), expected, f"{path}: ")
