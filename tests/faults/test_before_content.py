"""1a: what fails before the first byte is an answer with its true status; retry and breaker keep to their rules."""

import asyncio
import socket
from email.utils import formatdate
from typing import Any

import pytest
from palaver.config.schema import ResilienceConfig
from palaver.testing import STALL

from .rig import DONE, DOORS, MODEL, Door, assert_plain_error, document, police, said, start

THRICE = ResilienceConfig(attempts=3, backoff=0.01, breaker_failures=0)
FAILURE = {"error": {"message": "no", "type": "server_error", "code": None}}


def of_kind(code: str, kind: str = "") -> dict[str, Any]:
    return {"error": {"message": "no", "type": kind or code, "code": code}}


# --- U1, U2: the vendor says when to come back -----------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_u1_a_wait_that_fits_is_waited_and_the_answer_is_good(door: Door) -> None:
    async with start(resilience=THRICE) as rig:
        rig.vendor.answer(FAILURE, status=429, headers={"Retry-After": "2"}).answer_with(police)
        seen = await rig.ask(door)
        assert (200, "fine", True) == (seen.status, seen.text, seen.done)
        assert 2 == len(rig.vendor.requests)
        assert 2.0 in rig.clock.slept


@pytest.mark.parametrize("door", DOORS)
async def test_u1_a_wait_beyond_the_deadline_fails_at_once_and_is_passed_on(door: Door) -> None:
    async with start(resilience=THRICE) as rig:
        rig.vendor.answer(FAILURE, status=429, headers={"Retry-After": "3600"})
        seen = await rig.ask(door)
        assert 1 == len(rig.vendor.requests)
        assert 3600.0 not in rig.clock.slept
        if not door.chat:
            assert "3600" == seen.headers["Retry-After"]
        await assert_plain_error(rig, seen, 429, "rate_limited")


async def test_u1_retries_are_counted_in_all() -> None:
    async with start(resilience=THRICE) as rig:
        rig.vendor.answer(FAILURE, status=429, headers={"Retry-After": "1"})
        seen = await rig.ask(Door.OPENAI_STREAM)
        assert (429, 3, 2) == (seen.status, len(rig.vendor.requests), rig.clock.slept.count(1.0))


@pytest.mark.parametrize(
    ("headers", "passed_on"),
    [
        ([("Retry-After", "1.2")], "2"),
        ([("Retry-After", formatdate(usegmt=True)), ("Date", formatdate(usegmt=True))], "1"),
        ([("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT")], "1"),
        (
            [("Date", "Fri, 21 Nov 2036 10:00:00 GMT"), ("Retry-After", "Fri, 21 Nov 2036 10:00:30 GMT")],
            "30",
        ),
        ([("Retry-After", "Fri, 21 Nov 2236 10:00:00 GMT")], "86400"),
        ([("Retry-After", "soon")], None),
        ([("Retry-After", "-5")], None),
        ([("Retry-After", "NaN")], None),
        ([("Retry-After", "1e999")], None),
        ([("Retry-After", "3"), ("Retry-After", "9")], "9"),
        ([("Retry-After", "9"), ("retry-after-ms", "2500")], "3"),
    ],
)
async def test_u2_any_form_of_the_wait_is_read_and_none_crashes(headers: Any, passed_on: str | None) -> None:
    async with start() as rig:
        rig.vendor.answer(FAILURE, status=429, headers=headers)
        for door in (Door.OPENAI_STREAM, Door.OPENAI_WHOLE):
            seen = await rig.ask(door)
            assert (429, passed_on) == (seen.status, seen.headers.get("Retry-After"))


# --- U3, U4, U5: which failures come again ---------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("word", ["insufficient_quota", "enforced_spend_limit_reached"])
async def test_u3_an_empty_purse_is_not_asked_again(door: Door, word: str) -> None:
    async with start(resilience=THRICE) as rig:
        rig.vendor.answer(of_kind(word), status=429)
        seen = await rig.ask(door)
        assert 1 == len(rig.vendor.requests)
        assert seen.error is not None
        assert not seen.error["retryable"]
        await assert_plain_error(rig, seen, 429, "quota_exhausted" if door.chat else "insufficient_quota")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("status", "body"), [(529, FAILURE), (503, FAILURE), (429, of_kind("insufficient_quota")), (500, FAILURE)]
)
async def test_u3_u4_another_vendor_takes_over_before_content(door: Door, status: int, body: Any) -> None:
    async with start(2, resilience=ResilienceConfig(attempts=2, backoff=0.01, breaker_failures=0)) as rig:
        rig.vendor.answer(body, status=status)
        rig.vendors[1].answer_with(police)
        seen = await rig.ask(door)
        assert (200, "fine", True) == (seen.status, seen.text, seen.done)
        assert (1 if status == 429 else 2, 1) == tuple(len(vendor.requests) for vendor in rig.vendors)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("status", "told", "code"),
    [
        (529, 503, "overloaded"),
        (503, 503, "overloaded"),
        (429, 429, "rate_limited"),
        (500, 502, "upstream_failed"),
        (502, 502, "upstream_failed"),
        (504, 504, "upstream_timeout"),
    ],
)
async def test_u4_u5_what_may_pass_is_tried_again_and_keeps_its_cause(
    door: Door, status: int, told: int, code: str
) -> None:
    async with start(resilience=THRICE) as rig:
        rig.vendor.answer(FAILURE, status=status)
        seen = await rig.ask(door)
        assert 3 == len(rig.vendor.requests)
        waits = [wait for wait in rig.clock.slept if wait <= 0.02]
        assert 2 == len(waits)
        assert waits[0] <= 0.01
        await assert_plain_error(rig, seen, told, code)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("status", "told", "code"),
    [
        (400, 400, "provider_rejected"),
        (401, 502, "provider_auth_failed"),
        (403, 502, "provider_auth_failed"),
        (404, 404, "model_not_found"),
        (413, 400, "provider_rejected"),
        (422, 400, "provider_rejected"),
    ],
)
async def test_u5_what_must_change_is_asked_once_and_harms_nobody_else(
    door: Door, status: int, told: int, code: str
) -> None:
    async with start(resilience=ResilienceConfig(attempts=3, breaker_failures=1)) as rig:
        rig.vendor.answer({"error": {"message": f"no: {'sk-test-0123456789abcdef'}", "type": "x"}}, status=status)
        seen = await rig.ask(door)
        assert 1 == len(rig.vendor.requests)
        other = await rig.ask(door)
        assert 2 == len(rig.vendor.requests), "the breaker stays closed"
        assert other.error is not None
        assert code == other.error["code"]
        await assert_plain_error(rig, seen, told, code)


# --- U6: the breaker -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_u6_the_breaker_opens_answers_at_once_and_closes_by_one_good_probe(door: Door) -> None:
    resilience = ResilienceConfig(attempts=1, breaker_failures=3, breaker_window=5, breaker_cooldown=30.0)
    async with start(resilience=resilience) as rig:
        rig.vendor.answer(FAILURE, status=500)
        for _ in range(3):
            await rig.ask(door)
        loop = asyncio.get_running_loop()
        before = loop.time()
        for _ in range(5):
            seen = await rig.ask(door)
            assert seen.error is not None
            assert "circuit_open" == seen.error["code"]
        # A bound for all five, so that a busy machine does not matter.
        assert loop.time() - before < 5 * 0.05 + 0.5
        assert 3 == len(rig.vendor.requests)
        rig.clock.ahead += 31
        await rig.ask(door)  # a probe that fails keeps it open
        await rig.ask(door)
        assert 4 == len(rig.vendor.requests)
        await assert_plain_error(rig, seen, 503, "circuit_open")
        again = await rig.ask(door)
        assert (200, "fine") == (again.status, again.text)


async def test_u6_only_one_probe_goes_out_while_half_open() -> None:
    resilience = ResilienceConfig(attempts=1, breaker_failures=1, breaker_cooldown=30.0)
    async with start(resilience=resilience) as rig:
        rig.vendor.answer(FAILURE, status=500)
        await rig.ask(Door.OPENAI_WHOLE)
        rig.clock.ahead += 31
        rig.vendor.clear()
        hold = asyncio.Event()
        rig.vendor.answer(document("probed"), before=hold)
        async with asyncio.timeout(3), asyncio.TaskGroup() as group:
            probe = group.create_task(rig.ask(Door.OPENAI_WHOLE))
            await rig.vendor.received(1)
            others = [await rig.ask(door) for door in (Door.OPENAI_WHOLE, Door.OPENAI_STREAM)]
            hold.set()
        assert [503, 503] == [other.status for other in others]
        assert ("probed", 1) == (probe.result().text, len(rig.vendor.requests))
        rig.vendor.clear()
        rig.vendor.answer_with(police)
        assert 200 == (await rig.ask(Door.OPENAI_WHOLE)).status


# --- U7, U8: no connection -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_u7_nobody_listens(door: Door) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with start(resilience=THRICE, url=lambda _: f"http://127.0.0.1:{port}") as rig:
            seen = await rig.ask(door)
            assert seen.error is not None
            assert ("upstream_unreachable", True) == (seen.error["code"], seen.error["retryable"])
            assert seen.status == (200 if door is Door.CHAT_STREAM else 502)


async def test_u7_a_name_that_does_not_exist() -> None:
    async with start(url=lambda _: "http://nowhere.invalid/v1") as rig:
        seen = await rig.ask(Door.OPENAI_STREAM)
        assert seen.error is not None
        assert (502, "upstream_unreachable") == (seen.status, seen.error["code"])


@pytest.mark.parametrize("door", DOORS)
async def test_u7_a_black_hole_costs_the_connect_deadline_not_the_read_one(door: Door) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        try:
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(address)
            async with start(url=lambda _: f"http://127.0.0.1:{address[1]}", connect_timeout=0.1) as rig:
                async with asyncio.timeout(3):
                    seen = await rig.ask(door)
                assert seen.error is not None
                assert "upstream_timeout" == seen.error["code"]
                assert "no connection to 127.0.0.1 within 0.1 s" in seen.error["message"]
                assert seen.status == (200 if door is Door.CHAT_STREAM else 504)
        finally:
            for sock in waiting:
                sock.close()


@pytest.mark.parametrize("door", DOORS)
async def test_u8_a_broken_handshake_fails_closed_once_and_names_the_host_only(door: Door) -> None:
    made = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with start(resilience=THRICE, url=lambda _: f"https://127.0.0.1:{port}") as rig:
            seen = await rig.ask(door)
    assert seen.error is not None
    assert ("upstream_tls_failed", False) == (seen.error["code"], seen.error["retryable"])
    assert seen.error["message"].endswith("the TLS handshake with 127.0.0.1 failed")
    assert 1 == made
    assert seen.status == (200 if door is Door.CHAT_STREAM else 502)


# --- U9, U10: silence, and nobody left -------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("headers_first", [True, False])
async def test_u9_silence_before_the_first_byte_is_a_timeout(door: Door, headers_first: bool) -> None:
    async with start(first_byte_timeout=0.1, timeout=0.3 if door is Door.OPENAI_WHOLE else 600.0) as rig:
        rig.vendor.answer([STALL], before=b"" if headers_first else STALL)
        seen = await rig.ask(door)
        closed = rig.vendor.requests[0].closed
        await asyncio.wait_for(closed.wait(), 1)
        await assert_plain_error(rig, seen, 504, "upstream_timeout")


@pytest.mark.parametrize("door", [Door.CHAT_STREAM, Door.OPENAI_STREAM])
async def test_u9_a_client_that_waits_hears_keep_alives_and_then_the_error(door: Door) -> None:
    async with start(first_byte_timeout=0.8, keepalive=0.1) as rig:
        rig.vendor.answer([STALL])
        seen = await rig.ask(door)
        assert seen.error is not None
        assert (200, "upstream_timeout", 1, False) == (seen.status, seen.error["code"], seen.errors, seen.done)
        assert seen.raw.startswith(": ") or "\n: " in seen.raw
        await rig.assert_goes_on(seen)


@pytest.mark.parametrize("door", DOORS)
async def test_u10_when_both_vendors_fail_nothing_is_half_sent(door: Door) -> None:
    async with start(2) as rig:
        rig.vendor.answer(FAILURE, status=503)
        # Its beginning is in, but no content: nothing of it may leak.
        rig.vendors[1].answer(b'data: {"id":"leak","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n')
        seen = await rig.ask(door)
        assert (1, 1) == tuple(len(vendor.requests) for vendor in rig.vendors)
        assert "leak" not in seen.raw
        await assert_plain_error(rig, seen, 502, "upstream_interrupted")


async def test_the_rig_itself_is_sound() -> None:
    async with start() as rig:
        rig.vendor.answer([said("hel"), said("lo", "stop"), DONE])
        for door in DOORS:
            seen = await rig.ask(door)
            assert (200, "hello", True) == (seen.status, seen.text, seen.done)
        assert {MODEL} == {request.json["model"] for request in rig.vendor.requests}
        assert [True, True, True, None] == [request.json.get("stream") for request in rig.vendor.requests]
