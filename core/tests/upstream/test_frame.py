"""Frames as JSON, read as leniently as real vendors need."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from palaver import Frame, UpstreamInterrupted, UpstreamMalformed


def test_json_is_read():
    assert {"a": [1, None, "é"]} == Frame('{"a":[1,null,"é"]}'.encode()).json()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"t":"a\xffb"}', "a�b"),
        (b'{"t":"a\xf0\x9f\x98b"}', "a�b"),
        (rb'{"t":"a\ud83db"}', "a�b"),
        (rb'{"t":"\udc00"}', "�"),
        (rb'{"t":"\ud83d\ude00"}', "\U0001f600"),
    ],
)
def test_what_is_not_unicode_becomes_one_replacement_character(data, text):
    assert {"t": text} == Frame(data).json()


def test_what_is_read_can_be_written_again():
    orjson.dumps(Frame(rb'{"t":"\ud83d", "\udc00":1}').json())


def test_numbers_that_json_does_not_have_are_read():
    assert str({"a": float("nan"), "b": float("-inf")}) == str(Frame(b'{"a": NaN, "b": -Infinity}').json())


@pytest.mark.parametrize("data", [b'{"a":', b"hello", b"", b'{"a":1}}', b"[" * 5000])
def test_what_is_not_json_is_malformed(data):
    with pytest.raises(UpstreamMalformed, match="not JSON"):
        Frame(data).json()


def test_what_was_cut_is_interrupted():
    with pytest.raises(UpstreamInterrupted):
        Frame(b'{"a":', complete=False).json()


@given(st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=20))
def test_everything_json_says_is_read(value):
    assert value == Frame(json.dumps(value).encode()).json()
