"""The stream of one answer: what is held while opening, deadlines, failures, closing."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import pytest
from palaver import (
    Batch,
    FinishReason,
    Fold,
    Outcome,
    ProviderError,
    ReasoningDelta,
    ResponseFinished,
    ResponseStarted,
    ServedBy,
    StreamEvent,
    TextDelta,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamTimeout,
    Usage,
    UsageReported,
)
from palaver.pipeline import OpenedStream

DONE = ResponseFinished(FinishReason.STOP)
SERVED = ServedBy("fake", "m")


class Source:
    """A provider's generator made of batches, exceptions to raise, and ``None`` to stall for ever."""

    def __init__(self, *script: Batch | StreamEvent | Exception | None) -> None:
        self.script = script
        self.closed = 0

    async def stream(self) -> AsyncGenerator[Batch | StreamEvent, None]:
        try:
            for step in self.script:
                if step is None:
                    await asyncio.Event().wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.closed += 1


def stream_of(source: Source, *, idle: float = 5.0, total: float = 5.0) -> OpenedStream:
    return OpenedStream(source.stream(), served_by=SERVED, idle=idle, total=total)


async def everything(stream: OpenedStream) -> list[StreamEvent]:
    return [event async for batch in stream for event in batch]


async def test_opening_holds_everything_up_to_the_first_content() -> None:
    source = Source([ResponseStarted("r1", "m-7")], [], [TextDelta("a")], [TextDelta("b")], [DONE])
    stream = await stream_of(source).open()
    assert "m-7" == stream.model
    assert [ResponseStarted("r1", "m-7"), TextDelta("a")] == list(await anext(stream))
    assert [TextDelta("b"), DONE] == await everything(stream)


async def test_an_answer_without_content_opens_at_its_terminal_event() -> None:
    stream = await stream_of(Source([ResponseStarted()], [UsageReported(Usage(3, 0))], [DONE])).open()
    assert [ResponseStarted(), UsageReported(Usage(3, 0)), DONE] == await everything(stream)
    assert Usage(3, 0) == stream.usage


async def test_a_single_event_is_a_batch_of_one() -> None:
    stream = await stream_of(Source(TextDelta("a"), DONE)).open()
    assert [TextDelta("a"), DONE] == await everything(stream)


async def test_a_whole_answer_in_one_batch_comes_out_in_one_batch() -> None:
    stream = await stream_of(Source([ResponseStarted(), TextDelta("a"), UsageReported(Usage(1, 1)), DONE])).open()
    assert 4 == len(await anext(stream))
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_what_follows_the_terminal_event_is_noise() -> None:
    source = Source([TextDelta("a"), DONE, TextDelta("late")], [TextDelta("later")])
    assert [TextDelta("a"), DONE] == await everything(await stream_of(source).open())
    assert 1 == source.closed


async def test_a_provider_that_does_not_return_after_its_terminal_event_holds_nobody_up() -> None:
    source = Source([TextDelta("a")], [DONE], None)
    stream = await stream_of(source).open()
    async with asyncio.timeout(3):
        assert [TextDelta("a"), DONE] == await everything(stream)
    assert (None, 1) == (stream.error, source.closed)


async def test_a_failure_before_content_is_raised_by_opening_and_closes_the_upstream() -> None:
    source = Source([ResponseStarted()], UpstreamMalformed("bad"))
    with pytest.raises(UpstreamMalformed) as caught:
        await stream_of(source).open()
    assert ("fake", "m", 1) == (caught.value.provider, caught.value.model, source.closed)


async def test_a_source_that_just_ends_is_interrupted_not_finished() -> None:
    with pytest.raises(UpstreamInterrupted):
        await stream_of(Source([ResponseStarted()])).open()
    stream = await stream_of(Source([TextDelta("half")])).open()
    seen: list[StreamEvent] = []
    with pytest.raises(UpstreamInterrupted):
        async for batch in stream:
            seen.extend(batch)
    assert [TextDelta("half")] == seen


async def test_content_that_came_with_a_failure_is_delivered_before_it() -> None:
    stream = await stream_of(Source([TextDelta("a")], [TextDelta("b")], UpstreamMalformed("bad"))).open()
    fold = Fold()
    with pytest.raises(UpstreamMalformed):
        async for batch in stream:
            fold.feed(batch)
    assert "ab" == fold.text
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_foreign_exception_of_a_plugin_becomes_a_provider_error_with_its_cause() -> None:
    with pytest.raises(ProviderError) as caught:
        await stream_of(Source(KeyError("sk-secret"))).open()
    assert "the provider plugin failed: KeyError" == str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_silent_vendor_is_given_up_after_the_idle_limit() -> None:
    source = Source([ResponseStarted()], None)
    with pytest.raises(UpstreamTimeout) as caught:
        await stream_of(source, idle=0.02).open()
    assert ("idle", 1) == (caught.value.phase, source.closed)


async def test_a_stall_after_content_is_an_idle_timeout_with_the_text_kept() -> None:
    source = Source([TextDelta("a")], None)
    stream = await stream_of(source, idle=0.02).open()
    fold = Fold()
    with pytest.raises(UpstreamTimeout):
        async for batch in stream:
            fold.feed(batch)
    assert ("a", 1) == (fold.text, source.closed)
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


async def test_events_without_content_do_not_keep_a_stream_alive() -> None:
    async def chatter() -> AsyncGenerator[Batch, None]:
        yield [TextDelta("a")]
        while True:
            await asyncio.sleep(0.005)
            yield [UsageReported(Usage(1, 1))]

    stream = await OpenedStream(chatter(), served_by=SERVED, idle=0.03, total=5).open()
    with pytest.raises(UpstreamTimeout) as caught:
        await everything(stream)
    assert "idle" == caught.value.phase


async def test_content_keeps_a_stream_alive_until_the_total_limit() -> None:
    async def endless() -> AsyncGenerator[Batch, None]:
        while True:
            await asyncio.sleep(0.005)
            yield [ReasoningDelta("hm")]

    stream = await OpenedStream(endless(), served_by=SERVED, idle=0.05, total=0.12).open()
    with pytest.raises(UpstreamTimeout) as caught:
        await everything(stream)
    assert "total" == caught.value.phase


async def test_a_slow_reader_is_not_the_vendors_fault() -> None:
    stream = await stream_of(Source([TextDelta("a")], [TextDelta("b")], [DONE]), idle=0.02).open()
    await anext(stream)
    await asyncio.sleep(0.06)
    assert [TextDelta("b"), DONE] == await everything(stream)


async def test_cancelling_the_opening_closes_the_upstream() -> None:
    source = Source([ResponseStarted()], None)
    opening = asyncio.get_running_loop().create_task(stream_of(source).open())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert 1 == source.closed


async def test_cancelling_a_reader_closes_the_upstream_and_stays_a_cancellation() -> None:
    source = Source([TextDelta("a")], None)
    stream = await stream_of(source).open()
    reading = asyncio.get_running_loop().create_task(everything(stream))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert 1 == source.closed


def closing(outcomes: list[Outcome]) -> Callable[[Outcome], None]:
    return outcomes.append


async def test_closing_tells_how_it_ended_exactly_once() -> None:
    for script, read, expected in [
        ([[TextDelta("a")], [DONE]], True, (True, None)),
        ([[TextDelta("a")], [DONE]], False, (False, None)),
        ([[TextDelta("a")], UpstreamMalformed("bad")], True, (False, UpstreamMalformed)),
    ]:
        stream = await stream_of(Source(*script)).open()  # type: ignore[arg-type]
        outcomes: list[Outcome] = []
        stream.on_close(closing(outcomes))
        if read:
            with contextlib.suppress(UpstreamMalformed):
                await everything(stream)
        await stream.aclose()
        await stream.aclose()
        assert [expected] == [
            (outcome.finished is not None, type(outcome.error) if outcome.error else None) for outcome in outcomes
        ]


async def test_an_early_close_drops_what_is_held_and_ends_iteration() -> None:
    source = Source([TextDelta("a")], [TextDelta("b")], [DONE])
    stream = await stream_of(source).open()
    await stream.aclose()
    assert [] == await everything(stream)
    assert 1 == source.closed
