"""1b: what fails after content has left is told in-band, never looks finished, and its part is stored."""

import asyncio
import json
from typing import Any

import pytest
from palaver.config.schema import ResilienceConfig
from palaver.testing import STALL, End, Framing, Scripted

from .rig import DONE, DOORS, STREAMS, Door, assert_cut, assert_plain_error, chunk, document, faulty, said, sse, start

TEXT = "Hél👩‍👩‍👧lo"
WORDS = [said("Hél"), said("👩‍👩‍👧"), said("lo")]
JSON = "application/json"


def cut_document() -> bytes:
    """Give the beginning of a whole answer, cut within its text."""
    return json.dumps(document("Hello" * 50)).encode()[:200]


# --- U11 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_u11_a_stall_ends_by_the_idle_deadline_though_pings_keep_coming(door: Door) -> None:
    pings: list[Any] = []
    for number in range(100):
        # Comments, empty events, and chunks that count tokens nobody can read.
        pings += [0.02, b": ping\n\n", sse(b""), chunk({}, usage={"completion_tokens": number})]
    # Without streaming there is no idling: the answer comes at once, or not within the whole time.
    async with start(idle_timeout=0.2, timeout=0.6 if door is Door.OPENAI_WHOLE else 600.0) as rig:
        rig.vendor.answer_with(faulty([*WORDS, *pings], cut_document(), end=End.HOLD))
        async with asyncio.timeout(1.5):
            seen = await rig.ask(door)
        await asyncio.wait_for(rig.vendor.requests[0].closed.wait(), 1)
        await assert_cut(rig, seen, TEXT, 504, "upstream_timeout")


@pytest.mark.parametrize("door", DOORS)
async def test_u11_a_vendor_that_goes_silent(door: Door) -> None:
    async with start(idle_timeout=0.15, timeout=0.4 if door is Door.OPENAI_WHOLE else 600.0) as rig:
        rig.vendor.answer_with(faulty([*WORDS, STALL], cut_document(), end=End.HOLD))
        async with asyncio.timeout(3):
            seen = await rig.ask(door)
        await asyncio.wait_for(rig.vendor.requests[0].closed.wait(), 1)
        await assert_cut(rig, seen, TEXT, 504, "upstream_timeout")


async def test_u11_slow_but_steady_is_no_stall() -> None:
    steady = [piece for _ in range(8) for piece in (0.05, said("x"))]
    async with start(idle_timeout=0.2) as rig:
        rig.vendor.answer([*steady, said("", "stop"), DONE])
        seen = await rig.ask(Door.OPENAI_STREAM)
        assert ("x" * 8, True, None) == (seen.text, seen.done, seen.error)


@pytest.mark.parametrize("door", DOORS)
async def test_u11_a_model_that_thinks_before_its_first_byte_has_that_deadline_not_the_idle_one(door: Door) -> None:
    async with start(first_byte_timeout=5.0, idle_timeout=0.1) as rig:
        rig.vendor.answer_with(
            lambda request: (
                Scripted((said("late"), said("", "stop"), DONE), before=0.3)
                if request.json.get("stream")
                else Scripted((json.dumps(document("late")).encode(),), headers=(("Content-Type", JSON),), before=0.3)
            )
        )
        seen = await rig.ask(door)
        assert ("late", None) == (seen.text, seen.error), seen.raw


# --- U12, U13: the connection is lost --------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("end", [End.CUT, End.RESET])
async def test_u12_a_connection_lost_within_the_body(door: Door, end: End) -> None:
    async with start() as rig:
        # A pause, because a reset may destroy what was sent just before it.
        rig.vendor.answer_with(faulty([*WORDS, 0.05], cut_document(), end=end))
        seen = await rig.ask(door)
        await assert_cut(rig, seen, TEXT, 502, "upstream_interrupted")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("tail", [b"", b'data: {"choices":[{"index":0,"delta":{"content":"lost', b"data: [DO"])
async def test_u13_an_unframed_body_that_just_ends(door: Door, tail: bytes) -> None:
    async with start() as rig:
        rig.vendor.answer_with(faulty([*WORDS, tail], cut_document(), framing=Framing.CLOSE))
        seen = await rig.ask(door)
        await assert_cut(rig, seen, TEXT, 502, "upstream_interrupted")


# --- U14: what ends an answer ----------------------------------------------------------------------------------------

STOP = chunk({}, "stop")


@pytest.mark.parametrize("door", STREAMS)
@pytest.mark.parametrize(
    "pieces",
    [
        [*WORDS, STOP],
        [*WORDS, DONE],
        [*WORDS, STOP, DONE, STALL],
        [*WORDS, STOP, DONE, said("never")],
        [*WORDS, STOP, DONE, sse({"error": {"message": "late"}})],
    ],
    ids=["no-done", "no-finish-reason", "socket-held-open", "text-after-done", "error-after-done"],
)
@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.CLOSE])
async def test_u14_a_terminal_marker_is_the_end(door: Door, pieces: list[Any], framing: Framing) -> None:
    async with start() as rig:
        rig.vendor.answer(pieces, framing=framing)
        async with asyncio.timeout(3):
            seen = await rig.ask(door)
        assert (200, TEXT, True, None) == (seen.status, seen.text, seen.done, seen.error)
        if door.chat:
            assert [("user", "hello", "complete"), ("assistant", TEXT, "complete")] == await rig.stored(seen)
        else:
            assert "stop" == seen.finish
        await rig.assert_goes_on(seen)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("word", ["abort", "error"])
async def test_u14_a_finish_reason_that_is_none(door: Door, word: str) -> None:
    code = {"abort": "upstream_interrupted", "error": "upstream_failed"}[word]
    async with start() as rig:
        rig.vendor.answer_with(faulty([*WORDS, chunk({}, word), DONE], document(TEXT, word)))
        seen = await rig.ask(door)
        await assert_cut(rig, seen, TEXT, 502, code)


@pytest.mark.parametrize("door", STREAMS)
async def test_u14_neither_marker_is_interrupted(door: Door) -> None:
    async with start() as rig:
        rig.vendor.answer(WORDS)
        await assert_cut(rig, await rig.ask(door), TEXT, 502, "upstream_interrupted")


# --- U15: an error inside a good answer ------------------------------------------------------------------------------

ERRORS = [
    ({"error": {"type": "rate_limit_error", "message": "slow", "code": None}}, 429, "rate_limited"),
    ({"error": {"type": "server_error", "code": "insufficient_quota", "message": "x"}}, 429, "quota_exhausted"),
    ({"error": {"type": "overloaded_error", "message": "busy"}}, 503, "overloaded"),
    ({"error": "out of memory"}, 502, "upstream_failed"),
    ({"object": "error", "type": "BadRequestError", "message": "too long", "code": 400}, 400, "provider_rejected"),
    ({"object": "error", "type": "InternalServerError", "message": "boom", "code": 500}, 502, "upstream_failed"),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("body", "status", "code"), ERRORS)
async def test_u15_an_error_in_a_200_is_known_by_its_own_words(door: Door, body: Any, status: int, code: str) -> None:
    told = "insufficient_quota" if code == "quota_exhausted" and not door.chat else code
    async with start() as rig:
        rig.vendor.answer_with(faulty([*WORDS, sse(body)], body))
        await assert_cut(rig, await rig.ask(door), TEXT, status, told)
    async with start() as rig:
        rig.vendor.answer_with(faulty([sse(body)], body))
        await assert_plain_error(rig, await rig.ask(door), status, told)


@pytest.mark.parametrize("door", DOORS)
async def test_u15_an_error_in_a_200_feeds_the_breaker(door: Door) -> None:
    async with start(resilience=ResilienceConfig(attempts=1, breaker_failures=2)) as rig:
        body = {"error": {"type": "overloaded_error", "message": "busy"}}
        rig.vendor.answer_with(faulty([*WORDS, sse(body)], body))
        for _ in range(4):
            seen = await rig.ask(door)
        assert seen.error is not None
        assert ("circuit_open", 2) == (seen.error["code"], len(rig.vendor.requests))


# --- U16, U17 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", STREAMS)
@pytest.mark.parametrize("end", [End.CUT, End.FINISH])
async def test_u16_an_answer_that_has_begun_is_never_begun_again_elsewhere(door: Door, end: End) -> None:
    async with start(2, resilience=ResilienceConfig(attempts=3, backoff=0.01, breaker_failures=0)) as rig:
        # Paced, so that the first words have left when it fails.
        words: list[Any] = [piece for _ in range(40) for piece in (said("word "), 0.002)]
        if end is End.FINISH:
            words.append(sse({"error": {"type": "overloaded_error"}}))
        rig.vendor.answer(words, end=end)
        rig.vendors[1].answer([said("again"), said("", "stop"), DONE])
        seen = await rig.ask(door)
        assert (1, 0) == tuple(len(vendor.requests) for vendor in rig.vendors)
        status, code = (503, "overloaded") if end is End.FINISH else (502, "upstream_interrupted")
        await assert_cut(rig, seen, "word " * 40, status, code)


@pytest.mark.parametrize("door", DOORS)
async def test_u17_one_broken_event_among_good_ones_fails_the_turn(door: Door) -> None:
    async with start() as rig:
        rig.vendor.answer_with(faulty([*WORDS, sse(b'{"choices": [{]'), said("more"), STOP, DONE], b'{"choices": [{]}'))
        await assert_cut(rig, await rig.ask(door), TEXT, 502, "upstream_malformed")


@pytest.mark.parametrize("door", STREAMS)
async def test_u17_empty_events_and_pings_are_not_broken(door: Door) -> None:
    pings = [b"data:\n\n", b"data: \n\n", b": x\n\n", b"event: ping\ndata: {}\n\n", sse(b"ping"), b"event: ping\n\n"]
    async with start() as rig:
        rig.vendor.answer([*pings, WORDS[0], *pings, *WORDS[1:], *pings, STOP, *pings, DONE])
        seen = await rig.ask(door)
        assert (200, TEXT, True, None) == (seen.status, seen.text, seen.done, seen.error)
