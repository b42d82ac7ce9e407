"""Looking after open answers: a reader that takes nothing is cut off, and its slot and upstream are freed."""

import asyncio
import socket
from typing import Any

from palaver import TextDelta
from palaver.testing import FakeProvider
from palaver_server import body

FLOOD = [(TextDelta("x" * 65_536),)] * 1000


async def test_a_reader_that_takes_nothing_is_cut_off(start: Any) -> None:
    async with start(FakeProvider(FLOOD)) as server:
        loop = asyncio.get_running_loop()
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        with reader:
            await loop.sock_connect(reader, ("127.0.0.1", server.client.port))
            asked = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
            head = (
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-User-ID: ann\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(asked)}\r\n\r\n"
            )
            await loop.sock_sendall(reader, head.encode() + asked)
            await server.until(lambda: stalled(server, loop.time()))
            (stay,) = stays(server)
            # Back-pressure: the upstream is not read while the reader is behind.
            assert 1 == server.provider.open
            server.state.presence.round(loop.time() + 29)
            assert not stay.request.transport.is_closing()
            server.state.presence.round(loop.time() + 31)
            await server.until(lambda: server.provider.open == 0 and not stays(server))


async def test_a_client_that_leaves_in_the_middle_of_a_flood_ends_the_call(start: Any) -> None:
    async with start(FakeProvider(FLOOD)) as server:
        answer = await server.client.post(
            "/v1/chat/completions",
            json={"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
            headers={"X-User-ID": "ann"},
        )
        await answer.content.readany()
        answer.close()
        await server.until(lambda: server.provider.open == 0 and not stays(server))
        assert {("fake", "m", "cancelled"): 1} == dict(server.state.metrics._calls)


def stalled(server: Any, now: float) -> bool:
    return any(stay.events and stay.events.stalled_for(now) for stay in stays(server))


def stays(server: Any) -> tuple[Any, ...]:
    return tuple(server.state.presence._stays)


async def test_a_body_that_never_comes_is_408(start: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(body, "_GRACE", 0.05)
    async with start() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.client.port)
        writer.write(
            b"POST /v1/chat/send HTTP/1.1\r\nHost: localhost\r\nX-User-ID: ann\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        assert b"HTTP/1.1 408" in await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert [] == server.storage.writes


async def test_rounds_are_made_while_the_server_runs(start: Any) -> None:
    async with start(FakeProvider([FakeProvider.STALL])) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.client.port)
        asked = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-User-ID: ann\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(asked), asked)
        )
        await server.until(lambda: server.provider.open == 1)
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(1):
            # Only the server's own rounds: none is made from here.
            while server.provider.open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
