"""An open answer: the body read as it comes, decoded by its kind into the frames of each read."""

import asyncio
from collections.abc import Mapping, Sequence

from aiohttp import ClientResponse

from palaver.errors import UpstreamMalformed
from palaver.upstream.interface import AnswerKind, Frame
from palaver.upstream.ndjson import NdjsonDecoder
from palaver.upstream.network_errors import NETWORK_ERRORS, reading_error
from palaver.upstream.sse import FRAME_CAP, SseDecoder

__all__ = ["HttpAnswer", "read_rest"]

#: Seconds that a finished answer may take to end its body, so that its connection can be kept.
_DRAIN_LIMIT = 1.0


class HttpAnswer:
    """An open answer. See ``palaver.Answer``."""

    __slots__ = ("_decoder", "_ended", "_first", "_provider", "_read", "headers", "kind", "response", "status")

    def __init__(self, provider: str, response: ClientResponse, kind: AnswerKind, first: bytes) -> None:
        self._provider = provider
        self.response = response
        self.kind = kind
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._first: bytes | None = first
        self._read = response.content.readany
        self._ended = False
        self._decoder: SseDecoder | NdjsonDecoder | _Whole
        if kind is AnswerKind.SSE:
            self._decoder = SseDecoder(provider=provider)
        elif kind is AnswerKind.NDJSON:
            self._decoder = NdjsonDecoder(provider=provider)
        else:
            # Without a length and without chunks only the closed connection ends the body, cut or not.
            delimited = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
            self._decoder = _Whole(provider, complete=delimited)

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
                except NETWORK_ERRORS as error:
                    self._ended = True
                    raise reading_error(error, self._provider) from error
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
    except NETWORK_ERRORS:
        pass  # The answer was complete without it; only the connection is lost.
    finally:
        response.close()
