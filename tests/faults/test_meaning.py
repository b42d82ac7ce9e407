"""1d: what vendors mean though they say it oddly: tool calls, usage, why it ended, and what nobody has heard of."""

import json
from typing import Any

import pytest
from palaver import FinishReason, ToolCallPart
from palaver.testing import End
from palaver_server.keys import STATE

from .rig import DONE, DOORS, STREAMS, Door, Rig, Seen, assert_cut, call, chunk, document, faulty, said, sse, start

STOP = chunk({}, "stop")
CALLED = chunk({}, "tool_calls")


def called(*deltas: Any) -> list[bytes]:
    """Stream an answer that calls tools, an entry of ``tool_calls`` a chunk."""
    return [*(chunk({"tool_calls": [delta]}) for delta in deltas), CALLED, DONE]


def whole(*calls: Any) -> dict[str, Any]:
    """Say the same at once."""
    return document({"role": "assistant", "content": None, "tool_calls": list(calls)}, "tool_calls")


async def calls_of(rig: Rig, seen: Seen) -> list[tuple[str, str, str]]:
    """Give id, name and arguments of the calls of the last answer: as the client got them, or as they are stored."""
    if not seen.door.chat:
        assert "tool_calls" == seen.finish
        return [(entry["id"], entry["function"]["name"], entry["function"]["arguments"]) for entry in seen.calls]
    row = [row for row in await rig.rows(seen) if row.message.role == "assistant"][-1]
    assert FinishReason.TOOL_CALLS is row.finish_reason
    return [(part.id, part.name, part.arguments) for part in row.message.parts if isinstance(part, ToolCallPart)]


# --- U24, U25, U26: tool calls ---------------------------------------------------------------------------------------

MEGABYTE = json.dumps({"text": "x" * 1_000_000})


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("arguments", "kept"),
    [("", ""), (None, ""), ([], "[]"), ('{"city": "Par', '{"city": "Par'), (MEGABYTE, MEGABYTE), ({"a": 1}, '{"a":1}')],
    ids=["empty", "null", "list", "truncated", "megabyte", "object"],
)
async def test_u24_arguments_of_any_kind_leave_the_conversation_alive(door: Door, arguments: Any, kept: str) -> None:
    entry = call(0, "c1", "look", arguments)
    async with start() as rig:
        rig.vendor.answer_with(faulty(called(entry), whole(entry)))
        seen = await rig.ask(door)
        assert (200, True, None) == (seen.status, seen.done, seen.error)
        assert [("c1", "look", kept)] == await calls_of(rig, seen)
        await rig.assert_goes_on(seen)


A, B = '{"at": 1}', '{"at": 2}'
ODD_CALLS = {
    "same-index": [call(0, "c1", "look", A), call(0, "c2", "look", B)],
    "same-id": [call(0, "c1", "look", A), call(1, "c1", "look", B)],
    "no-ids": [call(0, None, "look", A), call(1, None, "look", B)],
    "empty-ids": [call(0, "", "look", A), call(1, "", "look", B)],
    "no-index": [call(None, "c1", "look", A), call(None, "c2", "look", B)],
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("deltas", ODD_CALLS.values(), ids=ODD_CALLS)
async def test_u25_two_calls_are_two_with_ids_of_their_own(door: Door, deltas: list[Any]) -> None:
    async with start() as rig:
        rig.vendor.answer_with(faulty(called(*deltas), whole(*deltas)))
        seen = await rig.ask(door)
        found = await calls_of(rig, seen)
        assert [("look", A), ("look", B)] == [entry[1:] for entry in found]
        assert 2 == len({entry[0] for entry in found})
        await rig.assert_goes_on(seen)


@pytest.mark.parametrize("door", STREAMS)
async def test_u25_an_id_that_comes_later_is_the_same_calls(door: Door) -> None:
    deltas = [call(0, None, "look", '{"at"'), call(0, "c1", None, ": 1}")]
    async with start() as rig:
        rig.vendor.answer(called(*deltas))
        seen = await rig.ask(door)
        (found,) = await calls_of(rig, seen)
        assert ("look", A) == found[1:]
        await rig.assert_goes_on(seen)


@pytest.mark.parametrize("door", DOORS)
async def test_u25_an_id_used_in_an_earlier_turn_is_made_another(door: Door) -> None:
    entry = call(0, "c1", "look", A)
    async with start() as rig:
        rig.vendor.answer_with(faulty(called(entry), whole(entry)))
        first = await rig.ask(door)
        second = await rig.ask(door, "again", after=first)
        ids = [(await calls_of(rig, seen))[0][0] for seen in ([second] if door.chat else [first, second])]
        assert "c1" != ids[-1]
        await rig.assert_goes_on(second)


MIXED = {
    "interleaved": (
        [call(0, "c1", "one", ""), call(1, "c2", "two", "")]
        + [
            call(index, None, None, piece)
            for first, second in zip(A, B, strict=True)
            for index, piece in ((0, first), (1, second))
        ],
        [("c1", "one", A), ("c2", "two", B)],
    ),
    "split-name": (
        [call(0, "c1", "get_", None), call(0, None, "weather", None), call(0, None, None, A)],
        [("c1", "get_weather", A)],
    ),
    "repeated-name": (
        [call(0, "c1", "look", ""), call(0, "c1", "look", '{"at"'), call(0, "c1", "look", ": 1}")],
        [("c1", "look", A)],
    ),
    "gaps": (
        [
            call(0, "c1", "one", A),
            call(3, "c2", "two", '{"at"'),
            call(9, "c3", "three", A),
            call(3, None, None, ": 2}"),
        ],
        [("c1", "one", A), ("c2", "two", B), ("c3", "three", A)],
    ),
}


@pytest.mark.parametrize("door", STREAMS)
@pytest.mark.parametrize(("deltas", "expected"), MIXED.values(), ids=MIXED)
async def test_u26_pieces_find_their_calls_byte_for_byte(door: Door, deltas: list[Any], expected: list[Any]) -> None:
    async with start() as rig:
        rig.vendor.answer(called(*deltas))
        seen = await rig.ask(door)
        assert expected == await calls_of(rig, seen)
        await rig.assert_goes_on(seen)


@pytest.mark.parametrize("door", DOORS)
async def test_u24_a_call_that_was_cut_is_not_asked_about_again(door: Door) -> None:
    cut = [said("let me see"), chunk({"tool_calls": [call(0, "c1", "look", '{"at')]})]
    async with start() as rig:
        rig.vendor.answer_with(faulty(cut, b'{"choices": [{"index": 0', end=End.CUT))
        seen = await rig.ask(door)
        assert seen.error is not None
        assert "upstream_interrupted" == seen.error["code"]
        assert not seen.done
        if door.chat:
            await rig.assert_goes_on(seen)


# --- U27, U28: usage -------------------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


async def used(rig: Rig, seen: Seen) -> list[Any]:
    """Give input and output tokens of what was written down for the caller."""
    if not seen.door.chat:
        assert (seen.usage or {}).items() >= (USAGE if seen.usage else {}).items()
        await rig.client.app[STATE].usage.flush()  # type: ignore[union-attr]
    rows = rig.storage.usage_rows("ann")
    return [(row.usage.input_tokens, row.usage.output_tokens) for row in rows]


@pytest.mark.parametrize("door", STREAMS)
async def test_u27_chunks_without_choices_are_no_harm_and_their_usage_counts(door: Door) -> None:
    filters = sse({"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "model": ""})
    async with start() as rig:
        rig.vendor.answer([filters, said("hi"), STOP, sse({"id": "c1", "choices": [], "usage": USAGE}), DONE])
        seen = await rig.ask(door)
        assert (200, "hi", True, None) == (seen.status, seen.text, seen.done, seen.error)
        assert [(3, 2)] == await used(rig, seen)
        await rig.assert_goes_on(seen)


ODD_USAGE = [None, {}, [], "many", 7, {"prompt_tokens": None}, {"prompt_tokens": "x", "completion_tokens": []}]
ODD_USAGE += [{"prompt_tokens": -1, "completion_tokens": 1e400}, {"prompt_tokens_details": 5}]


@pytest.mark.parametrize("door", DOORS)
async def test_u28_usage_that_is_none_is_null_and_never_raises(door: Door) -> None:
    async with start() as rig:
        for usage in ODD_USAGE:
            last = sse({"choices": [], "usage": usage})
            rig.vendor.clear()
            rig.vendor.answer_with(faulty([said("hi"), STOP, last, DONE], document("hi", usage=usage)))
            seen = await rig.ask(door)
            assert (200, "hi", True, None) == (seen.status, seen.text, seen.done, seen.error), usage
            if not isinstance(usage, dict) or not usage:
                assert seen.usage is None
        assert {(None, None)} >= set(await used(rig, seen) if door.chat else ())


@pytest.mark.parametrize("door", DOORS)
async def test_u28_numbers_that_are_floats_count(door: Door) -> None:
    usage = {"prompt_tokens": 3.0, "completion_tokens": 2.0}
    async with start() as rig:
        rig.vendor.answer_with(
            faulty([said("hi"), STOP, sse({"choices": [], "usage": usage}), DONE], document("hi", usage=usage))
        )
        assert [(3, 2)] == await used(rig, await rig.ask(door))


@pytest.mark.parametrize("door", STREAMS)
async def test_u28_usage_of_a_cut_stream_is_not_lost(door: Door) -> None:
    async with start() as rig:
        rig.vendor.answer([chunk({"content": "hi"}, usage=USAGE), 0.02], end=End.CUT)
        seen = await rig.ask(door)
        assert [(3, 2)] == await used(rig, seen)
        await assert_cut(rig, seen, "hi", 502, "upstream_interrupted")


# --- U29, U30: why it ended, and what nobody knows -------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("text", ["hi", ""])
@pytest.mark.parametrize(
    ("word", "reason", "told"),
    [
        ("length", FinishReason.LENGTH, "length"),
        ("content_filter", FinishReason.CONTENT_FILTER, "content_filter"),
        ("refusal", FinishReason.REFUSAL, "content_filter"),
        ("brand_new_reason", FinishReason.UNKNOWN, "brand_new_reason"),
    ],
)
async def test_u29_u30_why_it_ended_is_kept_and_told(
    door: Door, text: str, word: str, reason: FinishReason, told: str
) -> None:
    async with start() as rig:
        rig.vendor.answer_with(faulty([said(text), chunk({}, word), DONE], document(text, word)))
        seen = await rig.ask(door)
        assert (200, text, None) == (seen.status, seen.text, seen.error)
        if door.chat:
            row = (await rig.rows(seen))[-1]
            assert ("assistant", reason) == (row.message.role, row.finish_reason)
            assert reason.value == seen.finish
        else:
            assert told == seen.finish
        await rig.assert_goes_on(seen)


@pytest.mark.parametrize("door", DOORS)
async def test_u29_a_refusal_is_read_stored_and_spoken_back(door: Door) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I must not"}
    async with start() as rig:
        rig.vendor.answer_with(
            faulty([chunk({"refusal": "I must "}), chunk({"refusal": "not"}), STOP, DONE], document(message))
        )
        seen = await rig.ask(door)
        assert (200, "I must not", True) == (seen.status, seen.text, seen.done)
        if door.chat:
            assert FinishReason.REFUSAL is (await rig.rows(seen))[-1].finish_reason
            assert "refusal" == seen.finish
        else:
            assert "content_filter" == seen.finish
        await rig.assert_goes_on(seen)


@pytest.mark.parametrize("door", STREAMS)
async def test_u30_what_nobody_knows_is_passed_over(door: Door) -> None:
    pieces = [
        b"event: brand.new\ndata: {}\n\n",
        b"event: brand.new\ndata: []\n\n",
        sse({"type": "brand.new", "payload": {"deep": [1]}}),
        chunk({"role": "oracle", "content": "h", "aura": "blue"}, brand_new={"x": 1}),
        chunk({"content": [{"type": "hologram", "data": "?"}, {"type": "text", "text": "i"}]}),
        sse({"choices": [{"index": 1, "delta": {"content": "another choice"}}]}),
        sse({"choices": [7, None, {"index": 0, "delta": None}]}),
        sse({"choices": "none"}),
        STOP,
        DONE,
    ]
    async with start() as rig:
        rig.vendor.answer(pieces)
        seen = await rig.ask(door)
        assert (200, "hi", True, None) == (seen.status, seen.text, seen.done, seen.error), seen.raw
        await rig.assert_goes_on(seen)
