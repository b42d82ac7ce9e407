"""``Upstream`` over aiohttp: posts, reads, maps every failure of the HTTP client to a core error.

Loads aiohttp, so it is imported late. Deadlines to connect and to the first byte are kept here; those between
content events and in all belong to whoever reads the stream.
"""

import asyncio
from collections.abc import Callable, Mapping
from io import BytesIO
from types import TracebackType
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout
from multidict import CIMultiDict
from yarl import URL

from palaver.errors import (
    ConfigError,
    InvalidRequest,
    ProviderError,
)
from palaver.upstream.answer import HttpAnswer
from palaver.upstream.failures import error_for
from palaver.upstream.interface import AnswerKind, Deadlines, Failures, HttpFailure
from palaver.upstream.network_errors import NETWORK_ERRORS, malformed, opening_error, reading_error
from palaver.upstream.watch import Watch

__all__ = ["HttpUpstream"]

#: Bytes and seconds spent on the body of an error answer.
_ERROR_BODY_CAP = 64 * 1024
_ERROR_BODY_LIMIT = 5.0
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


class HttpUpstream:
    """One vendor account's HTTP. See ``palaver.Upstream``.

    Args:
        drain: Takes a response that was read as far as its reader cares, to end it in the background.
        now: Wall time as POSIX seconds.
        watch: Keeps the deadline to the first byte.
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
        watch: Watch,
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
        self._secrets = _secrets_of(headers)
        self.deadlines = deadlines
        self._now = now
        self._drain = drain
        self._watch = watch
        self._timeout = ClientTimeout(total=None, sock_connect=deadlines.connect)
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
        return _Posting(self, path, _encode(json) if body is None else body, accept, headers)

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
            with self._watch.limit(limit):
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
            if not isinstance(error, NETWORK_ERRORS):
                raise
            if response is None or isinstance(error, TimeoutError):
                raise opening_error(
                    error, self.provider, self.host, tls=self._tls, deadlines=self.deadlines, limit=limit
                ) from error
            raise reading_error(error, self.provider) from error

    async def _open(self, response: ClientResponse, accept: AnswerKind) -> "HttpAnswer":
        """Tell by content type and first byte what the body is."""
        declared = _declared_kind(response.headers.get("Content-Type", ""))
        if declared is None and response.headers.get("Content-Type", "").startswith("text/html"):
            raise malformed(self.provider, f"answered {response.status} with a web page: check the base URL")
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
            raise malformed(self.provider, f"answered {response.status} with {what}")
        return HttpAnswer(self.provider, response, kind, first)

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
        except NETWORK_ERRORS:
            pass  # The status says enough; what came of the body is used.
        body = body[:_ERROR_BODY_CAP]
        try:
            data = orjson.loads(body)
        except ValueError:
            data = None
        failure = HttpFailure(response.status, response.headers, body, data, self.provider, self._now())
        try:
            error = self._failures(failure)
        except Exception as problem:
            # A plugin's table that fails must not hide what the vendor said.
            error = error_for(failure)
            error.__cause__ = problem
        for secret in self._secrets:
            if secret in error.message:
                error.message = error.message.replace(secret, "***")
                error.args = (error.message,)
        if not error.provider:
            error.provider = self.provider
        return error

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


def _secrets_of(headers: Mapping[str, str]) -> list[str]:
    """Collect what must not show in an error, too short to be secret left out."""
    words = ("authorization", "key", "token", "secret")
    values = (
        value.rpartition(" ")[2] for name, value in headers.items() if any(word in name.lower() for word in words)
    )
    return [value for value in values if len(value) >= 6]


def _encode(data: Any) -> bytes:
    """Write a request's body.

    Raises:
        InvalidRequest: it holds what JSON cannot say, half a surrogate pair for example.
    """
    try:
        return orjson.dumps(data, default=_plain)
    except TypeError as error:
        raise InvalidRequest(f"the request cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
