"""Acid tests of the pipeline: fallback before content only, one chain for chat and embeddings, limits apart."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from palaver import (
    Batch,
    Call,
    ChatRequest,
    CircuitOpen,
    EmbeddingRequest,
    Embeddings,
    FinishReason,
    LimitExceeded,
    Message,
    Overloaded,
    PalaverError,
    Principal,
    ProviderRejected,
    Purpose,
    QuotaExhausted,
    RateLimited,
    ResponseFinished,
    ResponseStarted,
    Role,
    ServedBy,
    TextDelta,
    UpstreamInterrupted,
)
from palaver.pipeline import Breaker, Fallback, PrincipalLimit, Retry, Target, chain
from palaver.pipeline.attempt import Attempt
from palaver.testing.clock import FakeClock
from palaver.upstream import Deadlines

ANSWER: Batch = (TextDelta("fine"), ResponseFinished(FinishReason.STOP))


class Vendor:
    """A provider and embedder that fails as told, then answers."""

    def __init__(self, *failures: PalaverError, answer: Batch = ANSWER, after: PalaverError | None = None) -> None:
        self.failures = list(failures)
        self.asked = 0
        self._answer = answer
        self._after = after

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        self.asked += 1
        yield [ResponseStarted("r1")]
        if self.failures:
            raise self.failures.pop(0)
        if self._after is not None:
            yield [TextDelta("half")]
            raise self._after
        yield self._answer

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return Embeddings(tuple((float(len(text)),) for text in request.inputs))


def chat() -> Call[ChatRequest]:
    return Call(ChatRequest("m", (Message(Role.USER, "hi"),)), Principal("ann"), "req-1", deadline=100.0)


def embedding() -> Call[EmbeddingRequest]:
    return Call(EmbeddingRequest("m", ("abc", "de")), Principal("ann"), "req-1", Purpose.EMBED, deadline=100.0)


def pipeline(
    clock: FakeClock, *vendors: Vendor, attempts: int = 1, failures: int = 2, limit: int = 0
) -> Callable[..., Any]:
    """Build the real order: principal limit, routing with fallback, then per target retry, breaker, provider."""
    chains = [
        chain(
            [
                Retry(clock, attempts=attempts, backoff=1.0),
                Breaker(clock, failures=failures, window=5, cooldown=30.0),
            ],
            Attempt(vendor, ServedBy(f"v{number}", "m"), Deadlines(), clock, None),
        )
        for number, vendor in enumerate(vendors)
    ]

    async def open_target(call: Call[Any], target: Target) -> Any:
        return await chains[int(target.instance)](call)

    targets = [Target(str(number), "m") for number in range(len(vendors))]
    middlewares = [PrincipalLimit(clock, per_minute=limit)] if limit else []
    return chain(middlewares, Fallback(lambda model: targets, open_target))


async def text_of(stream: Any) -> str:
    return "".join([event.text async for batch in stream for event in batch if isinstance(event, TextDelta)])


async def test_a_503_of_the_first_instance_falls_back_to_the_second() -> None:
    first, second = Vendor(Overloaded("busy")), Vendor()
    stream = await pipeline(FakeClock(auto=True), first, second)(chat())
    assert "fine" == await text_of(stream)
    assert ("v1", 1, 1) == (stream.served_by.instance, first.asked, second.asked)


async def test_nothing_falls_back_once_content_has_left() -> None:
    first, second = Vendor(after=Overloaded("busy")), Vendor()
    stream = await pipeline(FakeClock(auto=True), first, second, attempts=3)(chat())
    seen: list[str] = []
    with pytest.raises(Overloaded):
        async for batch in stream:
            seen.extend(event.text for event in batch if isinstance(event, TextDelta))
    assert (["half"], 1, 0) == (seen, first.asked, second.asked)


async def test_a_rejected_request_is_neither_retried_nor_sent_elsewhere() -> None:
    first, second = Vendor(ProviderRejected("no")), Vendor()
    with pytest.raises(ProviderRejected):
        await pipeline(FakeClock(auto=True), first, second, attempts=3)(chat())
    assert (1, 0) == (first.asked, second.asked)


async def test_an_exhausted_quota_is_not_retried_but_falls_back() -> None:
    first, second = Vendor(QuotaExhausted("spent")), Vendor()
    stream = await pipeline(FakeClock(auto=True), first, second, attempts=3)(chat())
    assert "fine" == await text_of(stream)
    assert (1, 1) == (first.asked, second.asked)


async def test_an_embedding_call_passes_through_retry_and_breaker() -> None:
    clock = FakeClock(auto=True)
    vendor = Vendor(Overloaded("busy"), Overloaded("busy"))
    run = pipeline(clock, vendor, attempts=3, failures=3)
    assert ((3.0,), (2.0,)) == (await run(embedding())).vectors
    assert 3 == vendor.asked
    assert 2 == len(clock.slept)

    vendor.failures = [Overloaded("busy")] * 3
    with pytest.raises(Overloaded):
        await run(embedding())
    asked = vendor.asked
    with pytest.raises(CircuitOpen) as caught:
        await run(embedding())
    assert asked == vendor.asked
    assert caught.value.retry_after is not None

    await clock.sleep(31)
    vendor.failures = []
    assert 2 == len((await run(embedding())).vectors)


async def test_chat_is_retried_before_content_and_says_how_often() -> None:
    clock = FakeClock(auto=True)
    stream = await pipeline(clock, Vendor(Overloaded("busy"), UpstreamInterrupted("cut")), attempts=3, failures=9)(
        chat()
    )
    assert "fine" == await text_of(stream)
    assert 3 == stream.attempts


async def test_retry_after_is_obeyed_when_it_fits_the_deadline_and_passed_on_when_not() -> None:
    clock = FakeClock(auto=True)
    stream = await pipeline(clock, Vendor(RateLimited("slow", retry_after=2.0)), attempts=2)(chat())
    await stream.aclose()
    assert [2.0] == clock.slept

    vendor = Vendor(RateLimited("slow", retry_after=3600.0))
    with pytest.raises(RateLimited) as caught:
        await pipeline(clock, vendor, attempts=2)(chat())
    assert (3600.0, 1, [2.0]) == (caught.value.retry_after, vendor.asked, clock.slept)


async def test_a_principals_429_leaves_the_breaker_closed_and_the_provider_unasked() -> None:
    clock = FakeClock(auto=True)
    vendor, spare = Vendor(), Vendor()
    run = pipeline(clock, vendor, spare, failures=1, limit=2)
    for _ in range(2):
        await (await run(chat())).aclose()
    for _ in range(5):
        with pytest.raises(LimitExceeded) as caught:
            await run(chat())
        assert 0 < (caught.value.retry_after or 0) <= 30
    assert (2, 0) == (vendor.asked, spare.asked)
    other = Call(chat().request, Principal("bob"), "req-2", deadline=100.0)
    assert "fine" == await text_of(await run(other))
    await clock.sleep(60)
    assert "fine" == await text_of(await run(chat()))


async def test_a_vendors_429_and_a_bad_request_never_open_the_breaker() -> None:
    clock = FakeClock(auto=True)
    vendor = Vendor(*[RateLimited("slow")] * 5, *[ProviderRejected("no")] * 5)
    run = pipeline(clock, vendor, failures=1)
    for _ in range(10):
        with pytest.raises((RateLimited, ProviderRejected)):
            await run(chat())
    assert "fine" == await text_of(await run(chat()))


async def test_a_stream_that_breaks_after_content_counts_against_the_breaker() -> None:
    clock = FakeClock(auto=True)
    vendor = Vendor(after=UpstreamInterrupted("cut"))
    run = pipeline(clock, vendor, failures=2)
    for _ in range(2):
        with pytest.raises(UpstreamInterrupted):
            await text_of(await run(chat()))
    with pytest.raises(CircuitOpen):
        await run(chat())
