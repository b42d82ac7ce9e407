"""The SSE decoder against the WHATWG rules, and its golden property: any byte split gives the same frames."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from palaver import Frame, UpstreamMalformed
from palaver.upstream.sse import SseDecoder


def decode(*pieces: bytes) -> list[Frame]:
    decoder = SseDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [*frames, *decoder.finish()]


def data_of(*pieces: bytes) -> list[bytes]:
    return [frame.data for frame in decode(*pieces)]


def test_events_end_at_a_blank_line():
    assert [b"one", b"two"] == data_of(b"data: one\n\ndata: two\n\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_ends_at_lf_crlf_or_cr(end):
    assert [b"one", b"two"] == data_of(b"data: one\n\ndata: two\n\n".replace(b"\n", end))


def test_line_ends_may_be_mixed():
    assert [b"a\nb", b"c"] == data_of(b"data: a\r\ndata: b\r\rdata: c\n\r\n")


def test_a_crlf_split_over_two_reads_is_one_line_end():
    assert [b"a\nb"] == data_of(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n")


def test_an_event_is_delivered_at_the_cr_that_ends_it():
    decoder = SseDecoder()
    assert [Frame(b"now")] == list(decoder.feed(b"data: now\r\r"))


def test_a_byte_order_mark_is_skipped_once():
    assert [b"x"] == data_of(b"\xef\xbb\xbfdata: x\n\n")
    assert [b"x", b"y"] == data_of(b"\xef", b"\xbb", b"\xbfda", b"ta: x\n\n", b"data: y\n\n")
    assert [b"x"] == data_of(b"data: x\n\n\xef\xbb\xbfdata: y\n\n")


def test_comments_are_ignored():
    assert [b"x"] == data_of(b": OPENROUTER PROCESSING\n\n:\n\ndata: x\n\n")


@pytest.mark.parametrize(("line", "data"), [(b"data:x", b"x"), (b"data: x", b"x"), (b"data:  x", b" x")])
def test_one_space_after_the_colon_is_dropped(line, data):
    assert [data] == data_of(line + b"\n\n")


def test_data_lines_of_one_event_are_joined_by_newlines():
    assert [b'{"a":\n1}'] == data_of(b'data: {"a":\ndata: 1}\n\n')


@pytest.mark.parametrize("event", [b"data\n\n", b"data:\n\n", b"data: \n\n", b"event: ping\n\n", b"\n\n\n"])
def test_an_event_without_data_is_dropped(event):
    assert [b"x"] == data_of(event + b"data: x\n\n")
    assert [b"x"] == data_of(b"data: x\n\n" + event)


def test_event_and_id_are_read_and_the_id_stays():
    assert [Frame(b"1", "error", "7"), Frame(b"2", "message", "7")] == decode(
        b"event: error\nid: 7\ndata: 1\n\ndata: 2\n\n"
    )


def test_an_event_name_without_data_does_not_reach_the_next_event():
    assert [Frame(b"x")] == decode(b"event: ping\n\ndata: x\n\n")


def test_retry_and_unknown_fields_are_ignored():
    assert [Frame(b"x")] == decode(b"retry: 10\nfoo: bar\nbaz\ndata: x\n\n")


def test_other_unicode_line_ends_are_text():
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf".encode()
    assert [text] == data_of(b"data: " + text + b"\n\n")


@pytest.mark.parametrize("tail", [b"data: x", b"data: x\n", b"data: x\r"])
def test_the_last_event_is_delivered_without_its_end_and_says_so(tail):
    assert [Frame(b"a"), Frame(b"x", complete=False)] == decode(b"data: a\n\n" + tail)


@pytest.mark.parametrize(
    ("before", "frames"),
    [
        (b": note ", []),
        (b"x", []),
        (b"event: error\n", [Frame(b"b", "error")]),
        (b"data: a\n", [Frame(b"a\nb")]),
        (b"id: 3\n\n", [Frame(b"b", id="3")]),
    ],
)
def test_a_read_that_looks_like_a_whole_event_belongs_to_what_came_before(before, frames):
    assert frames == decode(before, b"data: b\n\n")


def test_a_line_of_ten_megabytes_is_one_event():
    body = b"data: " + b"x" * 10_000_000 + b"\n\n"
    (data,) = data_of(*(body[place : place + 65_536] for place in range(0, len(body), 65_536)))
    assert 10_000_000 == len(data)


@pytest.mark.parametrize("line", [b"data: ", b"x", b"data: y\ndata: "])
def test_an_event_over_the_cap_is_malformed_and_is_not_collected(line):
    decoder = SseDecoder(provider="acme", cap=100_000)
    decoder.feed(line)
    with pytest.raises(UpstreamMalformed, match="acme sent an event of more than 100000 bytes"):
        for _ in range(200):
            decoder.feed(b"z" * 1000)


def test_many_data_lines_count_towards_the_cap():
    decoder = SseDecoder(cap=10_000)
    with pytest.raises(UpstreamMalformed):
        for _ in range(200):
            decoder.feed(b"data: " + b"z" * 100 + b"\n")


PIECES = st.sampled_from(
    [
        b"data: ", b"data:", b"data", b"event: error", b"id: 1", b"retry: 5", b": note", b"{}", b"\xf0\x9f\x98\x80",
        b"\n", b"\n\n", b"\r\n", b"\r", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xff", b"x", b" ", b"data: {}\n\n",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=30), st.data())
def test_any_split_gives_the_same_frames(parts, draw):
    body = b"".join(parts)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    whole = decode(body)
    bounds = [0, *cuts, len(body)]
    assert whole == decode(*(body[start:end] for start, end in itertools.pairwise(bounds)))
    assert whole == decode(*(body[place : place + 1] for place in range(len(body))))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=12).filter(lambda data: not set(data) & {10, 13}), min_size=1))
def test_the_fast_path_agrees_with_the_lines_one_by_one(datas):
    body = b"".join(b"data: " + data + b"\n\n" for data in datas)
    assert [Frame(data) for data in datas] == list(SseDecoder().feed(body))
    assert [Frame(data) for data in datas] == decode(b": \n" + body)
