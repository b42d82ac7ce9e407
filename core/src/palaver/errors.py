"""The one exception tree of Palaver. The type decides what happens next, never the message text.

::

    PalaverError
    ├── ConfigError               the operator's configuration is wrong
    ├── PluginError               a plugin could not be loaded, checked or opened
    ├── DecodeError               stored or received data does not have the declared shape
    ├── RequestError              the caller asked for something that cannot be done
    │   ├── InvalidRequest        a field is missing, malformed or impossible
    │   │   └── Unsupported       the target lacks a capability the request needs
    │   ├── Unauthenticated       no usable credentials
    │   ├── Forbidden             known caller, not allowed
    │   ├── NotFound              unknown or foreign id (never told apart)
    │   │   └── ModelNotFound     no instance, registry row or prefix claims the model
    │   ├── Conflict              the state does not allow it
    │   │   └── SessionBusy       another run owns the session; carries its id
    │   ├── PayloadTooLarge       body, message or file over its limit
    │   └── LimitExceeded         the caller's own rate limit or budget
    ├── ProviderError             a provider did not deliver
    │   ├── ProviderRejected      the vendor understood the request and refused it
    │   │   ├── ContextTooLong    prompt and answer do not fit the model
    │   │   ├── ContentRefused    the vendor's policy stopped the request
    │   │   └── UnknownUpstreamModel
    │   ├── ProviderAuthFailed    our key for the vendor is wrong or lacks rights
    │   ├── QuotaExhausted        out of credit: waiting does not help, another target may
    │   ├── RateLimited           the vendor asks us to slow down
    │   ├── Overloaded            the vendor has no capacity now
    │   ├── UpstreamFailed        the vendor's own 5xx
    │   ├── UpstreamUnreachable   no connection: name, route, refused
    │   │   └── UpstreamTlsFailed
    │   ├── UpstreamTimeout       connect, first byte, idle or total deadline passed
    │   ├── UpstreamMalformed     bytes that are not what the protocol promises
    │   ├── UpstreamInterrupted   the stream ended without the vendor's terminal marker
    │   └── CircuitOpen           the breaker of this target is open; it was not asked
    ├── DeadlineExceeded          the call's own deadline passed
    ├── StorageError              the database did not do what was asked
    │   ├── StorageUnavailable    down, overloaded or the write queue is full
    │   └── StorageFull           no space left
    └── ShuttingDown              the server drains and takes no new work
"""

from typing import Any, ClassVar

__all__ = [
    "CircuitOpen",
    "ConfigError",
    "Conflict",
    "ContentRefused",
    "ContextTooLong",
    "DeadlineExceeded",
    "DecodeError",
    "Forbidden",
    "InvalidRequest",
    "LimitExceeded",
    "ModelNotFound",
    "NotFound",
    "Overloaded",
    "PalaverError",
    "PayloadTooLarge",
    "PluginError",
    "ProviderAuthFailed",
    "ProviderError",
    "ProviderRejected",
    "QuotaExhausted",
    "RateLimited",
    "RequestError",
    "SessionBusy",
    "ShuttingDown",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "Unauthenticated",
    "UnknownUpstreamModel",
    "Unsupported",
    "UpstreamFailed",
    "UpstreamInterrupted",
    "UpstreamMalformed",
    "UpstreamTimeout",
    "UpstreamTlsFailed",
    "UpstreamUnreachable",
]


class PalaverError(Exception):
    """Root of every error Palaver raises on purpose.

    ``code`` is the stable name clients may switch on, ``status`` the HTTP status of a surface,
    ``retryable`` whether the same call may succeed a little later.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        #: Seconds to wait before trying again, when somebody told us.
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class ConfigError(PalaverError):
    """The operator's configuration is wrong; the message names path, value and origin."""

    code = "config_error"


class PluginError(PalaverError):
    """A plugin could not be loaded, checked or opened."""

    code = "plugin_error"


class DecodeError(PalaverError):
    """Data does not have the declared shape; ``problems`` lists each as ``what @ path``."""

    code = "decode_error"
    status = 400

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class RequestError(PalaverError):
    """The caller asked for something that cannot be done; asking again changes nothing."""

    code = "invalid_request"
    status = 400

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        #: The request field at fault, as a dotted path.
        self.param = param


class InvalidRequest(RequestError):
    """A field is missing, malformed or impossible."""


class Unsupported(InvalidRequest):
    """The target lacks a capability that the request needs."""

    code = "unsupported"


class Unauthenticated(RequestError):
    """No usable credentials came with the request."""

    code = "unauthenticated"
    status = 401


class Forbidden(RequestError):
    """The caller is known but may not do this."""

    code = "forbidden"
    status = 403


class NotFound(RequestError):
    """The id is unknown, or somebody else's: the two look exactly alike."""

    code = "not_found"
    status = 404


class ModelNotFound(NotFound):
    """Nobody claims the model name; ``known`` lists what would have worked."""

    code = "model_not_found"

    def __init__(self, message: str, *, known: tuple[str, ...] = ()) -> None:
        super().__init__(message, param="model")
        self.known = known


class Conflict(RequestError):
    """The current state does not allow it."""

    code = "conflict"
    status = 409


class SessionBusy(Conflict):
    """Another run owns the session; watch or stop ``run_id``."""

    code = "session_busy"

    def __init__(self, message: str, *, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class PayloadTooLarge(RequestError):
    """A body, message or file is over its limit."""

    code = "payload_too_large"
    status = 413


class LimitExceeded(RequestError):
    """The caller's own rate limit or budget is used up; no provider was asked."""

    code = "limit_exceeded"
    status = 429
    retryable = True


class ProviderError(PalaverError):
    """A provider did not deliver.

    ``fallback`` says whether another target may do better, ``trips_breaker`` whether it counts
    as a failure of the target. Both are properties of the type.
    """

    code = "provider_error"
    status = 502
    fallback: ClassVar[bool] = True
    trips_breaker: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        upstream_status: int | None = None,
        vendor_code: str | None = None,
        vendor_type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.provider = provider
        self.model = model
        #: HTTP status of the vendor's answer, when there was one.
        self.upstream_status = upstream_status
        #: The vendor's own words for the error: ``error.code`` and ``error.type``.
        self.vendor_code = vendor_code
        self.vendor_type = vendor_type
        #: The request field the vendor names.
        self.param = param
        #: The vendor's request id, for its support desk.
        self.request_id = request_id


class ProviderRejected(ProviderError):
    """The vendor understood the request and refused it: the request must change."""

    code = "provider_rejected"
    status = 400
    fallback = False


class ContextTooLong(ProviderRejected):
    """Prompt and answer do not fit the model's context window."""

    code = "context_length_exceeded"


class ContentRefused(ProviderRejected):
    """The vendor's content policy stopped the request."""

    code = "content_refused"


class UnknownUpstreamModel(ProviderRejected):
    """The vendor does not know the model, or our key may not use it."""

    code = "model_not_found"
    status = 404
    fallback = True


class ProviderAuthFailed(ProviderError):
    """Our key for the vendor is missing, wrong or lacks rights: the operator's matter."""

    code = "provider_auth_failed"


class QuotaExhausted(ProviderError):
    """Out of credit or over a spend cap: waiting does not help, another target may."""

    code = "quota_exhausted"
    status = 429


class RateLimited(ProviderError):
    """The vendor asks us to slow down."""

    code = "rate_limited"
    status = 429
    retryable = True


class Overloaded(ProviderError):
    """The vendor has no capacity now."""

    code = "overloaded"
    status = 503
    retryable = True
    trips_breaker = True


class UpstreamFailed(ProviderError):
    """The vendor answered with a server error of its own."""

    code = "upstream_failed"
    retryable = True
    trips_breaker = True


class UpstreamUnreachable(ProviderError):
    """No connection: unknown host, no route, refused."""

    code = "upstream_unreachable"
    retryable = True
    trips_breaker = True


class UpstreamTlsFailed(UpstreamUnreachable):
    """The TLS handshake failed; trying again would not make it safer."""

    code = "upstream_tls_failed"
    retryable = False


class UpstreamTimeout(ProviderError):
    """A deadline towards the vendor passed; ``phase`` is connect, first_byte, idle or total."""

    code = "upstream_timeout"
    status = 504
    retryable = True
    trips_breaker = True

    def __init__(self, message: str, *, phase: str, **about: Any) -> None:
        super().__init__(message, **about)
        self.phase = phase


class UpstreamMalformed(ProviderError):
    """The vendor sent bytes that are not what its protocol promises."""

    code = "upstream_malformed"
    trips_breaker = True


class UpstreamInterrupted(ProviderError):
    """The stream ended without the vendor's terminal marker: the answer is not complete."""

    code = "upstream_interrupted"
    retryable = True
    trips_breaker = True


class CircuitOpen(ProviderError):
    """The breaker of this target is open after repeated failures; it is not asked."""

    code = "circuit_open"
    status = 503


class DeadlineExceeded(PalaverError):
    """The call's own deadline passed."""

    code = "deadline_exceeded"
    status = 504


class StorageError(PalaverError):
    """The database did not do what was asked."""

    code = "storage_error"


class StorageUnavailable(StorageError):
    """The database is down or overloaded, or its write queue is full."""

    code = "storage_unavailable"
    status = 503
    retryable = True


class StorageFull(StorageError):
    """No space is left for the write; what was acknowledged before is intact."""

    code = "storage_full"
    status = 507


class ShuttingDown(PalaverError):
    """The server drains and takes no new work."""

    code = "shutting_down"
    status = 503
    retryable = True
