"""A load generator over raw asyncio connections: requests one after the other on each of many connections.

usage: load.py PORT CONNECTIONS REQUESTS_PER_CONNECTION MODEL STREAM(0|1) [HEADER ...]. Prints one JSON line.
"""

import asyncio
import json
import re
import statistics
import sys
import time
from typing import cast

_STAMP = re.compile(rb"@(\d{16})")


def request(model: str, stream: bool, headers: list[str]) -> bytes:
    messages = [
        {"role": "system", "content": "You are a helpful assistant. " * 8},
        {"role": "user", "content": "Explain how a reverse proxy works in two sentences."},
    ]
    body = json.dumps({"model": model, "messages": messages, **({"stream": True} if stream else {})}).encode()
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Client(asyncio.Protocol):
    """One connection: sends a request, reads the answer to its end, and again."""

    def __init__(self, payload: bytes, times: int) -> None:
        self.payload = payload
        self.left = times
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.first: list[float] = []
        self.delays: list[float] = []
        self.errors = 0
        self.marks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self.send()

    def send(self) -> None:
        self.buffer = b""
        self.started = time.perf_counter()
        self.got_first = False
        self.transport.write(self.payload)

    def data_received(self, data: bytes) -> None:
        now = time.time_ns() // 1000
        for stamp in _STAMP.findall(data):
            self.marks += 1
            self.delays.append((now - int(stamp)) / 1000)
            if not self.got_first:
                self.got_first = True
                self.first.append((time.perf_counter() - self.started) * 1000)
        self.buffer += data
        if self.whole():
            self.finish()

    def whole(self) -> bool:
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        return len(rest) >= int(length.group(1)) if length else rest.endswith(b"0\r\n\r\n")

    def finish(self) -> None:
        self.latencies.append((time.perf_counter() - self.started) * 1000)
        good = self.buffer.startswith(b"HTTP/1.1 200") and b"@" in self.buffer
        self.errors += not good
        self.left -= 1
        if self.left > 0:
            self.send()
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.errors += self.left
            self.done.set_result(None)


def percentile(values: list[float], share: float) -> float | None:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 3) if values else None


async def main() -> None:
    port, connections, times, model, stream = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6]
    payload = request(model, stream == "1", sys.argv[6:])
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(payload, times), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    async with asyncio.timeout(120):
        await asyncio.gather(*(client.done for client in clients))
    seconds = time.perf_counter() - started
    latencies = [value for client in clients for value in client.latencies]
    delays = [value for client in clients for value in client.delays]
    first = [value for client in clients for value in client.first]
    print(
        json.dumps(
            {
                "requests": len(latencies),
                "errors": sum(client.errors for client in clients),
                "chunks": sum(client.marks for client in clients),
                "seconds": seconds,
                "latency_p50": round(statistics.median(latencies), 3) if latencies else None,
                "latency_p99": percentile(latencies, 0.99),
                "first_p50": percentile(first, 0.5),
                "delay_p50": percentile(delays, 0.5),
                "delay_p99": percentile(delays, 0.99),
            }
        )
    )


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
