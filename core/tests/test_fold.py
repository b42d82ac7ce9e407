"""Folding: however an answer is cut into pieces, the same answer comes out."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from palaver import (
    FinishReason,
    Fold,
    ImagePart,
    PartAdded,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    ResponseFinished,
    ResponseStarted,
    Role,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from palaver.fold import merge_vendor

quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fold(*batches):
    answer = Fold()
    for batch in batches:
        answer.feed(batch)
    return answer


def parts_of(*events):
    return fold(events).message().parts


# --- any split gives the same --------------------------------------------------------------------------------------


def split(draw, text):
    """Cut *text* into pieces, empty ones among them."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@st.composite
def answers(draw):
    """The events of an answer in few large pieces, and the same answer cut small and batched at random."""
    whole, pieces = [ResponseStarted("r1", "m")], [ResponseStarted("r1", "m")]
    for index, text in enumerate(draw(st.lists(st.text(min_size=1), max_size=2))):
        whole.append(ReasoningDelta(text, index=index, signature="sig"))
        pieces += [ReasoningDelta(piece, index=index) for piece in split(draw, text)]
        pieces.append(ReasoningDelta(index=index, signature="sig"))
    if text := draw(st.text()):
        whole.append(TextDelta(text))
        pieces += [TextDelta(piece) for piece in split(draw, text)]
    calls = draw(st.lists(st.text(min_size=1), max_size=3))
    for index, arguments in enumerate(calls):
        whole += [ToolCallStarted(index, f"c{index}", "look"), ToolCallDelta(index, arguments)]
        pieces.append(ToolCallStarted(index, f"c{index}", "look"))
    for index, arguments in enumerate(calls):
        pieces += [ToolCallDelta(index, piece) for piece in split(draw, arguments)]
    end = [UsageReported(Usage(3, 4)), ResponseFinished(FinishReason.STOP, raw="stop")]
    whole, pieces = whole + end, pieces + end
    places = sorted(draw(st.lists(st.integers(0, len(pieces)), max_size=5)))
    batches = [pieces[start:end] for start, end in zip([0, *places], [*places, len(pieces)], strict=True)]
    return whole, batches


@quick
@given(answers())
def test_not_streaming_is_the_fold_of_streaming(answer):
    whole, batches = answer
    assert fold(whole).completion() == fold(*batches).completion()


@quick
@given(st.data(), st.text(min_size=1))
def test_any_split_of_a_text_folds_to_the_text(data, text):
    pieces = split(data.draw, text)
    assert (TextPart(text),) == parts_of(*(TextDelta(piece) for piece in pieces))


@quick
@given(st.data(), st.lists(st.text(min_size=1), min_size=2, max_size=3))
def test_interleaved_arguments_go_to_their_own_call(data, arguments):
    waiting = {index: split(data.draw, text) for index, text in enumerate(arguments)}
    events = [ToolCallStarted(index, f"c{index}", "look") for index in waiting]
    while waiting:
        index = data.draw(st.sampled_from(sorted(waiting)))
        events.append(ToolCallDelta(index, waiting[index].pop(0)))
        if not waiting[index]:
            del waiting[index]
    expected = tuple(ToolCallPart(f"c{index}", "look", text) for index, text in enumerate(arguments))
    assert expected == parts_of(*events)


# --- order and kinds -----------------------------------------------------------------------------------------------


def test_parts_keep_the_order_of_their_first_appearance():
    assert (
        ReasoningPart("hm", signature="s"),
        TextPart("let me look"),
        ToolCallPart("c0", "look", "{}"),
        TextPart("and"),
        ImagePart(url="https://example.com/a.png"),
        TextPart("so"),
    ) == parts_of(
        ReasoningDelta("hm"),
        ReasoningDelta(signature="s"),
        TextDelta("let me "),
        TextDelta("look"),
        ToolCallStarted(0, "c0", "look"),
        ToolCallDelta(0, "{}"),
        TextDelta("and"),
        PartAdded(ImagePart(url="https://example.com/a.png")),
        TextDelta("so"),
    )


def test_reasoning_blocks_are_told_apart_by_their_index():
    assert (
        ReasoningPart("ab", signature="s0", id="r0"),
        ReasoningPart(redacted="xyz"),
    ) == parts_of(
        ReasoningDelta("a", index=0, id="r0"),
        ReasoningDelta(index=1, redacted="xyz"),
        ReasoningDelta("b", index=0),
        ReasoningDelta(index=0, signature="s0"),
    )


def test_a_refusal_is_its_own_part():
    assert (RefusalPart("I would rather not"),) == parts_of(RefusalDelta("I would "), RefusalDelta("rather not"))


def test_a_call_without_arguments_is_a_call():
    assert (ToolCallPart("c0", "look", ""),) == parts_of(ToolCallStarted(0, "c0", "look"))


def test_vendor_data_of_the_pieces_is_joined():
    events = [
        ResponseStarted(vendor={"acme": {"region": "eu"}}),
        TextDelta("a", vendor={"acme": {"logprobs": [1]}}),
        TextDelta("b", vendor={"acme": {"logprobs": [2], "seen": True}}),
        ResponseFinished(FinishReason.STOP, vendor={"acme": {"tier": "slow"}}),
    ]
    completion = fold(events).completion()
    assert (TextPart("ab", vendor={"acme": {"logprobs": [1, 2], "seen": True}}),) == completion.message.parts
    assert {"acme": {"region": "eu", "tier": "slow"}} == completion.vendor


def test_joining_changes_neither_side():
    old, new = {"a": {"x": [1]}, "b": 1}, {"a": {"x": [2], "y": None}, "b": None}
    assert {"a": {"x": [1, 2], "y": None}, "b": 1} == merge_vendor(old, new)
    assert ({"a": {"x": [1]}, "b": 1}, {"a": {"x": [2], "y": None}, "b": None}) == (old, new)


# --- whole answers and broken ones ---------------------------------------------------------------------------------


def test_a_finished_answer_tells_who_why_and_how_much():
    completion = fold(
        [ResponseStarted("r1")],
        [ResponseStarted(model="m-2"), TextDelta("hi"), UsageReported(Usage(1, 1))],
        [UsageReported(Usage(3, 4)), ResponseFinished(FinishReason.LENGTH, raw="max_tokens")],
    ).completion()
    assert ("r1", "m-2", Usage(3, 4), FinishReason.LENGTH, "max_tokens", Role.ASSISTANT) == (
        completion.id,
        completion.model,
        completion.usage,
        completion.finish_reason,
        completion.finish_raw,
        completion.message.role,
    )


def test_usage_nobody_reported_is_none():
    assert fold([TextDelta("a"), ResponseFinished(FinishReason.STOP)]).completion().usage is None


def test_a_partial_answer_can_be_asked_for_and_goes_on():
    answer = fold([TextDelta("one ")])
    assert ((TextPart("one "),), FinishReason.UNKNOWN) == (
        answer.message().parts,
        answer.completion().finish_reason,
    )
    answer.feed([TextDelta("two")])
    assert ("one two", None) == (answer.text, answer.finished)


def test_an_answer_is_empty_until_content_comes():
    answer = fold([ResponseStarted("r1"), UsageReported(Usage(1))])
    assert answer.empty
    answer.feed([TextDelta("a")])
    assert not answer.empty


def test_something_that_is_no_event_is_refused():
    with pytest.raises(TypeError, match="not a stream event: 'hello'"):
        fold(["hello"])
