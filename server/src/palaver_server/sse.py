"""An answer as server-sent events: aiohttp-sse for headers and keep-alives, whole blocks on the hot path.

Wire format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web
from aiohttp_sse import EventSourceResponse

__all__ = ["DONE", "EventStream", "frame"]

DONE = b"data: [DONE]\n\n"


def frame(data: bytes, *, event: bytes = b"", event_id: str = "") -> bytes:
    """Build one frame around *data*, which is one line."""
    head = b"event: " + event + b"\n" if event else b""
    if event_id:
        head += b"id: " + event_id.encode() + b"\n"
    return head + b"data: " + data + b"\n\n"


class EventStream(EventSourceResponse):
    """A response that takes blocks of frames.

    Args:
        keepalive: Seconds between comments that keep proxies from closing the connection.
        send_timeout: Seconds for which the kernel may hold what the peer does not acknowledge.
    """

    #: The headers leave with the first block: one packet and one system call less for each stream.
    _send_headers_immediately = False

    def __init__(self, headers: Mapping[str, str], *, keepalive: float, send_timeout: float = 30.0) -> None:
        super().__init__(
            headers=headers,
            sep="\n",
            allow_all_methods=True,
            ping_interval=min(keepalive, 15.0),
            send_timeout=send_timeout,
        )
        self._loop = asyncio.get_running_loop()
        self._writing_since: float | None = None

    async def begin(self, request: web.Request) -> None:
        """Get the headers ready, unless they are out already; they leave with the first block."""
        if not self.prepared:
            await self.prepare(request)

    async def put(self, block: bytes) -> None:
        """Write whole frames in one piece; waits while the reader is behind.

        Raises:
            ConnectionError: the reader is gone.
        """
        if not block:
            return
        self._writing_since = self._loop.time()
        try:
            await self.write(block)
        finally:
            self._writing_since = None

    def stalled_for(self, now: float) -> float:
        """Tell for how many seconds the write under way has waited."""
        since = self._writing_since
        return 0.0 if since is None else now - since

    async def finish(self) -> None:
        """End the keep-alives; the body is ended by returning the response."""
        if self.prepared:
            self.stop_streaming()
            await self.wait()
