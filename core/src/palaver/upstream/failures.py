"""From a vendor's HTTP failure to the core error: by status unless the vendor's own table knows better. Pure."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from palaver.errors import (
    Overloaded,
    ProviderAuthFailed,
    ProviderError,
    ProviderRejected,
    RateLimited,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTimeout,
)
from palaver.upstream.interface import HttpFailure

__all__ = ["build_error", "error_for", "kind_for_status", "redact", "retry_after"]

#: Characters of a vendor's message that are kept.
_MESSAGE_CAP = 500
#: Longest wait that is passed on, in seconds: beyond a day somebody's clock or unit is wrong.
_WAIT_CAP = 86_400.0

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: ProviderAuthFailed,
    403: ProviderAuthFailed,
    408: UpstreamTimeout,
    429: RateLimited,
    503: Overloaded,
    504: UpstreamTimeout,
    529: Overloaded,
}

#: What looks like a key, masked ones included: vendors repeat the key they were given.
_KEY_LIKE = re.compile(
    r"""
      (?P<lead> \bbearer\s+ | \bapi[-_ ]?key["']?\s*(?:provided\s*)?[:=]\s*["']? ) [^\s"',;]+
    | \b(?:sk|pk|rk|gsk|xai|pplx|hf|nvapi|fw|csk|tgp|r8)[-_][\w*.-]{4,}
    | \bAIza[\w-]{10,}
    | \beyJ[\w-]{8,}\.[\w.-]+
    | [\w-]*\*{3,}[\w*.-]*
    | \b[0-9a-f]{32,}\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _hide(match: re.Match[str]) -> str:
    return f"{match['lead'] or ''}***"


def redact(text: str, *, cap: int = _MESSAGE_CAP) -> str:
    """Make a vendor's *text* fit to be shown: nothing that looks like a key, one line, at most *cap* characters."""
    # Cut first, generously: patterns must not run over megabytes.
    clean = _KEY_LIKE.sub(_hide, text[: 4 * cap])
    clean = " ".join("".join(char if char.isprintable() else " " for char in clean).split())
    return clean if len(clean) <= cap else clean[: cap - 1] + "…"


def error_for(
    failure: HttpFailure,
    *,
    kind: type[ProviderError] | None = None,
    message: str | None = None,
    vendor_code: str | None = None,
    vendor_type: str | None = None,
    param: str | None = None,
) -> ProviderError:
    """Build the error for *failure*; without *kind* its status decides.

    The vendor's words are looked for where most keep them (``error.message``, ``message``, ``detail``,
    ``error``) unless they are given.
    """
    if kind is None:
        kind = kind_for_status(failure.status)
    if message is None:
        message = _find_message(failure.data) or failure.body[:2000].decode("utf-8", "replace")
    if 300 <= failure.status < 400:
        message = "redirects are not followed, check the base URL"
    word = vendor_code or vendor_type
    what = f"answered {failure.status}"
    return build_error(
        kind,
        message,
        what=what if word in (None, "", str(failure.status)) else f"{what} {redact(str(word), cap=128)}",
        provider=failure.provider,
        upstream_status=failure.status,
        vendor_code=vendor_code,
        vendor_type=vendor_type,
        param=param,
        request_id=_find(failure.headers, ("x-request-id", "request-id", "apim-request-id", "cf-ray")),
        retry_after=retry_after(failure.headers, failure.now),
    )


def build_error(kind: type[ProviderError], message: str, *, what: str = "failed", **about: Any) -> ProviderError:
    """Build an error of *kind* that tells who did *what* and adds the vendor's *message*, redacted and capped."""
    text = f"{about.get('provider') or 'the vendor'} {what}"
    clean = redact(message)
    if clean:
        text = f"{text}: {clean}"
    if issubclass(kind, UpstreamTimeout):
        return kind(text, phase="first_byte", **about)
    return kind(text, **about)


def kind_for_status(status: int) -> type[ProviderError]:
    """Tell what an HTTP status means when nothing else is known."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return UpstreamFailed
    if status >= 400:
        return ProviderRejected
    return UpstreamMalformed


def _find_message(data: Any) -> str | None:
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, Mapping):
        return None
    error = data.get("error")
    for place in (error, data):
        if isinstance(place, Mapping):
            for name in ("message", "detail", "error_message", "error"):
                value = place.get(name)
                if isinstance(value, str) and value:
                    return value
    return error if isinstance(error, str) else None


def _find(headers: Mapping[str, str], names: Iterable[str]) -> str | None:
    for name in names:
        values = _values(headers, name)
        if values:
            return redact(values[0], cap=128)
    return None


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    """Every value of header *name*, from a multi-mapping or a plain one of any case."""
    get_all = getattr(headers, "getall", None)
    if get_all is not None:
        return list(get_all(name, ()))
    return [value for key, value in headers.items() if key.lower() == name]


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Tell how many seconds the vendor asks us to wait, never fewer than it said; ``None`` when it does not say.

    Reads ``retry-after-ms`` (milliseconds) first, then ``retry-after`` in both its forms
    (https://www.rfc-editor.org/rfc/rfc9110#name-retry-after). A past date is 0, rubbish is ignored, of several
    values the longest counts, more than a day is a day. A date is compared with the answer's own ``date``, so
    that a skewed clock does no harm; without one with *now* (POSIX seconds).
    """
    exact = [value / 1000 for value in map(_number, _values(headers, "retry-after-ms")) if value is not None]
    if exact:
        return min(max(exact), _WAIT_CAP)
    waits: list[float] = []
    for value in _values(headers, "retry-after"):
        seconds = _number(value)
        if seconds is None:
            then = _date(value)
            if then is None:
                continue
            since = next((date for date in map(_date, _values(headers, "date")) if date is not None), now)
            seconds = max(0.0, then - since)
        waits.append(float(math.ceil(seconds)))
    return min(max(waits), _WAIT_CAP) if waits else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _date(text: str) -> float | None:
    # Imported late: it brings half of the e-mail package, and only failures with a date need it.
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
