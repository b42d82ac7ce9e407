"""Replays recorded exchanges: through a real provider over a real socket, or through a pure decoder.

An exchange is one HTTP request and its answer as a JSON file: ``request`` {method, url, headers, body} or null, and
``response`` {status, headers, stream: sse, ndjson or null, and ``body`` (JSON) or ``body_text``}. Everything beside
them describes where it came from. Authors can record their own in this shape.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs

from palaver.contracts import PluginContext
from palaver.domain import ChatRequest, Completion, Message, Role, ServedBy
from palaver.errors import PalaverError
from palaver.events import Batch, StreamEvent
from palaver.fold import Fold
from palaver.ids import random_id
from palaver.pipeline.stream import OpenedStream
from palaver.specs import ProviderSpec
from palaver.testing.fake_upstream import End, FakeUpstream, Framing
from palaver.upstream.connections import Connections
from palaver.upstream.interface import AnswerKind, Deadlines, Frame
from palaver.upstream.ndjson import NdjsonDecoder
from palaver.upstream.sse import SseDecoder

__all__ = [
    "Exchange",
    "FrameMapper",
    "Replayer",
    "decode",
    "decode_until",
    "load_exchange",
    "replay",
    "split_everywhere",
]

#: Headers that belong to how the exchange was delivered when it was recorded.
_FRAMING = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection", "date"})


@attrs.frozen
class Exchange:
    """A recorded exchange. *body* is the answer's body as bytes, whatever form the file keeps it in."""

    id: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    #: ``sse``, ``ndjson`` or ``None`` for a whole document.
    stream: str | None = None
    request: Mapping[str, Any] | None = None
    #: The whole file.
    data: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def features(self) -> frozenset[str]:
        """What the file says it shows."""
        return frozenset(self.data.get("features", ()))

    def serve(
        self,
        upstream: FakeUpstream,
        *,
        cut_at: int | None = None,
        end: End = End.FINISH,
        framing: Framing = Framing.CHUNKED,
        byte_by_byte: bool = False,
    ) -> None:
        """Queue the answer at *upstream*; *cut_at* keeps that many bytes of the body."""
        upstream.answer(
            self.body if cut_at is None else self.body[:cut_at],
            status=self.status,
            headers=self.headers,
            content_type="",
            framing=framing,
            end=end,
            byte_by_byte=byte_by_byte,
        )


def load_exchange(path: Path) -> Exchange:
    """Read the exchange in the file *path*; one without an ``id`` is called after its file."""
    data = json.loads(path.read_text("utf-8"))
    response = data["response"]
    headers = {
        str(name): str(value)
        for name, value in (response.get("headers") or {}).items()
        if value is not None and name.lower() not in _FRAMING
    }
    text = response.get("body_text")
    if text is None:
        text = json.dumps(response.get("body"), ensure_ascii=False)
    body = text.encode("utf-8", "surrogatepass")
    return Exchange(
        data.get("id", path.stem), response["status"], headers, body, response.get("stream"), data.get("request"), data
    )


# --- pure ------------------------------------------------------------------------------------------------------------


class FrameMapper(Protocol):
    """A provider's state machine, as ``decode`` drives it. ``over`` tells that nothing more is to be read."""

    over: bool

    def feed(self, frames: Sequence[Frame]) -> Batch: ...

    def finish(self) -> Batch: ...


def decode(pieces: Iterable[bytes], mapper: FrameMapper, *, kind: AnswerKind = AnswerKind.SSE) -> list[StreamEvent]:
    """Run *pieces* of a body through the decoder of *kind* and *mapper*, without I/O; give all events.

    Raises:
        PalaverError: what the decoder or the mapper raised; ``decode_until`` also gives the events before it.
    """
    events, error = decode_until(pieces, mapper, kind=kind)
    if error is not None:
        raise error
    return events


def decode_until(
    pieces: Iterable[bytes], mapper: FrameMapper, *, kind: AnswerKind = AnswerKind.SSE
) -> tuple[list[StreamEvent], PalaverError | None]:
    """Run *pieces* like ``decode``; give the events, and the error that ended them, if one did."""
    decoder = NdjsonDecoder() if kind is AnswerKind.NDJSON else SseDecoder()
    events: list[StreamEvent] = []
    try:
        for frames in _reads(pieces, decoder, kind):
            events += mapper.feed(frames)
            if mapper.over:
                break
        events += mapper.finish()
    except PalaverError as error:
        return events, error
    return events, None


def _reads(pieces: Iterable[bytes], decoder: SseDecoder | NdjsonDecoder, kind: AnswerKind) -> Iterator[Sequence[Frame]]:
    if kind is AnswerKind.JSON:
        yield (Frame(b"".join(pieces), complete=False),)
        return
    for piece in pieces:
        yield decoder.feed(piece)
    yield decoder.finish()


def split_everywhere(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give every way to split *body* into two reads."""
    for position in range(len(body) + 1):
        yield body[:position], body[position:]


# --- over a socket ---------------------------------------------------------------------------------------------------


class Replayer:
    """A provider in front of a vendor that replays what was recorded. Make one with ``Replayer.open``."""

    def __init__(self, upstream: FakeUpstream, provider: Any, name: str, deadlines: Deadlines) -> None:
        #: The vendor; script it further, or look at what it received.
        self.upstream = upstream
        #: What the plugin's ``open`` yielded.
        self.provider = provider
        self._name = name
        self._deadlines = deadlines

    @staticmethod
    @asynccontextmanager
    async def open(
        spec: ProviderSpec[Any], config: Any, *, path: str = "", deadlines: Deadlines | None = None
    ) -> AsyncIterator["Replayer"]:
        """Open *spec* with *config*, its ``base_url`` replaced by the replaying vendor's, plus *path*."""
        deadlines = deadlines or Deadlines(connect=2.0, first_byte=5.0, idle=5.0, total=20.0)
        connections = Connections()
        try:
            async with FakeUpstream() as upstream:
                context = PluginContext(spec.name, connections.open_upstream, new_id=random_id, deadlines=deadlines)
                placed = attrs.evolve(config, base_url=upstream.url + path)
                async with spec.open(placed, context) as provider:
                    yield Replayer(upstream, provider, spec.name, deadlines)
        finally:
            await connections.aclose()

    async def events(self, request: ChatRequest) -> tuple[list[StreamEvent], PalaverError | None]:
        """Ask what is scripted, through core's own stream: the events, and the error that ended them."""
        events: list[StreamEvent] = []
        stream = OpenedStream(
            self.provider.stream(request),
            served_by=ServedBy(self._name, request.model, self._name),
            idle=self._deadlines.idle,
            total=self._deadlines.total,
        )
        try:
            async with aclosing(stream):
                async for batch in stream:
                    events += batch
        except PalaverError as error:
            return events, error
        return events, None

    async def replay(
        self, exchange: Exchange, *, request: ChatRequest | None = None, **how: Any
    ) -> Completion | PalaverError:
        """Replay one exchange: the folded answer, or the error it became. *how* is for ``Exchange.serve``."""
        self.upstream.clear()
        exchange.serve(self.upstream, **how)
        if request is None:
            request = ChatRequest("replayed", (Message(Role.USER, "replay"),), streaming=exchange.stream is not None)
        events, error = await self.events(request)
        if error is not None:
            return error
        fold = Fold()
        fold.feed(events)
        return fold.completion()


async def replay(
    spec: ProviderSpec[Any], config: Any, exchange: Exchange, *, path: str = "", **how: Any
) -> Completion | PalaverError:
    """Replay one exchange through a freshly opened provider; see ``Replayer``."""
    async with Replayer.open(spec, config, path=path) as replayer:
        return await replayer.replay(exchange, **how)
