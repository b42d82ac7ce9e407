"""1c: however the bytes are cut, packed or framed, the same answer comes out; what is no answer is an error."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest
from palaver.testing import End, FakeUpstream, Framing

from .rig import (
    DONE,
    DOORS,
    KEY,
    STREAMS,
    Door,
    assert_cut,
    assert_plain_error,
    chunk,
    document,
    police,
    said,
    sse,
    start,
)

TEXT = "Hé👩‍👩‍👧 漢字 \u2028\u0085 ok"
STOP = chunk({}, "stop")
HALVES = said("Hé👩‍👩‍👧 "), said("漢字 \u2028\u0085 ok")
ANSWER = HALVES[0] + HALVES[1] + STOP + DONE
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


async def assert_good(rig: Any, door: Door, text: str = TEXT) -> None:
    seen = await rig.ask(door)
    assert (200, text, True, None) == (seen.status, seen.text, seen.done, seen.error), seen.raw
    if door.chat:
        assert ("assistant", text, "complete") == (await rig.stored(seen))[-1]
    await rig.assert_goes_on(seen)


# --- U18, U19 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.CLOSE])
async def test_u18_one_byte_at_a_time_is_the_same_text(door: Door, framing: Framing) -> None:
    async with start() as rig:
        rig.vendor.answer(ANSWER, byte_by_byte=True, framing=framing)
        await assert_good(rig, door)


@pytest.mark.parametrize("door", DOORS)
async def test_u18_bytes_that_are_not_utf8_become_one_replacement_character(door: Door) -> None:
    async with start() as rig:
        broken = said("a@b").replace(b"@", b"\xff")
        rig.vendor.answer([broken, STOP, DONE])
        await assert_good(rig, door, "a\ufffdb")


@pytest.mark.parametrize("door", DOORS)
async def test_u18_half_an_emoji_in_an_escape_does_not_crash_anything(door: Door) -> None:
    async with start() as rig:
        rig.vendor.answer([said("a@b").replace(b"@", rb"\ud83d"), STOP, DONE])
        await assert_good(rig, door, "a\ufffdb")


ODD = [
    ("cr", ANSWER.replace(b"\n", b"\r")),
    ("crlf", ANSWER.replace(b"\n", b"\r\n")),
    ("mixed", HALVES[0].replace(b"\n", b"\r\n") + HALVES[1].replace(b"\n", b"\r") + STOP + DONE),
    ("bom", b"\xef\xbb\xbf" + ANSWER),
    ("comments", b": hello\n\n" + ANSWER.replace(b"data:", b": between\ndata:")),
    ("no-space", ANSWER.replace(b"data: ", b"data:")),
    ("fields", ANSWER.replace(b"data: ", b"id: 7\nretry: 10\nevent: message\nwhat: ever\nalone\ndata: ")),
    ("bare-data", b"data\n\n" + ANSWER),
    ("lines", ANSWER.replace(b'"choices":', b'\ndata: "choices":')),
    ("no-final-newline", ANSWER.removesuffix(b"\n\n")),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("body", [body for _, body in ODD], ids=[name for name, _ in ODD])
async def test_u19_every_legal_way_to_write_an_event_is_read(door: Door, body: bytes) -> None:
    async with start() as rig:
        # In the middle of a line end, if there is one of two bytes.
        middle = body.find(b"\r\n", len(body) // 2) + 1 or len(body) // 2
        rig.vendor.answer([body[:middle], 0.005, body[middle:]])
        await assert_good(rig, door)


async def test_u19_a_final_line_without_its_newline_counts_when_its_json_is_whole() -> None:
    async with start() as rig:
        rig.vendor.answer([said("a"), STOP.removesuffix(b"\n\n")])
        await assert_good(rig, Door.OPENAI_STREAM, "a")


# --- U20, U21 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_u20_ten_megabytes_in_one_event_are_read(door: Door) -> None:
    text = "x" * 10_000_000
    async with start() as rig:
        rig.vendor.answer([said(text), STOP, DONE])
        seen = await rig.ask(door)
        assert (len(text), True, None) == (len(seen.text), seen.done, seen.error)


@pytest.mark.parametrize("door", DOORS)
async def test_u20_an_event_that_never_ends_is_given_up_at_the_cap(door: Door) -> None:
    async with start() as rig:
        rig.vendor.answer([said("a"), 0.02, b'data: {"x":"', *([b"x" * 1_000_000] * 40)])
        seen = await rig.ask(door)
        await asyncio.wait_for(rig.vendor.requests[0].closed.wait(), 1)
        assert rig.vendor.requests[0].sent < 30_000_000
        await assert_cut(rig, seen, "a", 502, "upstream_malformed")


@pytest.mark.parametrize("door", STREAMS)
async def test_u21_compressed_events_are_read_as_they_are_flushed(door: Door) -> None:
    squeeze = zlib.compressobj(wbits=31)
    flushed = [squeeze.compress(piece) + squeeze.flush(zlib.Z_SYNC_FLUSH) for piece in (said("a"), said("b"), STOP)]
    async with start() as rig:
        rig.vendor.answer([*flushed, squeeze.compress(DONE) + squeeze.flush()], headers={"Content-Encoding": "gzip"})
        await assert_good(rig, door, "ab")


@pytest.mark.parametrize("door", DOORS)
async def test_u21_corrupt_compression_is_told(door: Door) -> None:
    squeeze = zlib.compressobj(wbits=31)
    good = squeeze.compress(said("a")) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    async with start() as rig:
        rig.vendor.answer([good, 0.02, b"\xff\x00 this is no gzip" * 10], headers={"Content-Encoding": "gzip"})
        seen = await rig.ask(door)
        await assert_cut(rig, seen, "a", 502, "upstream_malformed")


@pytest.mark.parametrize("door", DOORS)
async def test_u21_a_bomb_is_bounded(door: Door) -> None:
    bomb = gzip.compress(b'data: {"x":"' + b"x" * 40_000_000)
    async with start() as rig:
        rig.vendor.answer(bomb, headers={"Content-Encoding": "gzip"})
        await assert_plain_error(rig, await rig.ask(door), 502, "upstream_malformed")


# --- U22, U23 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>Sign in</html>", "text/html"),
        ("<!doctype html>", ""),
        ("OK", "text/plain"),
        ("", "text/event-stream"),
        ("", "application/json"),
        ("{}", "application/json"),
        ("[]", "application/json"),
        ("null", "application/json"),
        ('{"choices": []}', "application/json"),
    ],
)
async def test_u22_what_is_no_answer_is_never_an_empty_success(door: Door, body: str, content_type: str) -> None:
    async with start() as rig:
        rig.vendor.answer(body, content_type=content_type)
        seen = await rig.ask(door)
        code = "upstream_interrupted" if content_type == "text/event-stream" else "upstream_malformed"
        await assert_plain_error(rig, seen, 502, code)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", ""])
async def test_u22_a_whole_document_is_taken_whatever_was_asked_for(door: Door, content_type: str) -> None:
    async with start() as rig:
        rig.vendor.answer(json.dumps(document(TEXT, usage=USAGE)), content_type=content_type)
        await assert_good(rig, door)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "application/json", "text/plain", ""])
async def test_u22_a_stream_is_taken_whatever_was_asked_for(door: Door, content_type: str) -> None:
    async with start() as rig:
        rig.vendor.answer(ANSWER, content_type=content_type)
        await assert_good(rig, door)


@pytest.mark.parametrize("door", DOORS)
async def test_u23_100_continue_is_passed_over(door: Door) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    async with start() as rig:
        rig.vendor.answer_raw(b"HTTP/1.1 100 Continue\r\n\r\n" + head + ANSWER, end=End.CUT)
        await assert_good(rig, door)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_u23_the_key_follows_no_redirect(door: Door, status: int) -> None:
    async with start() as rig, FakeUpstream() as thief:
        thief.answer_with(police)
        rig.vendor.answer(b"", status=status, headers={"Location": f"{thief.url}/v1/chat/completions"})
        seen = await rig.ask(door)
        assert [f"Bearer {KEY}"] == [request.header("authorization") for request in rig.vendor.requests]
        await assert_plain_error(rig, seen, 502, "upstream_malformed")
        assert (0, []) == (thief.connections, thief.requests)


async def test_u22_a_stream_for_a_request_without_streaming_keeps_its_usage() -> None:
    async with start() as rig:
        rig.vendor.answer([said("a"), STOP, sse({"choices": [], "usage": USAGE}), DONE])
        seen = await rig.ask(Door.OPENAI_WHOLE)
        assert USAGE == {name: seen.usage[name] for name in USAGE}
