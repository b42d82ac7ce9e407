"""A vendor for benchmarks: OpenAI-shaped answers over raw asyncio, so that it costs next to nothing.

usage: upstream.py PORT. The request's model says what to answer: ``json`` or ``sse:CHUNKS:DELAY_MS``.
Each content chunk carries the time it was sent, so that a client can tell how long the way took.
"""

import asyncio
import re
import sys
import time
from typing import cast

_USAGE = '"usage":{"prompt_tokens":20,"completion_tokens":20,"total_tokens":40}'
_HEAD = '"id":"c1","created":1,"model":"m"'


def json_answer() -> bytes:
    body = (
        f'{{{_HEAD},"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"@'
        f'{time.time_ns() // 1000:016d} {"word " * 20}"}},"finish_reason":"stop"}}],{_USAGE}}}'
    ).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def event(choices: str, more: str = "") -> bytes:
    data = f'data: {{{_HEAD},"object":"chat.completion.chunk","choices":[{choices}]{more}}}\n\n'.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def content() -> bytes:
    return event(f'{{"index":0,"delta":{{"content":"@{time.time_ns() // 1000:016d} "}},"finish_reason":null}}')


LAST = (
    event('{"index":0,"delta":{},"finish_reason":"stop"}')
    + event("", "," + _USAGE)
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Vendor(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"content-length: *(\d+)", self.buffer[:end], re.IGNORECASE)
            total = end + 4 + (int(length.group(1)) if length else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        wanted = re.search(rb'"model": *"[^"]*?sse:(\d+):(\d+)"', body)
        if wanted is None:
            self.transport.write(json_answer())
            return
        chunks, delay = int(wanted.group(1)), int(wanted.group(2)) / 1000
        if delay:
            self.transport.write(SSE_HEAD)
            self.tick(chunks, delay)
        else:
            self.transport.write(SSE_HEAD + b"".join(content() for _ in range(chunks)) + LAST)

    def tick(self, left: int, delay: float) -> None:
        if self.transport.is_closing():
            return
        if left == 0:
            self.transport.write(LAST)
            return
        self.transport.write(content())
        asyncio.get_running_loop().call_later(delay, self.tick, left - 1, delay)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(int(sys.argv[1])))
    except ImportError:
        asyncio.run(main(int(sys.argv[1])))
