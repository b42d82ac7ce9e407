"""Errors on their way out: what went wrong as one value, rendered in the shape of the surface it leaves by.

May touch: nothing but the error tree. Messages of unexpected exceptions never leave the server.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs
import orjson
from palaver.errors import InvalidRequest, PalaverError, RequestError

__all__ = [
    "BadFormat",
    "Failure",
    "MethodNotAllowed",
    "Misdirected",
    "RequestTimeout",
    "UnsupportedMedia",
    "chat_error",
    "failure_of",
    "openai_error",
    "recorded_failure",
]


class UnsupportedMedia(RequestError):
    """The body's type or encoding is not taken here."""

    code = "unsupported_media_type"
    status = 415


class BadFormat(InvalidRequest):
    """What the chat API calls ``Invalid request format`` and the like; *detail* says what is wrong."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class MethodNotAllowed(RequestError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class RequestTimeout(RequestError):
    """The body did not arrive, or too slowly."""

    code = "request_timeout"
    status = 408
    retryable: ClassVar[bool] = True


class Misdirected(RequestError):
    """The ``Host`` is not one this server answers to."""

    code = "host_not_allowed"
    status = 421


@attrs.frozen
class Failure:
    """What a client may know of an error."""

    status: int
    code: str
    message: str
    retryable: bool = False
    #: Seconds to wait, when somebody told us.
    retry_after: float | None = None
    param: str | None = None
    #: More about it, where the message is a text that clients compare.
    detail: str | None = None
    #: The run that stands in the way: watch it or stop it.
    run_id: str | None = None
    #: Further headers of the answer.
    headers: Mapping[str, str] = attrs.field(factory=dict)


_UNEXPECTED = "something went wrong here; the server's log has the details under this request id"


def failure_of(error: BaseException) -> Failure:
    """Tell what of *error* goes to the client; anything that is not a ``PalaverError`` says nothing of itself."""
    if not isinstance(error, PalaverError):
        return Failure(500, "internal_error", _UNEXPECTED)
    headers: dict[str, str] = {}
    retry_after = error.retry_after
    if retry_after is None and error.status == 503:
        retry_after = 1.0
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return Failure(
        error.status,
        error.code,
        error.message,
        error.retryable,
        retry_after,
        getattr(error, "param", None),
        getattr(error, "detail", None),
        getattr(error, "run_id", None),
        headers,
    )


def recorded_failure(error: Any) -> Failure:
    """Rebuild the failure of a run from what was stored of it: ``{code, message, retryable}``."""
    if not isinstance(error, Mapping):
        return Failure(500, "internal_error", "the run failed")
    code = str(error.get("code") or "internal_error")
    message = str(error.get("message") or "the run failed")
    return Failure(_status_of(code), code, message, bool(error.get("retryable")))


def _status_of(code: str) -> int:
    return next((cls.status for cls in _all(PalaverError) if cls.code == code), 500)


def _all(cls: type[PalaverError]) -> Iterator[type[PalaverError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _all(child)


def chat_error(failure: Failure, request_id: str, **more: Any) -> bytes:
    """Render in the shape of the chat API: ``{"error": text}`` and our additions beside it."""
    shape = {
        "error": failure.message,
        "code": failure.code,
        "request_id": request_id,
        "retryable": failure.retryable,
        **more,
    }
    if failure.detail is not None:
        shape["detail"] = failure.detail
    if failure.run_id is not None:
        shape["run_id"] = failure.run_id
    return orjson.dumps(shape)


#: https://platform.openai.com/docs/guides/error-codes
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 409: "conflict_error", 429: "rate_limit_error"}
#: Our word → the vendor's, where clients switch on it.
_OPENAI_CODES = {"unauthenticated": "invalid_api_key", "quota_exhausted": "insufficient_quota"}


def openai_error(failure: Failure, request_id: str) -> bytes:
    """Render in the shape of OpenAI's API: ``{"error": {message, type, param, code}}``."""
    kind = "server_error" if failure.status >= 500 else _OPENAI_TYPES.get(failure.status, "invalid_request_error")
    if failure.code == "quota_exhausted":
        kind = "insufficient_quota"
    error = {
        "message": failure.message,
        "type": kind,
        "param": failure.param,
        "code": _OPENAI_CODES.get(failure.code, failure.code),
        "request_id": request_id,
        "retryable": failure.retryable,
    }
    return orjson.dumps({"error": error})
