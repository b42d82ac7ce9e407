"""From what the HTTP client raises to core errors. Messages name the host, never what it sent."""

import ssl

import aiohttp
from aiohttp import http_exceptions

from palaver.errors import (
    ProviderError,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)
from palaver.upstream.interface import Deadlines

__all__ = ["NETWORK_ERRORS", "malformed", "opening_error", "reading_error"]

#: Everything the HTTP client raises while it reads.
NETWORK_ERRORS = (TimeoutError, OSError, aiohttp.ClientError, http_exceptions.HttpProcessingError)

_TLS_ERRORS = (aiohttp.ClientSSLError, ssl.SSLError, ssl.CertificateError)
_COMPRESSION_ERRORS = (http_exceptions.ContentEncodingError, http_exceptions.DecompressSizeError)


def malformed(name: str, what: str) -> UpstreamMalformed:
    """Build the error of instance *name* whose vendor did *what*."""
    return UpstreamMalformed(f"{name} {what}", provider=name)


def opening_error(
    error: Exception, name: str, host: str, *, tls: bool, deadlines: Deadlines, limit: float
) -> ProviderError:
    """Map what was raised before the answer's body was open; *limit* is the deadline in seconds to its first byte."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamTimeout(
            f"{name}: no connection to {host} within {deadlines.connect:g} s", phase="connect", provider=name
        )
    if isinstance(error, TimeoutError):
        return UpstreamTimeout(f"{name}: no answer from {host} within {limit:g} s", phase="first_byte", provider=name)
    if _failed_in_tls(error, tls):
        # The reason may quote the certificate; the host is all the reader needs.
        return UpstreamTlsFailed(f"{name}: the TLS handshake with {host} failed", provider=name)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UpstreamUnreachable(f"{name}: the host name {host} cannot be resolved", provider=name)
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error.os_error).__name__
        return UpstreamUnreachable(f"{name}: cannot connect to {host}: {reason.lower()}", provider=name)
    if isinstance(error, (aiohttp.ClientResponseError, http_exceptions.HttpProcessingError)):
        return malformed(name, "sent something that is not HTTP")
    return reading_error(error, name)


def reading_error(error: Exception, name: str) -> ProviderError:
    """Map what was raised while the answer was read."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _COMPRESSION_ERRORS):
            return malformed(name, "sent a body whose compression is corrupt")
        cause = cause.__cause__
    return UpstreamInterrupted(f"{name}: the connection was lost", provider=name)


def _failed_in_tls(error: Exception, tls: bool) -> bool:
    """Tell whether the connection was there and its handshake failed, in whichever of its many forms."""
    if isinstance(error, _TLS_ERRORS):
        return True
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return tls and isinstance(cause, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, EOFError))
