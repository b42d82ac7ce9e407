"""From OpenAI's errors to the core errors, by code and type, never by message text.

https://platform.openai.com/docs/guides/error-codes/api-errors, and the words of servers that speak the dialect.
"""

from collections.abc import Mapping
from typing import Any

from palaver import (
    ContentRefused,
    ContextTooLong,
    HttpFailure,
    Overloaded,
    ProviderAuthFailed,
    ProviderError,
    ProviderRejected,
    QuotaExhausted,
    RateLimited,
    UnknownUpstreamModel,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamTimeout,
    build_error,
    error_for,
    kind_for_status,
    redact,
)

__all__ = ["from_document", "http_failure"]

#: Words that mean the same as ``error.code`` and as ``error.type``, whatever the status.
_WORDS: Mapping[str, type[ProviderError]] = {
    "insufficient_quota": QuotaExhausted,
    "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted,
    "enforced_spend_limit_reached": QuotaExhausted,
    "quota_exceeded": QuotaExhausted,
    "insufficient_balance": QuotaExhausted,
    "context_length_exceeded": ContextTooLong,
    "context_window_exceeded": ContextTooLong,
    "too_many_prompt_tokens": ContextTooLong,
    "content_policy_violation": ContentRefused,
    "content_filter": ContentRefused,
    "moderation_blocked": ContentRefused,
    "model_not_found": UnknownUpstreamModel,
    "invalid_model": UnknownUpstreamModel,
    "invalid_api_key": ProviderAuthFailed,
    "authentication_error": ProviderAuthFailed,
    "account_deactivated": ProviderAuthFailed,
    "permission_error": ProviderAuthFailed,
    "insufficient_permissions": ProviderAuthFailed,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "too_many_requests": RateLimited,
    "overloaded": Overloaded,
    "overloaded_error": Overloaded,
    "engine_overloaded": Overloaded,
    "server_overloaded": Overloaded,
    "service_unavailable": Overloaded,
    "capacity_exceeded": Overloaded,
    # What another Palaver says, where it differs: a failure keeps its class through a chain of servers.
    "content_refused": ContentRefused,
    "upstream_interrupted": UpstreamInterrupted,
    "upstream_timeout": UpstreamTimeout,
}

#: Broad words, which count only where no status says more: inside a stream.
_BROAD_WORDS: Mapping[str, type[ProviderError]] = {
    "invalid_request_error": ProviderRejected,
    "bad_request_error": ProviderRejected,
    "badrequesterror": ProviderRejected,
    "notfounderror": UnknownUpstreamModel,
    "tokens": RateLimited,
    "requests": RateLimited,
    "timeout": UpstreamTimeout,
    "request_timeout": UpstreamTimeout,
}


def http_failure(failure: HttpFailure) -> ProviderError:
    """Build the error of an answer with an error status."""
    words = _read(failure.data)
    kind = _by_word(_WORDS, words["vendor_code"], words["vendor_type"])
    if kind is None and failure.status == 402:
        kind = QuotaExhausted
    if kind is None and failure.status == 404 and words["message"]:
        # A path that does not exist answers with a page; a server that explains itself means the model.
        kind = UnknownUpstreamModel
    return error_for(failure, kind=kind, **words)


def from_document(data: Mapping[str, Any], *, provider: str = "") -> ProviderError:
    """Build the error that a 200 answer holds: OpenAI's ``{"error": …}`` or vLLM's ``{"object": "error", …}``."""
    words = _read(data)
    code, kind_word = words["vendor_code"], words["vendor_type"]
    kind = _by_word(_WORDS, code, kind_word)
    status = _status(data)
    if kind is None and status is not None:
        kind = kind_for_status(status)
    if kind is None:
        kind = _by_word(_BROAD_WORDS, code, kind_word) or UpstreamFailed
    what = f"answered with the error {redact(code or kind_word or 'it did not name')}"
    return build_error(kind, words.pop("message") or "", what=what, provider=provider, upstream_status=status, **words)


def _by_word(table: Mapping[str, type[ProviderError]], *words: str | None) -> type[ProviderError] | None:
    for word in words:
        if word is not None and (kind := table.get(word.lower())) is not None:
            return kind
    return None


def _read(data: Any) -> dict[str, str | None]:
    if isinstance(data, list) and data:
        data = data[0]
    error = data.get("error") if isinstance(data, Mapping) else None
    place = error if isinstance(error, Mapping) else data if isinstance(data, Mapping) else {}
    message = place.get("message") or place.get("detail") or error
    return {
        "message": message if isinstance(message, str) else None,
        "vendor_code": _word(place.get("code")),
        "vendor_type": _word(place.get("type")),
        "param": _word(place.get("param")),
    }


def _word(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value)[:128] or None


def _status(data: Mapping[str, Any]) -> int | None:
    """Find an HTTP status among the words of an error inside a 200 answer."""
    error = data.get("error")
    for place in (error, data):
        if isinstance(place, Mapping):
            for name in ("status_code", "code", "status"):
                value = place.get(name)
                if isinstance(value, str) and value.isdecimal() and len(value) == 3:
                    value = int(value)
                if isinstance(value, int) and 400 <= value <= 599:
                    return value
    return None
