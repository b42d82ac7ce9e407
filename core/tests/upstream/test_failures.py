"""Status to error, Retry-After in all its forms, and what is kept of a vendor's message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from palaver import (
    HttpFailure,
    Overloaded,
    ProviderAuthFailed,
    ProviderError,
    ProviderRejected,
    RateLimited,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTimeout,
    build_error,
    error_for,
    redact,
    retry_after,
)

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


def failure(status, data=None, *, body=b"", headers=None):
    return HttpFailure(status, headers or {}, body, data, "acme", NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, UpstreamMalformed),
        (400, ProviderRejected),
        (401, ProviderAuthFailed),
        (403, ProviderAuthFailed),
        (404, ProviderRejected),
        (408, UpstreamTimeout),
        (413, ProviderRejected),
        (422, ProviderRejected),
        (429, RateLimited),
        (500, UpstreamFailed),
        (502, UpstreamFailed),
        (503, Overloaded),
        (504, UpstreamTimeout),
        (529, Overloaded),
    ],
)
def test_the_status_decides_when_nothing_else_is_known(status, kind):
    error = error_for(failure(status))
    assert kind is type(error)
    assert (status, "acme") == (error.upstream_status, error.provider)


def test_only_what_may_pass_is_retryable():
    retried = {status for status in range(300, 600) if error_for(failure(status)).retryable}
    assert {408, 429, *range(500, 600)} == retried


@pytest.mark.parametrize(
    "data",
    [
        {"error": {"message": "too many cats"}},
        {"error": "too many cats"},
        {"message": "too many cats"},
        {"detail": "too many cats"},
        [{"error": {"message": "too many cats"}}],
    ],
)
def test_the_message_is_found_where_vendors_keep_it(data):
    assert "acme answered 400: too many cats" == str(error_for(failure(400, data)))


def test_a_body_that_is_no_json_is_the_message():
    assert "acme answered 502: <h1>Bad Gateway</h1>" == str(error_for(failure(502, body=b"<h1>Bad\n Gateway</h1>")))


@pytest.mark.parametrize("data", [{"error": None}, {"error": {"message": 5}}, [], 7, "x", {"detail": [{"loc": 1}]}])
def test_a_body_of_any_shape_gives_an_error(data):
    assert "acme answered 500" == str(error_for(failure(500, data)))


def test_the_vendors_request_id_is_kept():
    assert "req-1" == error_for(failure(500, headers={"X-Request-Id": "req-1"})).request_id


@pytest.mark.parametrize("kind", [ProviderError, UpstreamTimeout, RateLimited])
def test_an_error_of_any_kind_can_be_built(kind):
    error = build_error(kind, "it is late", what="sent an error", provider="acme", vendor_code="late")
    assert kind is type(error)
    assert ("acme sent an error: it is late", "late") == (str(error), error.vendor_code)


# --- Retry-After -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("1.2", 2.0),
        (" 3 ", 3.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),
        ("999999999", 86_400.0),
        ("1e300", 86_400.0),
        ("Fri, 21 Oct 2095 07:28:30 GMT", 86_400.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 99 Foo 2015 27:28:30 GMT", None),
        ("Wed, 21 Oct 99999999999 07:28:30 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_never_crashes(value, seconds):
    assert seconds == retry_after({"Retry-After": value}, NOW)


def test_milliseconds_are_more_exact_and_win():
    assert 0.25 == retry_after({"retry-after": "1", "retry-after-ms": "250"}, NOW)
    assert 1.0 == retry_after({"retry-after": "1", "retry-after-ms": "soon"}, NOW)


def test_of_two_headers_the_longer_wait_counts_and_rubbish_does_not():
    assert 7.0 == retry_after(CIMultiDict([("Retry-After", "2"), ("retry-after", "7"), ("Retry-After", "x")]), NOW)


def test_a_date_is_compared_with_the_vendors_own_clock():
    headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:20 GMT"}
    assert 10.0 == retry_after(headers, NOW + 5000)


def test_no_header_is_no_advice():
    assert retry_after({"x": "y"}, NOW) is None


@given(st.text())
def test_no_value_of_retry_after_crashes(value):
    seconds = retry_after({"retry-after": value}, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-proj-abc*****xyz.", "Incorrect API key provided: ***"),
        ("Incorrect API key provided: hunter2. Look", "Incorrect API key provided: *** Look"),
        ("key sk-ant-api03-AbC_d-9 is bad", "key *** is bad"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ('{"api_key": "hunter2"}', '{"api_key": "***"}'),
        ("AIzaSyA1234567890abcdef", "***"),
        ("token 0123456789abcdef0123456789abcdef", "token ***"),
        ("Your api key: ****-key is invalid", "Your api key: *** is invalid"),
        ("the task-specific risk-free sky", "the task-specific risk-free sky"),
    ],
)
def test_what_looks_like_a_key_is_not_shown(text, shown):
    assert shown == redact(text)


def test_a_message_is_one_line_and_not_too_long():
    assert "a b c" == redact("a\r\nb\x1b\u2028c")
    assert 500 == len(redact("x" * 5000))
