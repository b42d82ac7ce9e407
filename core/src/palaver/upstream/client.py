"""``Upstream`` over aiohttp: posts, reads, maps every failure of the HTTP client to a core error.

Loads aiohttp, so it is imported late. Deadlines to connect and to the first byte are kept here; those between
content events and in all belong to whoever reads the stream.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from types import TracebackType
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout, http_exceptions
from multidict import CIMultiDict
from yarl import URL

from palaver.errors import (
    ConfigError,
    PalaverError,
    ProviderError,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)
from palaver.upstream.interface import AnswerKind, Deadlines, Failures, Frame, HttpFailure
from palaver.upstream.ndjson import NdjsonDecoder
from palaver.upstream.sse import FRAME_CAP, SseDecoder

__all__ = ["HttpUpstream", "read_rest"]

#: Bytes and seconds spent on the body of an error answer.
_ERROR_BODY_CAP = 64 * 1024
_ERROR_BODY_LIMIT = 5.0
#: Seconds that a finished answer may take to end its body, so that its connection can be kept.
_DRAIN_LIMIT = 1.0
#: Bodies above this many bytes are sent in pieces, so that the loop is not held up.
_LARGE_BODY = 1024 * 1024

_ACCEPT = {
    AnswerKind.SSE: "text/event-stream",
    AnswerKind.NDJSON: "application/x-ndjson",
    AnswerKind.JSON: "application/json",
}
_KIND_OF_TYPE = {
    "text/event-stream": AnswerKind.SSE,
    "application/x-ndjson": AnswerKind.NDJSON,
    "application/ndjson": AnswerKind.NDJSON,
    "application/jsonl": AnswerKind.NDJSON,
    "application/x-jsonlines": AnswerKind.NDJSON,
    "application/json": AnswerKind.JSON,
}
_TLS_ERRORS = (aiohttp.ClientSSLError, ssl.SSLError, ssl.CertificateError)


class HttpUpstream:
    """One vendor account's HTTP. See ``palaver.Upstream``.

    Args:
        drain: Takes a response that was read as far as its reader cares, to end it in the background.
        now: Wall time as POSIX seconds.
    """

    def __init__(
        self,
        session: ClientSession,
        base_url: str,
        *,
        provider: str,
        failures: Failures,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        now: Callable[[], float],
        drain: Callable[[ClientResponse], None],
    ) -> None:
        base = URL(base_url)
        if base.scheme not in ("http", "https") or not base.host:
            raise ConfigError(f"base_url: expected http:// or https:// and a host, got {base_url!r}")
        self._session = session
        self._base = base_url.rstrip("/")
        self.provider = provider
        self.host = base.host
        self._tls = base.scheme == "https"
        self._failures = failures
        self._secrets = [value.rpartition(" ")[2] for name, value in headers.items() if _is_secret(name)]
        self.deadlines = deadlines
        self._now = now
        self._drain = drain
        self._timeout = ClientTimeout(total=None, connect=deadlines.connect)
        self._urls: dict[str, URL] = {}
        self._headers = {kind: _headers(headers, kind) for kind in AnswerKind}

    def post(
        self,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        accept: AnswerKind = AnswerKind.SSE,
        headers: Mapping[str, str] | None = None,
    ) -> "_Posting":
        """Post *json* (or raw *body*) and open the answer; see ``palaver.Upstream.post``."""
        data: Any = orjson.dumps(json) if body is None else body
        return _Posting(self, path, data, accept, headers)

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Any:
        """Get a JSON document; same errors as ``post``."""
        async with _Posting(self, path, None, AnswerKind.JSON, headers) as answer:
            document: Any = None
            async for frames in answer:
                document = frames[0].json()
            return document

    async def send(
        self, path: str, data: bytes | None, accept: AnswerKind, headers: Mapping[str, str] | None
    ) -> "HttpAnswer":
        """Send the request and read until the kind of the answer is known."""
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) > 256:
                self._urls.clear()  # paths may name models, which callers choose
            url = self._urls[path] = URL(self._base + path, encoded=True)
        standing = self._headers[accept]
        if headers:
            standing = CIMultiDict(standing)
            standing.update(headers)
        # What is not streamed comes as a whole when the model is done: its first byte is its last.
        streamed = accept is not AnswerKind.JSON or data is None
        limit = self.deadlines.first_byte if streamed else self.deadlines.total
        response: ClientResponse | None = None
        try:
            async with asyncio.timeout(limit):
                response = await self._session.request(
                    "GET" if data is None else "POST",
                    url,
                    data=BytesIO(data) if data is not None and len(data) > _LARGE_BODY else data,
                    headers=standing,
                    timeout=self._timeout,
                    allow_redirects=False,
                )
                if response.status >= 300:
                    raise await self._failure(response)
                return await self._open(response, accept)
        except BaseException as error:
            if response is not None:
                response.close()
            if isinstance(error, PalaverError) or not isinstance(error, Exception):
                raise
            if response is None or isinstance(error, TimeoutError):
                raise self._opening_error(error, limit) from error
            raise self.reading_error(error) from error

    async def _open(self, response: ClientResponse, accept: AnswerKind) -> "HttpAnswer":
        """Tell by content type and first byte what the body is."""
        declared = _declared_kind(response.headers.get("Content-Type", ""))
        if declared is None and response.headers.get("Content-Type", "").startswith("text/html"):
            raise self._malformed(f"answered {response.status} with a web page: check the base URL")
        read = response.content.readany
        first = await read()
        text = first.lstrip(b"\xef\xbb\xbf \t\r\n")
        while first and not text and len(first) < 4096:
            more = await read()
            if not more:
                break
            first += more
            text = first.lstrip(b"\xef\xbb\xbf \t\r\n")
        kind: AnswerKind
        if text[:1] in (b"{", b"["):
            kind = declared or (AnswerKind.NDJSON if accept is AnswerKind.NDJSON else AnswerKind.JSON)
            if kind is AnswerKind.SSE:
                kind = AnswerKind.JSON
        elif declared is AnswerKind.SSE or text[:1] in (b"d", b"e", b"i", b"r", b":"):
            kind = AnswerKind.SSE
        elif not text and declared is AnswerKind.NDJSON:
            kind = AnswerKind.NDJSON
        else:
            what = "an empty body" if not text else "a body that is neither JSON nor a stream"
            raise self._malformed(f"answered {response.status} with {what}")
        return HttpAnswer(self, response, kind, first)

    async def _failure(self, response: ClientResponse) -> ProviderError:
        """Read an error answer, not too much and not for too long, and ask the failure table."""
        body = b""
        try:
            async with asyncio.timeout(_ERROR_BODY_LIMIT):
                while len(body) < _ERROR_BODY_CAP:
                    chunk = await response.content.readany()
                    if not chunk:
                        break
                    body += chunk
        except (TimeoutError, OSError, aiohttp.ClientError, http_exceptions.HttpProcessingError):
            pass  # The status says enough; what came of the body is used.
        body = body[:_ERROR_BODY_CAP]
        try:
            data = orjson.loads(body)
        except ValueError:
            data = None
        failure = HttpFailure(response.status, response.headers, body, data, self.provider, self._now())
        error = self._failures(failure)
        for secret in self._secrets:
            if secret and secret in error.message:
                error.message = error.message.replace(secret, "***")
                error.args = (error.message,)
        if not error.provider:
            error.provider = self.provider
        return error

    def _malformed(self, what: str) -> UpstreamMalformed:
        return UpstreamMalformed(f"{self.provider} {what}", provider=self.provider)

    def _opening_error(self, error: Exception, limit: float) -> ProviderError:
        """Map what the HTTP client raised before the answer's body was open."""
        name, host = self.provider, self.host
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return UpstreamTimeout(
                f"{name}: no connection to {host} within {self.deadlines.connect:g} s", phase="connect", provider=name
            )
        if isinstance(error, TimeoutError):
            return UpstreamTimeout(
                f"{name}: no answer from {host} within {limit:g} s", phase="first_byte", provider=name
            )
        if _failed_in_tls(error, self._tls):
            # The reason may quote the certificate; the host is all the reader needs.
            return UpstreamTlsFailed(f"{name}: the TLS handshake with {host} failed", provider=name)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return UpstreamUnreachable(f"{name}: the host name {host} cannot be resolved", provider=name)
        if isinstance(error, aiohttp.ClientConnectorError):
            reason = error.os_error.strerror or type(error.os_error).__name__
            return UpstreamUnreachable(f"{name}: cannot connect to {host}: {reason.lower()}", provider=name)
        if isinstance(error, (aiohttp.ClientResponseError, http_exceptions.HttpProcessingError)):
            return self._malformed("sent something that is not HTTP")
        return self.reading_error(error)

    def reading_error(self, error: Exception) -> ProviderError:
        """Map what the HTTP client raised while the answer was read."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, (http_exceptions.ContentEncodingError, http_exceptions.DecompressSizeError)):
                return self._malformed("sent a body whose compression is corrupt")
            cause = cause.__cause__
        return UpstreamInterrupted(f"{self.provider}: the connection was lost", provider=self.provider)

    def leave(self, response: ClientResponse, *, read_enough: bool) -> None:
        """Let go of *response*: keep its connection when its end is near, else close it."""
        if response.content.is_eof() and response.content.exception() is None:
            return  # the HTTP client has put the connection back when the end came
        if read_enough:
            self._drain(response)
        else:
            response.close()


class _Posting:
    """The context manager around one request; a class, because a generator would cost more than it says."""

    __slots__ = ("_accept", "_answer", "_data", "_headers", "_path", "_upstream")

    def __init__(
        self,
        upstream: HttpUpstream,
        path: str,
        data: bytes | None,
        accept: AnswerKind,
        headers: Mapping[str, str] | None,
    ) -> None:
        self._upstream = upstream
        self._path = path
        self._data = data
        self._accept = accept
        self._headers = headers
        self._answer: HttpAnswer | None = None

    async def __aenter__(self) -> "HttpAnswer":
        answer = await self._upstream.send(self._path, self._data, self._accept, self._headers)
        self._data = None  # the request's bytes are not kept while the answer streams
        self._answer = answer
        return answer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._answer is not None:
            self._upstream.leave(self._answer.response, read_enough=error is None)


class HttpAnswer:
    """An open answer. See ``palaver.Answer``."""

    __slots__ = ("_decoder", "_ended", "_first", "_read", "_upstream", "headers", "kind", "response", "status")

    def __init__(self, upstream: HttpUpstream, response: ClientResponse, kind: AnswerKind, first: bytes) -> None:
        self._upstream = upstream
        self.response = response
        self.kind = kind
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._first: bytes | None = first
        self._read = response.content.readany
        self._ended = False
        self._decoder: SseDecoder | NdjsonDecoder | _Whole
        if kind is AnswerKind.SSE:
            self._decoder = SseDecoder(provider=upstream.provider)
        elif kind is AnswerKind.NDJSON:
            self._decoder = NdjsonDecoder(provider=upstream.provider)
        else:
            # Without a length and without chunks only the closed connection ends the body, cut or not.
            delimited = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
            self._decoder = _Whole(upstream.provider, complete=delimited)

    def __aiter__(self) -> "HttpAnswer":
        return self

    async def __anext__(self) -> Sequence[Frame]:
        while not self._ended:
            chunk = self._first
            if chunk is not None:
                self._first = None
            else:
                try:
                    chunk = await self._read()
                except Exception as error:
                    self._ended = True
                    raise self._upstream.reading_error(error) from error
            if chunk:
                frames = self._decoder.feed(chunk)
            else:
                self._ended = True
                frames = self._decoder.finish()
            if frames:
                return frames
        raise StopAsyncIteration


class _Whole:
    """Collects a JSON document, which is one frame."""

    __slots__ = ("_complete", "_pieces", "_provider", "_size")

    def __init__(self, provider: str, *, complete: bool) -> None:
        self._provider = provider
        self._complete = complete
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Sequence[Frame]:
        self._pieces.append(chunk)
        self._size += len(chunk)
        if self._size > FRAME_CAP:
            raise UpstreamMalformed(
                f"{self._provider} sent a document of more than {FRAME_CAP} bytes", provider=self._provider
            )
        return ()

    def finish(self) -> Sequence[Frame]:
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        return (Frame(body, complete=self._complete),)


async def read_rest(response: ClientResponse) -> None:
    """Read what is left for a moment; afterwards the connection is in the pool, or closed."""
    try:
        async with asyncio.timeout(_DRAIN_LIMIT):
            # A vendor that still talks after its terminal marker is not worth the wait.
            for _ in range(4):
                if not await response.content.readany():
                    break
    except (TimeoutError, OSError, aiohttp.ClientError, http_exceptions.HttpProcessingError):
        pass  # The answer was complete without it; only the connection is lost.
    finally:
        response.close()


def _declared_kind(content_type: str) -> AnswerKind | None:
    kind = _KIND_OF_TYPE.get(content_type)
    if kind is None and content_type:
        media_type = content_type.partition(";")[0].strip().lower()
        kind = _KIND_OF_TYPE.get(media_type)
        if kind is None and media_type.endswith("+json"):
            kind = AnswerKind.JSON
    return kind


def _headers(standing: Mapping[str, str], accept: AnswerKind) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict(
        {"Accept": _ACCEPT[accept], "Content-Type": "application/json", "User-Agent": "palaver"}
    )
    if accept is not AnswerKind.JSON:
        # Compression would only hold tokens back.
        headers["Accept-Encoding"] = "identity"
    headers.update(standing)
    return headers


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in ("authorization", "key", "token", "secret"))


def _failed_in_tls(error: Exception, tls: bool) -> bool:
    """Tell whether the connection was there and its handshake failed, in whichever of its many forms."""
    if isinstance(error, _TLS_ERRORS):
        return True
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return tls and isinstance(cause, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, EOFError))
