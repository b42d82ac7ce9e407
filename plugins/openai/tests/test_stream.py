"""The state machine: what each chunk means, and every way in which vendors say it differently."""

import itertools
import json

import orjson
import pytest
from palaver import (
    AudioPart,
    FinishReason,
    Fold,
    Frame,
    ImagePart,
    Overloaded,
    PalaverError,
    ProviderRejected,
    RateLimited,
    ReasoningPart,
    RefusalDelta,
    ResponseFinished,
    ResponseStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamMalformed,
    UsageReported,
)
from palaver_openai.finish import FINISH_REASONS
from palaver_openai.stream import Mapper

DONE = Frame(b"[DONE]")


def chunk(delta=None, finish=None, **top):
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [choice]}
    return Frame(orjson.dumps({**body, **top}))


def text(words, finish=None, **top):
    return chunk({"content": words}, finish, **top)


def call(index, **fields):
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    entry = {**fields, **({"function": function} if function else {})}
    return chunk({"tool_calls": [entry if index is None else {"index": index, **entry}]})


def mapper(**how):
    numbers = itertools.count(1)
    return Mapper(new_id=lambda kind: f"{kind}-new{next(numbers)}", provider="acme", **how)


def run(*frames, **how):
    """Feed all frames as one read; give the events, and the error when there was one."""
    machine = mapper(**how)
    events = list(machine.feed(frames))
    try:
        events += machine.finish()
    except PalaverError as error:
        return events, error
    return events, None


def fold(*frames, **how):
    events, error = run(*frames, **how)
    assert error is None
    folded = Fold()
    folded.feed(events)
    return folded.completion()


def calls_of(*frames, **how):
    return [(part.id, part.name, part.arguments) for part in fold(*frames, **how).message.tool_calls]


STOP = chunk(finish="stop")
CALLS = chunk(finish="tool_calls")


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_stream_becomes_events_in_order():
    events, error = run(chunk({"role": "assistant", "content": ""}), text("hi"), text(" you"), STOP, DONE)
    assert error is None
    assert [
        ResponseStarted("c1", "m", {"openai": {"created": 5}}),
        TextDelta("hi"),
        TextDelta(" you"),
        ResponseFinished(FinishReason.STOP, "stop"),
    ] == events


def test_any_batching_gives_the_same_events():
    frames = [
        chunk({"role": "assistant"}), text("a"), text("b", system_fingerprint="f"), text("c"),
        call(0, id="x", name="f", arguments=""), call(0, arguments="{}"), CALLS, DONE,
    ]  # fmt: skip
    whole, _ = run(*frames)
    machine = mapper()
    single = [event for frame in frames for event in machine.feed([frame])]
    assert whole == [*single, *machine.finish()]


@pytest.mark.parametrize(
    "words",
    [
        ["a", "b", "c", "d"],
        ["a", '"', "\\", "\n", "é", "\u2028", "x" * 9],
        ["a", "b", "", "c"],
        ["a", "b", '","x":"', "c"],
        ['"content":"', "b", '"content":"x"', "c"],
    ],
)
@pytest.mark.parametrize("spaced", [True, False])
def test_chunks_that_differ_only_in_their_text_are_read_exactly(words, spaced):
    frames = [text(""), *map(text, words)]
    if spaced:
        frames = [Frame(json.dumps(json.loads(frame.data)).encode()) for frame in frames]
    events, _ = run(*frames, STOP)
    assert [word for word in words if word] == [event.text for event in events if isinstance(event, TextDelta)]


def test_a_chunk_that_looks_like_the_last_but_holds_more_is_read_whole():
    more = text("b").data.replace(b'"content":"b"', b'"content":"b","refusal":"no"')
    other = text("d").data.replace(b'"content":"d"', b'"content":7')
    events, _ = run(text(""), text("a"), Frame(more), text("c"), Frame(other), STOP)
    assert ["a", "b", "c"] == [event.text for event in events if isinstance(event, TextDelta)]
    assert RefusalDelta("no") in events


def test_another_field_that_is_called_content_is_not_taken_for_the_text():
    def filtered(words, about):
        return text(words, filter={"content": about})

    events, _ = run(filtered("", "x"), filtered("a", "a"), filtered("a", "b"), filtered("b", "b"), STOP)
    assert ["a", "a", "b"] == [event.text for event in events if isinstance(event, TextDelta)]


def test_whitespace_and_empty_pieces_are_kept_and_dropped():
    assert " \n" == fold(text(" "), text(""), text("\n"), text(None), STOP).message.text


def test_a_role_in_every_chunk_is_no_matter():
    frames = [chunk({"role": "assistant", "content": piece}) for piece in "abc"]
    assert "abc" == fold(*frames, STOP).message.text


def test_text_beside_the_finish_reason_is_kept():
    assert "ab" == fold(text("a"), text("b", finish="stop")).message.text


def test_choices_after_the_first_are_ignored_with_a_warning():
    second = Frame(text("other").data.replace(b'"index":0', b'"index":1'))
    events, _ = run(text("a"), second, STOP)
    assert ("a", ("choices after the first were ignored",)) == (
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        events[-1].warnings,
    )


@pytest.mark.parametrize("first", [True, False])
def test_a_chunk_without_choices_is_ignored_wherever_it_stands(first):
    azure = Frame(orjson.dumps({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}))
    answer = fold(*([azure, text("a")] if first else [text("a"), azure]), STOP)
    assert "a" == answer.message.text
    assert [{"prompt_index": 0}] == answer.vendor["openai"]["prompt_filter_results"]


def test_content_parts_are_understood():
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "so"},
        {"type": "reference", "reference_ids": [1]},
    ]
    answer = fold(chunk({"content": content}), STOP)
    assert ("hm", "so") == (answer.message.reasoning, answer.message.text)
    assert [content[2]] == answer.vendor["openai"]["message"]["parts"]


def test_a_refusal_is_a_finish_reason_of_its_own():
    events, _ = run(chunk({"refusal": "no"}), chunk({"refusal": " way"}), STOP)
    assert [RefusalDelta("no"), RefusalDelta(" way")] == events[1:3]
    assert (FinishReason.REFUSAL, "stop") == (events[-1].reason, events[-1].raw)


# --- what is kept beside ---------------------------------------------------------------------------------------------


def test_logprobs_stay_untouched_with_their_text():
    first, second = ({"content": [{"token": word, "logprob": -0.1, "top_logprobs": []}]} for word in ("a", "b"))
    frames = []
    for word, logprobs in (("a", first), ("b", second)):
        choice = {"index": 0, "delta": {"content": word}, "logprobs": logprobs, "finish_reason": None}
        frames.append(Frame(orjson.dumps({"id": "c", "choices": [choice]})))
    events, _ = run(*frames, STOP)
    assert TextDelta("a", {"openai": {"logprobs": first}}) == events[1]
    (part,) = fold(*frames, STOP).message.parts
    assert first["content"] + second["content"] == part.vendor["openai"]["logprobs"]["content"]


def test_unknown_fields_are_kept_wherever_they_come():
    choice = {"index": 0, "delta": {"content": "b", "channel": "final"}, "finish_reason": "stop", "native": "STOP"}
    late = Frame(orjson.dumps({"id": "c1", "choices": [choice], "created": 5, "citations": ["u"]}))
    kept = fold(text("a", system_fingerprint="fp"), late, chunk({}, service_tier="flex")).vendor["openai"]
    assert {
        "created": 5,
        "system_fingerprint": "fp",
        "citations": ["u"],
        "service_tier": "flex",
        "choice": {"native": "STOP"},
        "message": {"channel": "final"},
    } == kept


def test_padding_against_eavesdroppers_is_thrown_away():
    answer = fold(text("a", obfuscation="xyz"), text("b", obfuscation="x"), STOP)
    assert {"openai": {"created": 5}} == answer.vendor


def test_annotations_stay_with_the_text():
    (part,) = fold(chunk({"content": "a", "annotations": [{"type": "url_citation"}]}), STOP).message.parts
    assert [{"type": "url_citation"}] == part.vendor["openai"]["annotations"]


# --- reasoning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_remembers_how_it_was_called(field):
    answer = fold(chunk({field: "hm"}), chunk({field: " yes", "content": None}), text("42"), STOP)
    assert (ReasoningPart("hm yes", vendor={"openai": {"field": field}}), "42") == (
        answer.message.parts[0],
        answer.message.text,
    )


def test_reasoning_that_is_said_twice_is_read_once():
    assert "hm" == fold(chunk({"reasoning": "hm", "reasoning_content": "hm"}), STOP).message.reasoning


def test_reasoning_details_are_joined_and_kept_whole():
    def detail(**fields):
        return chunk({"reasoning": fields.get("text"), "reasoning_details": [{"index": 0, "format": "f", **fields}]})

    answer = fold(
        detail(type="reasoning.text", text="hm"),
        detail(type="reasoning.text", text=" yes"),
        detail(type="reasoning.text", text="", signature="sig"),
        detail(type="reasoning.encrypted", data="enc", id="r1"),
        text("42"),
        STOP,
    )
    part = answer.message.parts[0]
    assert ("hm yes", "sig", "enc", "r1") == (part.text, part.signature, part.redacted, part.id)
    assert [
        {"index": 0, "format": "f", "type": "reasoning.text", "text": "hm yes", "signature": "sig"},
        {"index": 0, "format": "f", "type": "reasoning.encrypted", "data": "enc", "id": "r1"},
    ] == part.vendor["openai"]["reasoning_details"]


def test_a_thinking_part_keeps_its_signature():
    part = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    answer = fold(chunk({"content": [part]}), STOP)
    assert ReasoningPart("hm", "sig", vendor={"openai": {"field": "thinking"}}) == answer.message.parts[0]


# --- tool calls ------------------------------------------------------------------------------------------------------


def test_a_call_is_announced_once_before_its_arguments():
    events, _ = run(call(0, id="a", name="f", arguments=""), call(0, arguments="{"), call(0, arguments="}"), CALLS)
    assert [ToolCallStarted(0, "a", "f"), ToolCallDelta(0, "{"), ToolCallDelta(0, "}")] == events[1:-1]


@pytest.mark.parametrize("arguments", ["", "[]", '{"a": 1', '{"a":"' + "x" * 1_000_000 + '"}', "{ }\n"])
def test_arguments_come_as_the_model_wrote_them(arguments):
    assert [("a", "f", arguments)] == calls_of(call(0, id="a", name="f", arguments=arguments), CALLS)


def test_arguments_that_are_null_or_missing_are_empty():
    assert [("a", "f", "")] == calls_of(call(0, id="a", name="f", arguments=None), CALLS)
    assert [("a", "f", "")] == calls_of(call(0, id="a", name="f"), CALLS)


def test_arguments_that_are_an_object_already_become_text():
    assert [("a", "f", '{"x":1}')] == calls_of(call(0, id="a", name="f", arguments={"x": 1}), CALLS)


def test_interleaved_calls_keep_their_own_arguments():
    frames = [call(0, id="a", name="f", arguments=""), call(1, id="b", name="g", arguments="")]
    frames += [call(index, arguments=piece) for index, piece in ((0, '{"x'), (1, '{"y'), (0, '":1}'), (1, '":2}'))]
    assert [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')] == calls_of(*frames, CALLS)


def test_gaps_between_indexes_are_closed():
    events, _ = run(call(3, id="a", name="f", arguments="{}"), call(7, id="b", name="g", arguments="{}"), CALLS)
    assert [0, 1] == [event.index for event in events if isinstance(event, ToolCallStarted)]


def test_a_new_id_at_the_same_index_is_a_new_call():
    frames = [call(0, id=name, name="f", arguments="{}") for name in "ab"]
    assert [("a", "f", "{}"), ("b", "f", "{}")] == calls_of(*frames, CALLS)


def test_without_ids_another_name_is_a_new_call():
    assert [("call-new1", "f", "{}"), ("call-new2", "g", "{}")] == calls_of(
        call(0, name="f", arguments="{}"), call(0, name="g", arguments="{}"), CALLS
    )


def test_without_ids_the_same_name_with_new_arguments_is_a_new_call():
    assert [("call-new1", "f", '{"a":1}'), ("call-new2", "f", '{"a":2}')] == calls_of(
        call(0, name="f", arguments='{"a":1}'), call(0, name="f", arguments='{"a":2}'), CALLS
    )


def test_without_indexes_ids_tell_calls_apart():
    frames = [call(None, id="a", name="f", arguments="{"), call(None, arguments="}")]
    frames += [call(None, id="b", name="g", arguments="{}")]
    assert [("a", "f", "{}"), ("b", "g", "{}")] == calls_of(*frames, CALLS)


def test_an_id_that_comes_later_belongs_to_the_same_call():
    assert [("a", "f", "{}")] == calls_of(call(0, name="f"), call(0, id="a"), call(0, arguments="{}"), CALLS)
    late = calls_of(call(0, name="f", arguments="{"), call(0, id="a", arguments="}"), CALLS)
    assert [("call-new1", "f", "{}")] == late


def test_a_name_in_pieces_is_joined_and_a_repeated_one_is_not():
    assert [("a", "get_time", "{}")] == calls_of(
        call(0, id="a", name="get_"), call(0, name="time"), call(0, arguments="{}"), CALLS
    )
    assert [("a", "f", "{}")] == calls_of(
        call(0, id="a", name="f", arguments=""), call(0, id="a", name="f", arguments="{"),
        call(0, id="a", name="f", arguments="}"), CALLS,
    )  # fmt: skip


def test_a_missing_id_is_made_and_a_double_one_is_replaced():
    frames = [call(index, id=name, name="f", arguments="{}") for index, name in enumerate(["a", "a", None, ""])]
    assert ["a", "call-new1", "call-new2", "call-new3"] == [each[0] for each in calls_of(*frames, CALLS)]


def test_an_id_of_an_earlier_turn_is_replaced_and_remembered():
    answer = fold(call(0, id="a", name="f", arguments="{}"), CALLS, taken=lambda: {"a"})
    (part,) = answer.message.tool_calls
    assert ("call-new1", {"openai": {"id": "a"}}) == (part.id, part.vendor)


def test_fields_a_vendor_adds_to_a_call_are_kept():
    extra = {"google": {"thought_signature": "sig"}}
    (part,) = fold(call(0, id="a", name="f", arguments="{}", extra_content=extra), CALLS).message.tool_calls
    assert {"openai": {"extra_content": extra}} == part.vendor


def test_a_call_whose_arguments_never_come_is_announced_at_the_end():
    assert [("a", "f", "")] == calls_of(text("wait"), call(0, id="a", name="f"), CALLS, DONE)


def test_a_legacy_function_call_is_a_call():
    frames = [chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}})]
    answer = fold(*frames, chunk(finish="function_call"))
    assert FinishReason.TOOL_CALLS is answer.finish_reason
    assert [("call-new1", "f", "{}")] == [(part.id, part.name, part.arguments) for part in answer.message.tool_calls]


def test_a_custom_tool_call_keeps_its_kind():
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "run", "input": "ls -l"}}
    (part,) = fold(chunk({"tool_calls": [custom]}), CALLS).message.tool_calls
    assert ("run", "ls -l", True) == (part.name, part.arguments, part.vendor["openai"]["custom_tool"])


# --- sounds and images -----------------------------------------------------------------------------------------------


def test_a_spoken_answer_is_one_part():
    pieces = [{"id": "au1", "transcript": "he"}, {"data": "AAE="}, {"data": "Ag=="}, {"transcript": "y"}]
    pieces += [{"expires_at": 9}]
    answer = fold(*(chunk({"audio": piece}) for piece in pieces), STOP)
    assert (
        AudioPart(data=b"\0\1\2", transcript="hey", audio_id="au1", vendor={"openai": {"expires_at": 9}}),
    ) == answer.message.parts


def test_an_image_in_an_answer_is_a_part():
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAE="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    answer = fold(chunk({"content": "look", "images": images}), STOP)
    assert (
        ImagePart(data=b"\0\1", mime_type="image/png"),
        ImagePart(url="https://example.com/a.png"),
    ) == answer.message.parts[1:]


# --- the end ---------------------------------------------------------------------------------------------------------


def test_a_finish_reason_without_done_is_complete():
    assert FinishReason.STOP is fold(text("a"), STOP).finish_reason


def test_done_without_finish_reason_is_complete_unknown_and_warned():
    events, error = run(text("a"), DONE)
    assert error is None
    assert (
        ResponseFinished(FinishReason.UNKNOWN, None, warnings=("the answer ended without a finish reason",))
        == events[-1]
    )


def test_neither_is_interrupted_and_the_text_is_kept():
    events, error = run(text("a"))
    assert (TextDelta("a"), UpstreamInterrupted) == (events[-1], type(error))


def test_done_ends_the_reading_and_what_follows_is_ignored():
    machine = mapper()
    events = machine.feed([text("a"), STOP, DONE, text("b"), Frame(b"rubbish")])
    assert machine.over
    assert ResponseFinished(FinishReason.STOP, "stop") == events[-1]
    assert ([], ()) == (machine.feed([text("c")]), machine.finish())


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("abort", UpstreamInterrupted),
        ("cancelled", UpstreamInterrupted),
        ("network_error", UpstreamInterrupted),
        ("error", UpstreamFailed),
        ("insufficient_system_resource", Overloaded),
    ],
)
def test_a_finish_reason_that_is_no_finish_is_an_error(word, kind):
    events, error = run(text("a"), chunk(finish=word), DONE)
    assert (kind, TextDelta("a")) == (type(error), events[-1])


@pytest.mark.parametrize(("word", "reason"), FINISH_REASONS.items())
def test_the_vendors_words_are_mapped_and_kept(word, reason):
    answer = fold(text("a"), chunk(finish=word), DONE)
    assert (reason, word) == (answer.finish_reason, answer.finish_raw)


def test_an_unknown_finish_reason_is_never_silent():
    events, _ = run(text("a"), chunk(finish="bored"), DONE)
    assert (FinishReason.UNKNOWN, "bored", ("unknown finish reason 'bored'",)) == (
        events[-1].reason,
        events[-1].raw,
        events[-1].warnings,
    )


def test_an_empty_finish_reason_is_none():
    assert UpstreamInterrupted is type(run(text("a", finish=""))[1])


def test_nothing_but_done_is_malformed():
    assert UpstreamMalformed is type(run(DONE)[1])


def test_a_connection_lost_after_the_finish_reason_loses_nothing():
    machine = mapper()
    machine.feed([text("a"), STOP])
    (finished,) = machine.finish(UpstreamInterrupted("lost"))
    assert (FinishReason.STOP, ("the connection was lost after the finish reason",)) == (
        finished.reason,
        finished.warnings,
    )


def test_a_usage_chunk_that_was_cut_loses_nothing_else():
    events, error = run(text("a"), STOP, Frame(b'{"id":"c1","usa', complete=False))
    assert error is None
    assert FinishReason.STOP is events[-1].reason


def test_a_chunk_that_was_cut_is_interrupted():
    assert UpstreamInterrupted is type(run(text("a"), Frame(b'{"id":"c1","cho', complete=False))[1])


# --- errors in the stream --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "m", "type": "server_error", "code": None}}, UpstreamFailed),
        ({"error": {"message": "m", "type": "rate_limit_exceeded"}}, RateLimited),
        ({"error": {"message": "m", "code": 429}}, RateLimited),
        ({"error": {"message": "m", "code": "503"}}, Overloaded),
        ({"error": {"message": "m", "type": "overloaded_error"}}, Overloaded),
        ({"error": {"message": "m", "type": "invalid_request_error", "status_code": 400}}, ProviderRejected),
        ({"error": "out of memory"}, UpstreamFailed),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, ProviderRejected),
        ({"object": "error", "message": "m", "type": "InternalServerError"}, UpstreamFailed),
        ({"message": "m", "code": 500}, UpstreamFailed),
        ({"detail": "m"}, UpstreamFailed),
    ],
)
def test_an_error_in_the_stream_is_typed_by_its_own_words(body, kind):
    events, error = run(text("a"), Frame(orjson.dumps(body)), DONE)
    assert (kind, "acme", TextDelta("a")) == (type(error), error.provider, events[-1])
    assert str(error).startswith("acme answered with the error")


def test_an_event_named_error_is_one_whatever_it_holds():
    assert UpstreamFailed is type(run(text("a"), Frame(b'{"reason":"gone"}', "error"))[1])


def test_an_error_with_choices_beside_it_is_one():
    frame = text("", finish="error", error={"message": "Provider disconnected", "code": 502})
    assert "Provider disconnected" in str(run(text("a"), frame)[1])


def test_an_error_that_is_null_is_none():
    assert "a" == fold(text("a", error=None), STOP).message.text


@pytest.mark.parametrize("data", [b'{"id":', b"<html>", b'{"choices": [}'])
def test_one_broken_event_is_malformed_and_keeps_what_came(data):
    events, error = run(text("a"), Frame(data), text("b"), STOP, DONE)
    assert (UpstreamMalformed, TextDelta("a")) == (type(error), events[-1])


@pytest.mark.parametrize("frame", [Frame(b" "), Frame(b"\n"), Frame(b"ping"), Frame(b"{}"), Frame(b"{}", "ping")])
def test_a_ping_is_not_malformed(frame):
    assert "ab" == fold(text("a"), frame, text("b"), STOP).message.text


@pytest.mark.parametrize(
    "body",
    [
        {"choices": None}, {"choices": [None]}, {"choices": [7]}, {"choices": [{}]}, {"choices": [{"delta": None}]},
        {"choices": [{"index": 0, "delta": {"content": 7}}]}, {"choices": [{"delta": {"tool_calls": None}}]},
        {"choices": [{"delta": {"tool_calls": [7, {}, {"function": None}]}}]}, {"choices": {"a": 1}},
        {"choices": [{"delta": {"content": [7, {}, {"type": "text"}]}}]}, {"choices": [{"finish_reason": 7}]},
        {"choices": [{"delta": {"reasoning_details": [7]}}]}, {"choices": [{"delta": {"audio": {"data": "?"}}}]},
        {"object": "chat.completion.chunk.v9", "novelty": 1}, {"id": 7, "model": []}, [1], 7,
    ],
)  # fmt: skip
def test_strange_chunks_are_survived(body):
    assert fold(text("a"), Frame(orjson.dumps(body)), text("b"), STOP).message.text.startswith("a")


# --- usage -----------------------------------------------------------------------------------------------------------


def usages(*frames):
    return [event.usage for event in run(*frames)[0] if isinstance(event, UsageReported)]


def usage_chunk(usage, **more):
    return Frame(orjson.dumps({"id": "c1", "choices": [], "usage": usage, **more}))


def test_usage_of_the_last_chunk_comes_before_the_end():
    events, _ = run(text("a", usage=None), STOP, usage_chunk({"prompt_tokens": 3, "completion_tokens": 2}), DONE)
    assert (3, 2) == (events[-2].usage.input_tokens, events[-2].usage.output_tokens)


def test_usage_on_a_cut_stream_is_known():
    (usage,) = usages(text("a", usage={"prompt_tokens": 3, "completion_tokens": 1}))
    assert (3, 1) == (usage.input_tokens, usage.output_tokens)


def test_growing_usage_is_reported_when_it_grows():
    frames = [text("a", usage={"completion_tokens": number}) for number in (1, 1, 2, 2)]
    assert [1, 2] == [usage.output_tokens for usage in usages(*frames)]


@pytest.mark.parametrize("usage", [None, {}, [], 7, "many"])
def test_no_usage_is_none_and_not_zero(usage):
    assert [] == usages(text("a"), STOP, usage_chunk(usage))


# --- whole documents -------------------------------------------------------------------------------------------------


def document(message, finish="stop", **top):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Frame(orjson.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], **top}))


def test_a_whole_document_is_a_whole_answer():
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}] * 2
    answer = fold(
        document(
            {"content": "hi", "reasoning_content": "hm", "tool_calls": calls}, "tool_calls", usage={"prompt_tokens": 3}
        ),
        whole=True,
    )
    assert ("hi", "hm", FinishReason.TOOL_CALLS, 3) == (
        answer.message.text,
        answer.message.reasoning,
        answer.finish_reason,
        answer.usage.input_tokens,
    )
    assert ["a", "call-new1"] == [part.id for part in answer.message.tool_calls]


def test_a_document_without_finish_reason_is_complete_and_unknown():
    assert FinishReason.UNKNOWN is fold(document({"content": "hi"}, None), whole=True).finish_reason


def test_a_document_that_was_cut_is_interrupted():
    frame = Frame(document({"content": "hi"}).data[:-9], complete=False)
    assert UpstreamInterrupted is type(run(frame, whole=True)[1])


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None, "id": "x"}, [], {"data": []}])
def test_a_document_without_an_answer_is_malformed(body):
    assert UpstreamMalformed is type(run(Frame(orjson.dumps(body)), whole=True)[1])


def test_a_document_that_is_an_error_is_one():
    body = {"error": {"message": "m", "code": "rate_limit_exceeded"}}
    assert RateLimited is type(run(Frame(orjson.dumps(body)), whole=True)[1])


def test_a_chunk_with_a_whole_message_beside_its_delta_is_not_read_twice():
    choice = {"index": 0, "delta": {"content": "b"}, "message": {"content": "ab"}, "finish_reason": "stop"}
    assert "ab" == fold(text("a"), Frame(orjson.dumps({"choices": [choice]}))).message.text


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"usage": None},
        {"usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        {"system_fingerprint": "fp_1", "service_tier": "default"},
        {"model": None, "id": None},
    ],
)
def test_a_whole_answer_of_text_maps_the_same_on_the_short_way_and_on_the_long_one(change):
    message = {"role": "assistant", "content": "hello", "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "finish_reason": "length", "logprobs": None}
    document = {"id": "c1", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], **change}

    def mapped(document):
        mapper = Mapper(new_id=str, whole=True)
        frames = [Frame(orjson.dumps(document))]
        return [*mapper.feed(frames), *mapper.finish()]

    # A field that no short way knows, with nothing in it, sends the same answer down the long one.
    assert mapped(document) == mapped({**document, "choices": [{**choice, "stop_reason": None}]})
