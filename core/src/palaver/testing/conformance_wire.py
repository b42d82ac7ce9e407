"""A stand-in for a vendor: it answers every request with one exchange, whole, cut, torn or held back.

Exchanges are the files that ``palaver.testing.replay`` reads. Beside ``response`` they may have ``expected``: what
must come out.
"""

import json
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs

from palaver.contracts import PluginContext
from palaver.settings import Secret
from palaver.testing.fake_upstream import STALL, End, FakeUpstream, Framing, Received, Scripted
from palaver.testing.replay import Exchange
from palaver.upstream.connections import Connections
from palaver.upstream.interface import Deadlines

__all__ = [
    "Delivery",
    "StandIn",
    "bytewise",
    "deliver",
    "expected_of",
    "faults",
    "half",
    "kept_open",
    "open_context",
    "plain",
    "refused_vendor",
    "serve",
]

#: Short, because nothing in a conformance run is far away.
DEADLINES = Deadlines(connect=2.0, first_byte=5.0, idle=5.0, total=20.0)
#: Where an error body repeats the caller's key.
_KEY_PLACE = b"<<key>>"
_CONTENT_TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}


@attrs.frozen
class Delivery:
    """What a stand-in answers, with a name for messages."""

    name: str
    scripted: Scripted


@attrs.frozen
class StandIn:
    """The vendor as a provider's configuration sees it: its ``url``, and a ``key`` that it can recognise."""

    url: str
    key: Secret
    #: What came in, in order.
    requests: Sequence[Received] = ()

    @property
    def busy(self) -> bool:
        """Whether the connection of a request is still open."""
        return not all(request.closed.is_set() for request in self.requests)


# --- exchanges and what is done to them ----------------------------------------------------------------------------


def expected_of(exchange: Exchange) -> Mapping[str, Any]:
    """Give what the file of *exchange* says must come out."""
    expected = exchange.data.get("expected")
    return expected if isinstance(expected, dict) else {}


def deliver(exchange: Exchange) -> Delivery:
    """Deliver *exchange* as it was recorded, in one piece."""
    return _delivery("as recorded", exchange, exchange.body)


def bytewise(exchange: Exchange) -> Delivery:
    """Deliver *exchange* byte by byte."""
    delivery = _delivery("byte by byte", exchange, exchange.body)
    return attrs.evolve(delivery, scripted=attrs.evolve(delivery.scripted, byte_by_byte=True))


def kept_open(exchange: Exchange) -> Delivery:
    """Deliver all of *exchange*, and neither end the body nor close the connection."""
    return _delivery("kept open", exchange, exchange.body, end=End.HOLD)


def half(exchange: Exchange, end: End, *, torn: bool = False) -> Delivery:
    """Deliver the first half of the frames of *exchange*, then end so; *torn* adds half of the next frame."""
    separator = rb".+?(?:\n|$)" if exchange.stream == "ndjson" else rb".+?(?:\r?\n\r?\n|$)"
    frames = re.findall(separator, exchange.body, re.DOTALL)
    middle = (len(frames) + 1) // 2
    body = b"".join(frames[:middle])
    if torn and middle < len(frames):
        body += frames[middle][: len(frames[middle]) // 2]
    name = f"{end.value} after {middle} of {len(frames)} frames{', inside the next' if torn else ''}"
    # A connection that promised no length is the one whose loss is easily taken for the end.
    framing = Framing.CLOSE if end is End.CUT else Framing.CHUNKED
    return _delivery(name, exchange, body, framing=framing, end=end)


def plain(status: int, *, retry_after: float | None = None, echo: bool = False) -> Delivery:
    """Answer with an error that has a status and no vendor's words; *echo* repeats the caller's key."""
    said = "the key <<key>> is not welcome" if echo else f"conformance {status}"
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
    return _delivery(f"status {status}", _made_up(status, headers), json.dumps({"error": {"message": said}}))


def faults() -> tuple[Delivery, ...]:
    """List answers no vendor should give; some do."""
    kinds = ("text/html", "application/json", "text/event-stream")
    html, js, sse = (_made_up(200, {"content-type": kind}) for kind in kinds)
    return (
        _delivery("a web page", html, "<!doctype html><title>welcome</title>"),
        _delivery("an empty JSON object", js, "{}"),
        _delivery("a JSON list", js, "[1]"),
        _delivery("broken JSON", js, '{"id": '),
        _delivery("an empty body", js, ""),
        _delivery("an empty stream", sse, ""),
        _delivery("a stream of nothing", sse, ": hello\n\n"),
        _delivery("a stream of broken JSON", sse, 'data: {"id": \n\n'),
        _delivery("a stream of numbers", sse, "data: 1\n\n"),
        _delivery("a reset before the body", sse, "", end=End.RESET),
        _delivery("a redirect", _made_up(302, {"location": "http://127.0.0.1:9/"}), ""),
        Delivery("no answer", Scripted((), raw=b"", end=End.CUT)),
        Delivery("something that is not HTTP", Scripted((), raw=b"220 mail.example ESMTP\r\n", end=End.CUT)),
    )


def _made_up(status: int, headers: Mapping[str, str]) -> Exchange:
    return Exchange("made up", status, headers, b"")


def _delivery(
    name: str,
    exchange: Exchange,
    body: bytes | str,
    *,
    framing: Framing = Framing.CHUNKED,
    end: End = End.FINISH,
) -> Delivery:
    data = body.encode() if isinstance(body, str) else body
    headers = tuple(exchange.headers.items())
    if not any(key.lower() == "content-type" for key, _ in headers):
        headers += (("Content-Type", _CONTENT_TYPES.get(exchange.stream or "", "application/json")),)
    pieces = (data, STALL) if end is End.HOLD else (data,)
    return Delivery(name, Scripted(pieces, exchange.status, "Stand-in", headers, framing, end))


# --- the vendor, and what a provider opens with --------------------------------------------------------------------


def _new_key() -> Secret:
    return Secret(f"sk-conformance-{secrets.token_hex(12)}")


@asynccontextmanager
async def serve(delivery: Delivery) -> AsyncIterator[StandIn]:
    """Run a vendor on a free port of loopback that answers every request with *delivery*."""
    key = _new_key()

    def speak(piece: Any) -> Any:
        return piece.replace(_KEY_PLACE, key.reveal().encode()) if isinstance(piece, bytes) else piece

    def respond(request: Received) -> Scripted:
        return attrs.evolve(delivery.scripted, pieces=tuple(map(speak, delivery.scripted.pieces)))

    async with FakeUpstream() as upstream:
        upstream.answer_with(respond)
        yield StandIn(upstream.url, key, upstream.requests)


@contextmanager
def refused_vendor() -> Iterator[StandIn]:
    """Give a vendor whose port nobody listens on."""
    with socket.socket() as bound:
        # Bound but not listening: the port stays ours, and a connection is refused.
        bound.bind(("127.0.0.1", 0))
        yield StandIn(f"http://127.0.0.1:{bound.getsockname()[1]}", _new_key())


@asynccontextmanager
async def open_context(instance: str, warn: Callable[[str], None]) -> AsyncIterator[PluginContext]:
    """Give the context core would give, with real connections and short deadlines."""
    connections = Connections()
    try:
        yield PluginContext(instance, connections.open_upstream, deadlines=DEADLINES, warn=warn)
    finally:
        await connections.aclose()
