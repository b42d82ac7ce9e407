"""The HTTP client over real sockets: what is sent, what comes back, and every way in which it can fail."""

import asyncio
import gzip
import socket
import zlib
from types import MappingProxyType

import orjson
import pytest
from palaver import (
    AnswerKind,
    ConfigError,
    Deadlines,
    Frame,
    InvalidRequest,
    Overloaded,
    ProviderAuthFailed,
    ProviderRejected,
    RateLimited,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)
from palaver.testing.fake_upstream import STALL, End, FakeUpstream, Framing
from palaver.upstream.connections import Connections

EVENTS = b"data: one\n\ndata: two\n\n"
TWO = [Frame(b"one"), Frame(b"two")]


async def read(answer):
    return [frame async for frames in answer for frame in frames]


async def post(upstream, accept=AnswerKind.SSE, **how):
    async with upstream.post("/chat", json={"q": 1}, accept=accept, **how) as answer:
        return answer.kind, await read(answer)


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_a_request_carries_json_and_the_standing_headers(vendor, upstream):
    vendor.answer(EVENTS)
    assert (AnswerKind.SSE, TWO) == await post(upstream, headers={"X-Extra": "1"})
    (request,) = vendor.requests
    assert ("POST", "/chat", {"q": 1}) == (request.method, request.path, request.json)
    assert "application/json" == request.header("content-type")
    assert "text/event-stream" == request.header("accept")
    assert "Bearer top-secret-key" == request.header("authorization")
    assert "1" == request.header("x-extra")
    assert request.header("cookie") is None


async def test_extra_headers_are_not_remembered(vendor, upstream):
    vendor.answer(EVENTS)
    await post(upstream, headers={"X-Extra": "1"})
    await post(upstream)
    assert vendor.requests[1].header("x-extra") is None


async def test_a_raw_body_is_sent_as_it_is(vendor, upstream):
    vendor.answer(EVENTS)
    async with upstream.post("/chat", body=b"{}") as answer:
        await read(answer)
    assert b"{}" == vendor.requests[0].body


@pytest.mark.parametrize("body", ["half of \ud83d a pair", {1, 2}, {5: 6}])
async def test_a_body_that_is_no_json_is_the_callers_error(vendor, upstream, body):
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        upstream.post("/chat", json={"x": body})


async def test_any_mapping_is_an_object(vendor, upstream):
    vendor.answer(EVENTS)
    async with upstream.post("/chat", json={"schema": MappingProxyType({"type": "object"})}) as answer:
        await read(answer)
    assert {"schema": {"type": "object"}} == vendor.requests[0].json


async def test_a_body_of_several_megabytes_arrives_whole(vendor, upstream):
    vendor.answer(EVENTS)
    async with upstream.post("/chat", json={"image": "x" * 3_000_000}) as answer:
        await read(answer)
    assert 3_000_012 == len(vendor.requests[0].body)


async def test_cookies_are_not_kept(vendor, upstream):
    vendor.answer(EVENTS, headers={"Set-Cookie": "a=b"})
    await post(upstream)
    await post(upstream)
    assert vendor.requests[1].header("cookie") is None


async def test_get_gives_the_document(vendor, upstream):
    vendor.answer({"data": [1, 2]})
    assert {"data": [1, 2]} == await upstream.get("/models")
    assert ("GET", "application/json") == (vendor.requests[0].method, vendor.requests[0].header("accept"))


async def test_the_base_url_keeps_its_path(vendor, connections):
    vendor.answer({})
    async with connections.open_upstream(f"{vendor.url}/v1/", provider="acme") as upstream:
        await upstream.get("/models?limit=%2F")
    assert "/v1/models?limit=%2F" == vendor.requests[0].path


@pytest.mark.parametrize("url", ["", "example.com/v1", "ftp://example.com", "http://"])
async def test_a_base_url_that_is_none_is_refused(connections, url):
    with pytest.raises(ConfigError, match="base_url"):
        async with connections.open_upstream(url, provider="acme"):
            pass


# --- connections are kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.LENGTH])
async def test_a_connection_is_used_again_after_an_answer_was_read(vendor, upstream, framing):
    vendor.answer(EVENTS, framing=framing)
    for _ in range(3):
        await post(upstream)
    assert 1 == vendor.connections


async def test_a_connection_is_used_again_after_a_document_and_after_an_error(vendor, upstream):
    vendor.answer({}).answer({"error": "x"}, status=400).answer(EVENTS)
    await post(upstream, AnswerKind.JSON)
    with pytest.raises(ProviderRejected):
        await post(upstream)
    await post(upstream)
    assert 1 == vendor.connections


async def test_a_reader_that_has_enough_keeps_the_connection_when_the_body_ends_soon(vendor, upstream):
    rest = asyncio.Event()
    vendor.answer([b"data: [DONE]\n\n", rest]).answer(EVENTS)
    async with upstream.post("/chat", json={}) as answer:
        async for _ in answer:
            break
    rest.set()
    async with asyncio.timeout(2):
        # The rest is read in the background; until then a request gets a connection of its own.
        while vendor.requests[-1].connection != 1 or len(vendor.requests) == 1:
            await post(upstream)


async def test_a_reader_that_fails_closes_the_connection_at_once(vendor, upstream):
    vendor.answer([EVENTS, STALL])
    with pytest.raises(RuntimeError):
        async with upstream.post("/chat", json={}) as answer:
            async for _ in answer:
                raise RuntimeError
    await asyncio.wait_for(vendor.requests[0].closed.wait(), 1)


@pytest.mark.parametrize("before_headers", [True, False])
async def test_cancelling_closes_the_connection(vendor, upstream, before_headers):
    vendor.answer([EVENTS, STALL], before=STALL if before_headers else b"")
    reading = asyncio.Event()

    async def read_on():
        async with upstream.post("/chat", json={}) as answer:
            async for _ in answer:
                reading.set()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(read_on())
        request = await vendor.received()
        if not before_headers:
            await reading.wait()
        task.cancel()
    await asyncio.wait_for(request.closed.wait(), 1)


async def test_closing_the_connections_does_not_wait_for_a_body_that_does_not_end(vendor):
    connections = Connections()
    vendor.answer([EVENTS, STALL])
    async with (
        connections.open_upstream(vendor.url, provider="acme") as upstream,
        upstream.post("/", json={}) as answer,
    ):
        async for _ in answer:
            break
    await asyncio.wait_for(connections.aclose(), 0.5)
    await connections.aclose()
    await asyncio.wait_for(vendor.requests[0].closed.wait(), 1)
    with pytest.raises(RuntimeError, match="closed"):
        connections.session()


# --- what kind of answer it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream; charset=latin1", "", "text/plain"])
async def test_a_stream_of_events_is_known_by_type_or_by_its_first_byte(vendor, upstream, content_type):
    vendor.answer(EVENTS, content_type=content_type)
    assert (AnswerKind.SSE, TWO) == await post(upstream)


async def test_an_event_stream_that_is_declared_json_is_still_one(vendor, upstream):
    vendor.answer(b"\xef\xbb\xbf\n : hello\n\n" + EVENTS, content_type="application/json")
    assert (AnswerKind.SSE, TWO) == await post(upstream, AnswerKind.JSON)


@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json", "", "text/event-stream"])
async def test_a_document_for_a_streaming_request_is_one_frame(vendor, upstream, content_type):
    vendor.answer([b' {"a":', b"1}"], content_type=content_type)
    kind, (frame,) = await post(upstream)
    assert (AnswerKind.JSON, {"a": 1}) == (kind, frame.json())


@pytest.mark.parametrize("content_type", ["application/x-ndjson", ""])
async def test_lines_of_json_are_frames(vendor, upstream, content_type):
    vendor.answer(b'{"a":1}\n{"b":2}\n', content_type=content_type)
    assert (AnswerKind.NDJSON, [Frame(b'{"a":1}'), Frame(b'{"b":2}')]) == await post(upstream, AnswerKind.NDJSON)


async def test_a_first_byte_alone_tells_the_kind(vendor, upstream):
    vendor.answer(EVENTS, content_type="", byte_by_byte=True)
    assert (AnswerKind.SSE, TWO) == await post(upstream)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"<html>", "text/html; charset=utf-8", "web page"),
        (b"<html>", "", "neither JSON nor a stream"),
        (b"", "application/json", "empty body"),
        (b"", "", "empty body"),
        (b"\n\n", "application/json", "empty body"),
    ],
)
async def test_a_body_that_is_no_answer_is_malformed(vendor, upstream, body, content_type, words):
    vendor.answer(body, content_type=content_type)
    with pytest.raises(UpstreamMalformed, match=f"acme answered 200 with .*{words}"):
        await post(upstream)


async def test_an_empty_stream_has_no_frames(vendor, upstream):
    vendor.answer(b"")
    assert (AnswerKind.SSE, []) == await post(upstream)


# --- failures before the answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ProviderRejected), (401, ProviderAuthFailed), (429, RateLimited), (500, UpstreamFailed), (529, Overloaded)],
)
async def test_an_error_status_raises_on_entry(vendor, upstream, status, kind):
    vendor.answer({"error": {"message": "no"}}, status=status, headers={"Retry-After": "3"})
    with pytest.raises(kind) as raised:
        await post(upstream)
    assert (status, 3.0, "acme") == (raised.value.upstream_status, raised.value.retry_after, raised.value.provider)


async def test_the_failure_table_sees_the_whole_failure(vendor, connections):
    seen = []

    def table(failure):
        seen.append(failure)
        return Overloaded("full")

    vendor.answer({"error": "x"}, status=418, headers={"X-A": "b"})
    async with connections.open_upstream(vendor.url, provider="acme", failures=table) as upstream:
        with pytest.raises(Overloaded) as raised:
            await post(upstream)
    (failure,) = seen
    assert (418, "b", {"error": "x"}, "acme") == (
        failure.status,
        failure.headers["x-a"],
        failure.data,
        failure.provider,
    )
    assert "acme" == raised.value.provider


async def test_a_failure_table_that_fails_does_not_hide_the_failure(vendor, connections):
    def table(failure):
        return failure.data["no such field"]

    vendor.answer({"error": "x"}, status=503)
    async with connections.open_upstream(vendor.url, provider="acme", failures=table) as upstream:
        with pytest.raises(Overloaded) as raised:
            await post(upstream)
    assert KeyError is type(raised.value.__cause__)


async def test_our_key_is_not_shown_though_the_vendor_repeats_it(vendor, upstream):
    vendor.answer({"error": {"message": "what is top-secret-key?"}}, status=401)
    with pytest.raises(ProviderAuthFailed, match=r"what is \*\*\*\?"):
        await post(upstream)


async def test_an_error_body_is_read_up_to_a_cap(vendor, upstream):
    vendor.answer([b"x" * 50_000, b"x" * 50_000, STALL], status=500, content_type="text/plain")
    with pytest.raises(UpstreamFailed):
        await asyncio.wait_for(post(upstream), 2)


async def test_a_cut_error_body_is_still_the_error(vendor, upstream):
    vendor.answer(b'{"error":', status=503, end=End.CUT)
    with pytest.raises(Overloaded):
        await post(upstream)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(vendor, upstream, status):
    async with FakeUpstream() as other:
        other.answer(EVENTS)
        vendor.answer(b"", status=status, headers={"Location": f"{other.url}/chat"})
        with pytest.raises(UpstreamMalformed, match="redirects are not followed"):
            await post(upstream)
        assert [] == other.requests


async def test_100_continue_is_passed_over(vendor, upstream):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(EVENTS)
    vendor.answer_raw(b"HTTP/1.1 100 Continue\r\n\r\n" + head + EVENTS)
    assert (AnswerKind.SSE, TWO) == await post(upstream)


@pytest.mark.parametrize("raw", [b"not http at all\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"])
async def test_what_is_not_http_is_malformed(vendor, upstream, raw):
    vendor.answer_raw(raw)
    with pytest.raises(UpstreamMalformed, match="not HTTP"):
        await post(upstream)


@pytest.mark.parametrize("end", [End.CUT, End.RESET])
async def test_a_connection_closed_instead_of_an_answer_is_interrupted(vendor, upstream, end):
    vendor.answer_raw(b"", end=end)
    with pytest.raises(UpstreamInterrupted) as raised:
        await post(upstream)
    assert raised.value.retryable


async def test_a_refused_connection_is_unreachable(connections):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with connections.open_upstream(url, provider="acme") as upstream:
            with pytest.raises(UpstreamUnreachable, match=r"acme: cannot connect to 127\.0\.0\.1") as raised:
                await post(upstream)
    assert UpstreamUnreachable is type(raised.value)


async def test_an_unknown_host_is_unreachable(connections):
    async with connections.open_upstream("http://nowhere.invalid", provider="acme") as upstream:
        with pytest.raises(UpstreamUnreachable, match=r"nowhere\.invalid cannot be resolved"):
            await post(upstream)


async def test_a_connection_that_is_never_accepted_meets_the_connect_deadline(connections):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        # Nobody accepts, so these fill the queue and the kernel drops the next SYN.
        waiting = [socket.socket() for _ in range(3)]
        try:
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(address)
            deadlines = Deadlines(connect=0.1, first_byte=30.0)
            async with connections.open_upstream(
                f"http://127.0.0.1:{address[1]}", provider="acme", deadlines=deadlines
            ) as upstream:
                with pytest.raises(UpstreamTimeout, match=r"no connection to 127\.0\.0\.1 within 0\.1 s") as raised:
                    await post(upstream)
        finally:
            for sock in waiting:
                sock.close()
    assert "connect" == raised.value.phase


@pytest.mark.parametrize("headers_first", [True, False])
async def test_silence_meets_the_first_byte_deadline_and_closes_the_connection(vendor, connections, headers_first):
    vendor.answer([STALL], before=b"" if headers_first else STALL)
    deadlines = Deadlines(first_byte=0.1)
    async with connections.open_upstream(vendor.url, provider="acme", deadlines=deadlines) as upstream:
        with pytest.raises(UpstreamTimeout, match=r"no answer from 127\.0\.0\.1 within 0\.1 s") as raised:
            await post(upstream)
    assert "first_byte" == raised.value.phase
    await asyncio.wait_for(vendor.requests[0].closed.wait(), 1)


async def test_a_document_may_take_as_long_as_the_whole_call(vendor, connections):
    vendor.answer({"a": 1}, before=0.2)
    deadlines = Deadlines(first_byte=0.05, total=5.0)
    async with connections.open_upstream(vendor.url, provider="acme", deadlines=deadlines) as upstream:
        kind, _ = await post(upstream, AnswerKind.JSON)
        assert AnswerKind.JSON is kind
        with pytest.raises(UpstreamTimeout):
            await upstream.get("/models")


# --- failures within the answer --------------------------------------------------------------------------------------


async def seen_until(upstream, accept=AnswerKind.SSE):
    frames = []
    with pytest.raises((UpstreamInterrupted, UpstreamMalformed)) as raised:
        async with upstream.post("/chat", json={}, accept=accept) as answer:
            async for read in answer:
                frames += read
    return frames, raised.value


@pytest.mark.parametrize("end", [End.CUT, End.RESET])
@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.LENGTH])
async def test_a_lost_connection_is_interrupted_after_what_came(vendor, upstream, framing, end):
    # The rest waits until the first event was read: a reset may overtake data.
    go_on = asyncio.Event()
    vendor.answer([b"data: one\n\n", go_on], framing=framing, end=end)
    frames = []
    with pytest.raises(UpstreamInterrupted, match="acme: the connection was lost"):
        async with upstream.post("/chat", json={}) as answer:
            async for read in answer:
                frames += read
                go_on.set()
    assert [Frame(b"one")] == frames


async def test_the_end_of_an_unframed_body_marks_what_it_cut(vendor, upstream):
    vendor.answer(b"data: one\n\ndata: {", framing=Framing.CLOSE)
    assert [Frame(b"one"), Frame(b"{", complete=False)] == (await post(upstream))[1]


async def test_the_end_of_an_unframed_document_marks_it(vendor, upstream):
    vendor.answer(b'{"a":', framing=Framing.CLOSE, content_type="application/json")
    _, (frame,) = await post(upstream, AnswerKind.JSON)
    with pytest.raises(UpstreamInterrupted):
        frame.json()


async def test_a_cut_document_is_interrupted(vendor, upstream):
    vendor.answer(b'{"a":', framing=Framing.LENGTH, end=End.CUT, content_type="application/json")
    assert UpstreamInterrupted is type((await seen_until(upstream, AnswerKind.JSON))[1])


async def test_compressed_events_arrive_as_they_are_flushed(vendor, upstream):
    squeeze = zlib.compressobj(wbits=31)
    more = asyncio.Event()
    first = squeeze.compress(b"data: one\n\n") + squeeze.flush(zlib.Z_SYNC_FLUSH)
    last = squeeze.compress(b"data: two\n\n") + squeeze.flush()
    vendor.answer([first, more, last], headers={"Content-Encoding": "gzip"})
    frames = []
    async with upstream.post("/chat", json={}) as answer:
        async for read in answer:
            frames += read
            more.set()
    assert TWO == frames


async def test_corrupt_compression_is_malformed(vendor, upstream):
    good = gzip.compress(EVENTS * 50)
    vendor.answer([good[:-8] + b"\xff" * 8], headers={"Content-Encoding": "gzip"})
    assert "compression is corrupt" in str((await seen_until(upstream))[1])


async def test_a_compression_bomb_is_bounded(vendor, upstream):
    vendor.answer(gzip.compress(b"data: " + b"x" * 40_000_000), headers={"Content-Encoding": "gzip"})
    frames, error = await seen_until(upstream)
    assert ([], UpstreamMalformed) == (frames, type(error))


async def test_a_document_over_the_cap_is_malformed(vendor, upstream):
    vendor.answer([b'{"a":"', *([b"x" * 1_000_000] * 18)], content_type="application/json")
    assert "a document of more than" in str((await seen_until(upstream, AnswerKind.JSON))[1])


# --- TLS -------------------------------------------------------------------------------------------------------------


async def test_a_trusted_certificate_is_accepted(tls_server, trusting):
    async with FakeUpstream(tls=tls_server("good")) as vendor, trusting() as connections:
        vendor.answer(EVENTS)
        async with connections.open_upstream(vendor.url, provider="acme") as upstream:
            assert (AnswerKind.SSE, TWO) == await post(upstream)


@pytest.mark.parametrize("certificate", ["expired", "wrong-host"])
async def test_a_wrong_certificate_fails_closed(tls_server, trusting, certificate):
    async with FakeUpstream(tls=tls_server(certificate)) as vendor, trusting() as connections:
        async with connections.open_upstream(vendor.url, provider="acme") as upstream:
            with pytest.raises(UpstreamTlsFailed) as raised:
                await post(upstream)
        assert ("acme: the TLS handshake with 127.0.0.1 failed", False) == (str(raised.value), raised.value.retryable)
        assert [] == vendor.requests


async def test_an_unknown_authority_fails_closed(tls_server, connections):
    async with FakeUpstream(tls=tls_server("good")) as vendor:
        async with connections.open_upstream(vendor.url, provider="acme") as upstream:
            with pytest.raises(UpstreamTlsFailed):
                await post(upstream)
        assert [] == vendor.requests


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_handshake_that_breaks_off_is_a_tls_failure(connections, greeting):
    async def hang_up(reader, writer):
        await reader.read(1)
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connections.open_upstream(url, provider="acme") as upstream:
            with pytest.raises(UpstreamTlsFailed, match=r"the TLS handshake with 127\.0\.0\.1 failed$"):
                await post(upstream)


# --- form ------------------------------------------------------------------------------------------------------------


async def test_the_body_of_a_request_is_compact_json(vendor, upstream):
    vendor.answer(EVENTS)
    await post(upstream)
    assert orjson.dumps({"q": 1}) == vendor.requests[0].body
