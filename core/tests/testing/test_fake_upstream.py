"""The fake vendor: what it writes is on the wire, what it saw is told, and it never hangs a test."""

import asyncio
import json

import pytest
from palaver.testing.fake_upstream import STALL, End, FakeUpstream, Framing, Scripted


async def talk(vendor, *, body=b"", path="/x"):
    """Send one request on a connection of its own and read until the vendor hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(vendor.url.rpartition(":")[2]))
    try:
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
        return await asyncio.wait_for(reader.read(), 2)
    finally:
        writer.close()


async def test_an_answer_is_written_as_scripted():
    async with FakeUpstream() as vendor:
        vendor.answer(b"hi", status=418, reason="Teapot", headers={"X-A": "b"}, framing=Framing.CLOSE)
        raw = await talk(vendor)
    assert b"HTTP/1.1 418 Teapot\r\nContent-Type: text/event-stream\r\nX-A: b\r\nConnection: close\r\n\r\nhi" == raw


async def test_raw_bytes_are_written_as_they_are():
    async with FakeUpstream() as vendor:
        vendor.answer_raw(b"\x00\xff not http")
        assert b"\x00\xff not http" == await talk(vendor)


@pytest.mark.parametrize(
    ("framing", "wire"),
    [
        (Framing.CHUNKED, b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n"),
        (Framing.LENGTH, b"Content-Length: 1003\r\n\r\nabc"),
        (Framing.CLOSE, b"Connection: close\r\n\r\nabc"),
    ],
)
async def test_a_cut_body_ends_without_its_end(framing, wire):
    async with FakeUpstream() as vendor:
        vendor.answer([b"ab", b"c"], framing=framing, end=End.CUT)
        assert (await talk(vendor)).endswith(wire)


async def test_a_reset_is_a_reset():
    async with FakeUpstream() as vendor:
        vendor.answer(b"ab", end=End.RESET)
        with pytest.raises(ConnectionResetError):
            await talk(vendor)


async def test_answers_come_in_turn_and_the_last_is_repeated():
    async with FakeUpstream() as vendor:
        vendor.answer(b"one", end=End.CUT).answer(b"two", end=End.CUT)
        bodies = [(await talk(vendor)).rpartition(b"\r\n\r\n3\r\n")[2][:3] for _ in range(3)]
    assert [b"one", b"two", b"two"] == bodies


async def test_requests_are_recorded():
    async with FakeUpstream() as vendor:
        vendor.answer({"a": 1}, framing=Framing.CLOSE)
        await talk(vendor, body=json.dumps({"q": 1}).encode(), path="/v1?x=y")
        (request,) = vendor.requests
    assert ("POST", "/v1?x=y", {"q": 1}, "x", 1) == (
        request.method,
        request.path,
        request.json,
        request.header("host"),
        request.connection,
    )


async def test_an_answer_may_depend_on_its_request():
    async with FakeUpstream() as vendor:
        vendor.answer_with(lambda request: Scripted((request.body[::-1],), framing=Framing.CLOSE))
        assert (await talk(vendor, body=b"abc")).endswith(b"cba")


async def test_a_peer_that_hangs_up_is_noticed_while_nothing_is_written():
    async with FakeUpstream() as vendor:
        vendor.answer([b"ab", STALL])
        reader, writer = await asyncio.open_connection("127.0.0.1", int(vendor.url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        request = await vendor.received()
        await reader.readuntil(b"ab")
        assert not request.closed.is_set()
        writer.close()
        await asyncio.wait_for(request.closed.wait(), 1)


async def test_a_stall_does_not_outlive_the_block():
    async with asyncio.timeout(2):
        async with FakeUpstream() as vendor:
            vendor.answer([STALL])
            reader, writer = await asyncio.open_connection("127.0.0.1", int(vendor.url.rpartition(":")[2]))
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await vendor.received()
        await reader.read()
        writer.close()


async def test_a_piece_may_wait_for_an_event():
    go = asyncio.Event()
    async with FakeUpstream() as vendor:
        vendor.answer([b"ab", go, b"cd"], framing=Framing.CLOSE)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(vendor.url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"ab")
        go.set()
        assert b"cd" == await reader.read()
        writer.close()
