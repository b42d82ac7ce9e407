"""OpenAI's error words as core errors."""

import pytest
from palaver import (
    ContentRefused,
    ContextTooLong,
    HttpFailure,
    Overloaded,
    ProviderAuthFailed,
    ProviderRejected,
    QuotaExhausted,
    RateLimited,
    UnknownUpstreamModel,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamTimeout,
)
from palaver_openai.failures import http_failure


def fail(status, error=None, **headers):
    data = None if error is None else {"error": error}
    return http_failure(
        HttpFailure(status, {k.replace("_", "-"): v for k, v in headers.items()}, b"", data, "acme", 0.0)
    )


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, QuotaExhausted),
        (429, {"code": "enforced_spend_limit_reached"}, QuotaExhausted),
        (429, {"type": "billing_hard_limit_reached", "code": None}, QuotaExhausted),
        (429, {"code": "rate_limit_exceeded", "type": "tokens"}, RateLimited),
        (429, {"code": 429}, RateLimited),
        (402, {"message": "Insufficient Balance"}, QuotaExhausted),
        (400, {"code": "context_length_exceeded", "type": "invalid_request_error"}, ContextTooLong),
        (400, {"code": "content_policy_violation"}, ContentRefused),
        (400, {"code": "content_filter"}, ContentRefused),
        (400, {"type": "invalid_request_error", "code": None}, ProviderRejected),
        (404, {"code": "model_not_found"}, UnknownUpstreamModel),
        (404, {"message": "model 'x' not found", "type": "api_error"}, UnknownUpstreamModel),
        (404, None, ProviderRejected),
        (401, {"code": "invalid_api_key", "type": "invalid_request_error"}, ProviderAuthFailed),
        (401, {"type": "invalid_request_error", "code": "invalid_request_error"}, ProviderAuthFailed),
        (400, {"code": "invalid_api_key"}, ProviderAuthFailed),
        (403, {"code": "unsupported_country_region_territory"}, ProviderAuthFailed),
        (500, {"type": "server_error"}, UpstreamFailed),
        (500, {"type": "overloaded_error"}, Overloaded),
        (503, {"code": "service_unavailable"}, Overloaded),
        (529, None, Overloaded),
        # Another Palaver's words.
        (400, {"code": "content_refused", "type": "invalid_request_error"}, ContentRefused),
        (502, {"code": "upstream_interrupted", "type": "server_error"}, UpstreamInterrupted),
        (504, {"code": "upstream_timeout", "type": "server_error"}, UpstreamTimeout),
    ],
)
def test_code_and_type_decide_then_the_status(status, error, kind):
    assert kind is type(fail(status, error))


def test_the_vendors_words_are_kept():
    error = fail(400, {"message": "bad", "type": "t", "param": "messages[3]", "code": "c"}, x_request_id="r1")
    assert ("acme answered 400 c: bad", "c", "t", "messages[3]", "r1") == (
        str(error),
        error.vendor_code,
        error.vendor_type,
        error.param,
        error.request_id,
    )


def test_the_wait_is_passed_on():
    assert 1.75 == fail(429, {"code": "rate_limit_exceeded"}, retry_after_ms="1750", retry_after="2").retry_after


@pytest.mark.parametrize("data", [[], 7, "x", {"error": []}, {"error": {"code": {}, "type": [], "message": {}}}, {}])
def test_an_error_of_any_shape_is_survived(data):
    assert UpstreamFailed is type(http_failure(HttpFailure(500, {}, b"", data, "acme", 0.0)))


def test_a_key_in_a_message_is_not_shown():
    assert "sk-abc" not in str(fail(401, {"message": "bad key sk-abcdefgh1234", "code": "invalid_api_key"}))
