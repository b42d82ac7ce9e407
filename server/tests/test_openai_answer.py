"""Writing answers as Chat Completions: one id and time in all chunks, role first, calls once named, usage last."""

import json
from typing import Any

import pytest
from palaver import (
    AudioPart,
    Batch,
    FinishReason,
    Fold,
    ImagePart,
    PartAdded,
    ReasoningDelta,
    RefusalDelta,
    ResponseFinished,
    ResponseStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from palaver_server.surfaces.openai_answer import ChunkWriter, completion_object, usage_object

STOP = ResponseFinished(FinishReason.STOP, raw="stop")


def chunks(*batches: Batch, include_usage: bool = False) -> list[Any]:
    writer = ChunkWriter("chatcmpl-1", 1700000000, "asked", include_usage=include_usage)
    text = b"".join(writer.feed(batch) for batch in batches).decode()
    assert text.endswith("\n\n")
    return [json.loads(line[6:]) if line != "data: [DONE]" else "[DONE]" for line in text.split("\n\n") if line]


def deltas(found: list[Any]) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in found if chunk != "[DONE]" and chunk["choices"]]


def test_a_text_answer_begins_with_the_role_and_ends_with_done() -> None:
    found = chunks([ResponseStarted("r", "served"), TextDelta('a\n\u2028"')], [TextDelta("b"), STOP])
    assert [{"role": "assistant", "content": ""}, {"content": 'a\n\u2028"'}, {"content": "b"}, {}] == deltas(found)
    assert "[DONE]" == found[-1]
    assert [None, None, None, "stop"] == [chunk["choices"][0]["finish_reason"] for chunk in found[:-1]]
    assert {("chatcmpl-1", "chat.completion.chunk", 1700000000, "served")} == {
        (chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in found[:-1]
    }
    assert all("usage" not in chunk for chunk in found[:-1])


def test_the_model_is_the_one_asked_for_when_the_vendor_does_not_say() -> None:
    assert "asked" == chunks([TextDelta("a"), STOP])[0]["model"]


def test_usage_comes_last_with_empty_choices_when_asked_for() -> None:
    found = chunks([TextDelta("a")], [UsageReported(Usage(3, 4, 1, 2)), STOP], include_usage=True)
    last = found[-2]
    assert [] == last["choices"]
    assert {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    } == last["usage"]
    assert all(chunk["usage"] is None for chunk in found[:-2])


def test_each_call_is_named_once_and_has_an_integer_index() -> None:
    found = chunks(
        [ToolCallStarted(4, "c1", "f"), ToolCallStarted(9, "c2", "g")],
        [ToolCallDelta(9, "{"), ToolCallDelta(4, '{"x":'), ToolCallDelta(9, "}")],
        [ToolCallDelta(4, "1}"), ResponseFinished(FinishReason.TOOL_CALLS)],
    )
    calls = [delta["tool_calls"][0] for delta in deltas(found) if "tool_calls" in delta]
    assert [0, 1, 1, 0, 1, 0] == [call["index"] for call in calls]
    assert [("c1", "function", "f"), ("c2", "function", "g")] == [
        (call["id"], call["type"], call["function"]["name"]) for call in calls if "id" in call
    ]
    assert '{"x":1}' == "".join(call["function"]["arguments"] for call in calls if call["index"] == 0)
    assert "tool_calls" == found[-2]["choices"][0]["finish_reason"]


def test_reasoning_refusals_and_logprobs_have_their_fields() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.1}]}
    found = chunks([ReasoningDelta("hm"), RefusalDelta("no"), TextDelta("a", {"openai": {"logprobs": logprobs}}), STOP])
    assert [{"reasoning_content": "hm"}, {"refusal": "no"}, {"content": "a"}] == deltas(found)[1:4]
    assert logprobs == found[3]["choices"][0]["logprobs"]


def test_sounds_and_images_are_not_lost() -> None:
    found = chunks([PartAdded(AudioPart(b"x", audio_id="a1")), PartAdded(ImagePart(b"x", mime_type="image/png")), STOP])
    assert {"audio": {"id": "a1", "data": "eA=="}} == deltas(found)[1]
    assert "data:image/png;base64,eA==" == deltas(found)[2]["images"][0]["image_url"]["url"]


def test_the_fingerprint_is_in_every_chunk() -> None:
    started = ResponseStarted("r", "m", {"openai": {"system_fingerprint": "fp", "secret": 1}})
    found = chunks([started, TextDelta("a"), STOP])
    assert {"fp"} == {chunk["system_fingerprint"] for chunk in found[:-1]}
    assert "secret" not in found[0]


@pytest.mark.parametrize(
    ("reason", "raw", "word"),
    [
        (FinishReason.LENGTH, "max_tokens", "length"),
        (FinishReason.CONTENT_FILTER, "SAFETY", "content_filter"),
        (FinishReason.REFUSAL, "refusal", "content_filter"),
        (FinishReason.UNKNOWN, "abort", "abort"),
        (FinishReason.UNKNOWN, None, "stop"),
    ],
)
def test_a_word_that_nobody_knows_is_passed_on_and_never_called_stop(
    reason: FinishReason, raw: str | None, word: str
) -> None:
    assert word == chunks([TextDelta("a"), ResponseFinished(reason, raw)])[-2]["choices"][0]["finish_reason"]


def test_a_whole_answer_is_the_same_folded() -> None:
    fold = Fold()
    fold.feed([ResponseStarted("r", "served"), ReasoningDelta("hm"), TextDelta("a"), TextDelta("b")])
    fold.feed([ToolCallStarted(0, "c", "f"), ToolCallDelta(0, "{}"), UsageReported(Usage(1, 2))])
    fold.feed([ResponseFinished(FinishReason.TOOL_CALLS)])
    answer = completion_object(fold.completion(), "chatcmpl-1", 5, "asked")
    assert ("chatcmpl-1", "chat.completion", 5, "served") == tuple(
        answer[name] for name in ("id", "object", "created", "model")
    )
    choice = answer["choices"][0]
    assert "tool_calls" == choice["finish_reason"]
    assert {
        "role": "assistant",
        "content": "ab",
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    } == choice["message"]
    assert {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3} == answer["usage"]


def test_unknown_usage_is_null_and_not_zero() -> None:
    assert None is usage_object(None)
