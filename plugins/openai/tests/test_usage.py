"""Token counts in their several spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from palaver_openai.usage import read_usage


def counts(**raw):
    usage = read_usage(raw)
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
    )


def test_openais_own_form():
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}
    assert (10, 5, 2, 4, None) == counts(prompt_tokens=10, completion_tokens=5, total_tokens=15, **details)


def test_what_is_not_said_is_none_and_a_zero_is_zero():
    assert (None, 0, None, None, None) == counts(completion_tokens=0)


@pytest.mark.parametrize("name", ["prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"])
def test_other_names_of_cached_tokens(name):
    assert 7 == counts(prompt_tokens=10, **{name: 7})[3]


def test_cache_writes():
    assert 9 == counts(prompt_tokens=10, prompt_tokens_details={"cache_write_tokens": 9})[4]


def test_reasoning_that_is_counted_apart_is_added():
    raw = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 334}
    assert (12, 322) == counts(**raw, completion_tokens_details={"reasoning_tokens": 320})[:2]


@pytest.mark.parametrize("value", ["5", True, -1, float("nan"), float("inf"), [], {}])
def test_what_is_no_count_is_none(value):
    assert None is counts(prompt_tokens=value)[0]


def test_a_float_is_rounded():
    assert 12 == counts(prompt_tokens=12.0)[0]


def test_the_vendors_own_object_is_kept():
    raw = {"prompt_tokens": 1, "cost": 0.1}
    assert {"openai": raw} == read_usage(raw).vendor


NAMES = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_nothing_raises(raw):
    read_usage(raw)
