"""The NDJSON decoder."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from palaver import Frame, UpstreamMalformed
from palaver.upstream.ndjson import NdjsonDecoder


def decode(*pieces: bytes) -> list[Frame]:
    decoder = NdjsonDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [*frames, *decoder.finish()]


def test_each_line_is_a_frame_and_empty_ones_are_skipped():
    assert [Frame(b'{"a":1}'), Frame(b'{"b":2}')] == decode(b'{"a":1}\n\n \r\n{"b":2}\r\n')


def test_a_byte_order_mark_is_skipped():
    assert [Frame(b"{}")] == decode(b"\xef\xbb", b"\xbf{}\n")


def test_the_last_line_is_delivered_without_its_newline_and_says_so():
    assert [Frame(b"{}"), Frame(b'{"error":"x"}', complete=False)] == decode(b'{}\n{"error":"x"}')


def test_other_unicode_line_ends_are_text():
    line = '{"a":"\u2028\u0085"}'.encode()
    assert [Frame(line)] == decode(line + b"\n")


def test_a_line_over_the_cap_is_malformed():
    decoder = NdjsonDecoder(provider="acme", cap=10_000)
    with pytest.raises(UpstreamMalformed, match="acme sent a line of more than 10000 bytes"):
        for _ in range(20):
            decoder.feed(b"z" * 1000)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"{}", b'{"a":"\xc3\xa9"}', b"\n", b"\r\n", b" ", b"\xef\xbb\xbf", b"\xff"]), max_size=20
    ),
    st.data(),
)
def test_any_split_gives_the_same_frames(parts, draw):
    body = b"".join(parts)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    bounds = [0, *cuts, len(body)]
    assert decode(body) == decode(*(body[start:end] for start, end in itertools.pairwise(bounds)))
    assert decode(body) == decode(*(body[place : place + 1] for place in range(len(body))))
