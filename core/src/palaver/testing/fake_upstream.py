"""A vendor to test against: a raw TCP server that plays scripted answers, broken ones included.

Not a web framework, because those refuse to emit the illegal bytes that real vendors send. It records every
request and when its peer hung up. Loopback only.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, TypeAlias

import attrs

__all__ = ["STALL", "End", "FakeUpstream", "Framing", "Received", "Scripted"]


class Framing(Enum):
    """How the body's end is told."""

    #: ``Transfer-Encoding: chunked``, one chunk per piece.
    CHUNKED = "chunked"
    #: ``Content-Length``.
    LENGTH = "length"
    #: ``Connection: close``: the body ends when the connection does.
    CLOSE = "close"


class End(Enum):
    """What happens after the last piece."""

    #: The body ends as it should; the connection is kept, but for ``Framing.CLOSE``.
    FINISH = "finish"
    #: The connection is closed (FIN) without ending the body.
    CUT = "cut"
    #: The connection is reset (RST).
    RESET = "reset"
    #: Nothing more comes and the socket stays open.
    HOLD = "hold"


class _Stall:
    def __repr__(self) -> str:
        return "STALL"


#: A piece that never ends: from here on nothing comes and the socket stays open.
STALL = _Stall()

#: Bytes to write, seconds to wait, an event to wait for, or ``STALL``.
Piece: TypeAlias = "bytes | float | asyncio.Event | _Stall"


@attrs.frozen
class Scripted:
    """One answer. See ``FakeUpstream.answer`` for the fields."""

    pieces: tuple[Piece, ...]
    status: int = 200
    reason: str = "OK"
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = Framing.CHUNKED
    end: End = End.FINISH
    byte_by_byte: bool = False
    #: Written instead of everything above, as it is.
    raw: bytes | None = None
    #: Wait for this before the status line.
    before: Piece = b""


@attrs.define(eq=False)
class Received:
    """A request as it arrived. *connection* numbers the TCP connection it came on, from 1."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int
    #: Set when the peer closed its connection after this request.
    closed: asyncio.Event = attrs.field(factory=asyncio.Event)
    #: How many body bytes were written for it, framing not counted.
    sent: int = 0

    def header(self, name: str) -> str | None:
        """Give the first header *name*, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class FakeUpstream:
    """Serves scripted answers on a free port of 127.0.0.1 while its ``async with`` block runs.

    Args:
        tls: Serve HTTPS with this context.

    ``answer`` queues answers, one per request; the last one is repeated.
    """

    def __init__(self, *, tls: Any = None) -> None:
        self._tls = tls
        self._script: list[Scripted | Callable[[Received], Scripted]] = []
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._port = 0
        #: Every request, in order of arrival.
        self.requests: list[Received] = []
        #: How many connections were made.
        self.connections = 0

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def answer(
        self,
        body: bytes | str | Sequence[Piece] | Mapping[str, Any] = b"",
        *,
        status: int = 200,
        reason: str = "OK",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        content_type: str | None = None,
        framing: Framing = Framing.CHUNKED,
        end: End = End.FINISH,
        byte_by_byte: bool = False,
        before: Piece = b"",
    ) -> "FakeUpstream":
        """Queue an answer.

        Args:
            body: Bytes, text, a mapping (sent as JSON), or pieces: each ``bytes`` is one write, a number waits
                that many seconds, an ``asyncio.Event`` waits for it, ``STALL`` waits for ever.
            content_type: Overrides what the body suggests: JSON for a mapping, else SSE; ``""`` sends none.
            byte_by_byte: Write every byte on its own.
            before: Wait for this before answering at all.
        """
        if isinstance(body, Mapping):
            pieces: tuple[Piece, ...] = (json.dumps(body).encode(),)
            suggested = "application/json"
        else:
            suggested = "text/event-stream"
            if isinstance(body, str):
                body = body.encode()
            pieces = (body,) if isinstance(body, bytes) else tuple(body)
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if content_type is None and not any(name.lower() == "content-type" for name, _ in pairs):
            content_type = suggested
        if content_type:
            pairs.insert(0, ("Content-Type", content_type))
        self._script.append(Scripted(pieces, status, reason, tuple(pairs), framing, end, byte_by_byte, before=before))
        return self

    def answer_raw(self, raw: bytes, *, end: End = End.CUT, before: Piece = b"") -> "FakeUpstream":
        """Queue *raw* bytes, status line and all."""
        self._script.append(Scripted((), raw=raw, end=end, before=before))
        return self

    def answer_with(self, respond: Callable[[Received], Scripted]) -> "FakeUpstream":
        """Queue a function that makes the answer when the request is there."""
        self._script.append(respond)
        return self

    def clear(self) -> None:
        """Forget the script and the requests seen so far."""
        self._script.clear()
        self.requests.clear()

    async def received(self, count: int = 1) -> Received:
        """Wait until *count* requests have arrived and give the last of them."""
        while len(self.requests) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.requests[count - 1]

    async def __aenter__(self) -> "FakeUpstream":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)
        await self._server.wait_closed()

    def _protocol(self) -> "_Peer":
        self.connections += 1
        return _Peer(self, self.connections)

    async def serve(self, peer: "_Peer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until either side has enough; the peer's loss cancels this."""
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        peer.handler = handler
        try:
            while True:
                request = await _read_request(reader, peer.number)
                if request is None:
                    break
                peer.request = request
                self.requests.append(request)
                self._changed.set()
                if not self._script:
                    raise AssertionError(f"{request.method} {request.path} came, but no answer is scripted")
                entry = self._script[0] if len(self._script) == 1 else self._script.pop(0)
                scripted = entry if isinstance(entry, Scripted) else entry(request)
                if not await _write(writer, scripted, request):
                    break
        except (asyncio.CancelledError, ConnectionError):
            pass  # The peer has gone, or the test is over.
        finally:
            peer.handler = None
            self._handlers.discard(handler)
            writer.transport.abort() if peer.lost else writer.close()


class _Peer(asyncio.StreamReaderProtocol):
    """One connection; notices at once when the peer closes it, also while nothing is read."""

    def __init__(self, upstream: FakeUpstream, number: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await upstream.serve(self, reader, writer)

        super().__init__(asyncio.StreamReader(), serve)
        self.number = number
        self.lost = False
        self.handler: asyncio.Task[None] | None = None
        self.request: Received | None = None

    def eof_received(self) -> bool | None:
        self._lose()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()
        super().connection_lost(exc)

    def _lose(self) -> None:
        self.lost = True
        if self.request is not None:
            self.request.closed.set()
        if self.handler is not None:
            self.handler.cancel()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    fields = {name.lower(): value for name, value in headers}
    if "chunked" in fields.get("transfer-encoding", ""):
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(fields.get("content-length", "0")))
    return Received(method, path, headers, body, connection)


async def _write(writer: asyncio.StreamWriter, scripted: Scripted, request: Received) -> bool:
    """Write one answer; tells whether the connection goes on."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if scripted.before:
        await _wait(scripted.before)
    if scripted.raw is not None:
        writer.write(scripted.raw)
        await writer.drain()
    else:
        await _write_http(writer, scripted, request)
    if scripted.end is End.HOLD:
        await _wait(STALL)
    if scripted.end is End.RESET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    return scripted.end is End.FINISH and scripted.framing is not Framing.CLOSE


async def _write_http(writer: asyncio.StreamWriter, scripted: Scripted, request: Received) -> None:
    head = [f"HTTP/1.1 {scripted.status} {scripted.reason}"]
    head += [f"{name}: {value}" for name, value in scripted.headers]
    if scripted.framing is Framing.CHUNKED:
        head.append("Transfer-Encoding: chunked")
    elif scripted.framing is Framing.LENGTH:
        length = sum(len(piece) for piece in scripted.pieces if isinstance(piece, bytes))
        # A body that does not finish promised more than it holds.
        head.append(f"Content-Length: {length + (0 if scripted.end is End.FINISH else 1000)}")
    else:
        head.append("Connection: close")
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
    for piece in scripted.pieces:
        if not isinstance(piece, bytes):
            await writer.drain()
            await _wait(piece)
            continue
        for part in _parts(piece, scripted.byte_by_byte):
            chunked = scripted.framing is Framing.CHUNKED
            writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            await writer.drain()
            request.sent += len(part)
            # The reader gets its turn, so that one write is one read on loopback, mostly.
            await asyncio.sleep(0)
    if scripted.framing is Framing.CHUNKED and scripted.end is End.FINISH:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


def _parts(piece: bytes, byte_by_byte: bool) -> Sequence[bytes]:
    if not piece:
        return ()
    return [piece[index : index + 1] for index in range(len(piece))] if byte_by_byte else (piece,)


async def _wait(piece: Piece) -> None:
    if isinstance(piece, _Stall):
        await asyncio.get_running_loop().create_future()
    elif isinstance(piece, asyncio.Event):
        await piece.wait()
    elif not isinstance(piece, bytes):
        await asyncio.sleep(piece)
