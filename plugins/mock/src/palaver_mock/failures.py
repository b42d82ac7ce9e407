"""The failures a script can name, and the error each becomes: as if a vendor had answered so."""

from collections.abc import Callable, Mapping

import attrs
from palaver import (
    ContentRefused,
    ContextTooLong,
    Overloaded,
    ProviderAuthFailed,
    ProviderError,
    ProviderRejected,
    QuotaExhausted,
    RateLimited,
    UnknownUpstreamModel,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)

__all__ = ["TABLE", "Failure"]


def _timeout(message: str, **about: object) -> ProviderError:
    return UpstreamTimeout(message, phase="first_byte", **about)


#: Word in a script: the error, and the HTTP status a vendor would have sent with it.
TABLE: Mapping[str, tuple[Callable[..., ProviderError], int | None]] = {
    "rejected": (ProviderRejected, 400),
    "context_too_long": (ContextTooLong, 400),
    "content_refused": (ContentRefused, 400),
    "auth": (ProviderAuthFailed, 401),
    "unknown_model": (UnknownUpstreamModel, 404),
    "rate_limited": (RateLimited, 429),
    "quota": (QuotaExhausted, 429),
    "failed": (UpstreamFailed, 500),
    "overloaded": (Overloaded, 503),
    "unreachable": (UpstreamUnreachable, None),
    "timeout": (_timeout, None),
    "malformed": (UpstreamMalformed, 200),
    "interrupted": (UpstreamInterrupted, 200),
}


@attrs.frozen
class Failure:
    """A failure of a scripted turn: *kind* is a word of ``TABLE``, *after* counts the pieces that still come."""

    kind: str
    after: int = 0
    #: Seconds, as a vendor's ``Retry-After`` would say.
    retry_after: float | None = None
    status: int | None = None
    message: str | None = None

    def error(self, provider: str, model: str) -> ProviderError:
        """Make the error."""
        make, status = TABLE[self.kind]
        return make(
            self.message or f"{provider}: scripted failure {self.kind!r}",
            provider=provider,
            model=model,
            upstream_status=self.status or status,
            retry_after=self.retry_after,
        )
