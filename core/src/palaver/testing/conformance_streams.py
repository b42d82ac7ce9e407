"""Rules of provider conformance about streams: their shape, their end, their bytes, and how they are given up."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from palaver.errors import UpstreamInterrupted
from palaver.events import CONTENT_EVENTS, ResponseFinished, StreamEvent
from palaver.testing.conformance_asserts import PROMPT, assert_closed, kinds, neutral, until_content, within
from palaver.testing.conformance_case import Case, NotApplicable, Played, as_batch, fold_of
from palaver.testing.conformance_wire import Delivery, bytewise, half, kept_open
from palaver.testing.fake_upstream import End

__all__ = [
    "check_batches",
    "check_byte_splits",
    "check_cancel",
    "check_concurrent_requests",
    "check_stops_at_the_end",
    "check_terminal_marker",
]


async def check_batches(case: Case) -> None:
    """``stream()`` is an async generator of events or sequences of events; the end comes once and last."""
    for name in ("text", "tools"):
        for streaming in (each for each in (False, True) if case.has(name, streaming=each)):
            async with case.play(name, streaming=streaming) as played:
                stream = played.provider.stream(played.request)
                for method in ("__aiter__", "asend", "aclose"):
                    assert hasattr(stream, method), f"stream() gives {type(stream).__name__}, not an async generator"
                async with aclosing(stream):
                    items = [item async for item in stream]
            for item in items:
                _assert_batch(item)
            events = [event for item in items for event in as_batch(item)]
            ends = [place for place, event in enumerate(events) if isinstance(event, ResponseFinished)]
            assert ends == [len(events) - 1], f"expected ResponseFinished once and last, got {kinds(events)}"


def _assert_batch(item: object) -> None:
    if isinstance(item, StreamEvent):
        return
    assert isinstance(item, Sequence), f"yielded {type(item).__name__}: expected an event or a sequence of events"
    for event in item:
        assert isinstance(event, StreamEvent), f"a batch holds {event!r}, which is no StreamEvent"


async def check_terminal_marker(case: Case) -> None:
    """A stream that is cut raises ``UpstreamInterrupted`` and never finishes; what came before is kept."""
    name, cuts = "cut", list[Delivery | None]((None,))
    if case.has_wire:
        name, exchange = "text", case.exchange("text", streaming=True)
        cuts = [half(exchange, End.CUT), half(exchange, End.CUT, torn=True), half(exchange, End.RESET)]
    for cut in cuts:
        async with case.play(name, streaming=True, delivery=cut) as played:
            events, error = await played.failure()
        how = f" ({cut.name})" if cut else ""
        assert not any(isinstance(event, ResponseFinished) for event in events), f"a cut stream was finished{how}"
        assert isinstance(error, UpstreamInterrupted), f"a cut stream ended with {error!r}{how}"
        assert any(isinstance(event, CONTENT_EVENTS) for event in events), f"what came before the cut was lost{how}"


async def check_stops_at_the_end(case: Case) -> None:
    """The stream ends with the vendor's terminal marker, also when the vendor keeps the connection open."""
    if not case.has_wire:
        raise NotApplicable("there is no wire, so there is no connection to keep open")
    held = kept_open(case.exchange("text", streaming=True))
    async with case.play("text", streaming=True, delivery=held) as played:
        before = asyncio.all_tasks()
        items = await within(3 * PROMPT, played.items(), "the answer is there, but the provider goes on reading")
        assert fold_of(items).finished is not None, "the stream ended without ResponseFinished"
        await assert_closed(played, before)


async def check_concurrent_requests(case: Case) -> None:
    """Two requests to one instance at once get each its own answer: no state of a stream is kept in the provider."""
    streaming = case.forms("text")[-1]
    slow = bytewise(case.exchange("text", streaming=streaming)) if case.has_wire else None
    async with case.play("text", streaming=streaming, delivery=slow) as played:
        alone = neutral(await played.answer())
        first: list[object] = []
        async with aclosing(played.provider.stream(played.request)) as stream:
            async for item in stream:
                first.append(item)
                break
            second = neutral(await played.answer())
            first += [item async for item in stream]
    for answer in (neutral(fold_of(first).completion()), second):
        assert alone == answer, f"two answers at once were mixed up: {answer}, alone it is {alone}"


async def check_cancel(case: Case) -> None:
    """Content comes while the rest is held back, and giving up closes the upstream within a second, without a trace."""
    name, held = "stall", None
    if case.has_wire:
        name, held = "text", half(case.exchange("text", streaming=True), End.HOLD)
    async with case.play(name, streaming=True, delivery=held) as played:
        before = asyncio.all_tasks()
        stream = played.provider.stream(played.request)
        await within(3 * PROMPT, until_content(stream), "content was held back until the end of the answer")
        await within(PROMPT, stream.aclose(), "closing the stream hangs")
        await assert_closed(played, before)
        await _cancel_a_reader(played)
        await assert_closed(played, before)


async def _cancel_a_reader(played: Played) -> None:
    """Cancel a task in the middle of reading, which is the other way to give up."""
    content = asyncio.Event()
    problem: Exception | None = None

    async def read() -> None:
        async with aclosing(played.provider.stream(played.request)) as stream:
            async for item in stream:
                if any(isinstance(event, CONTENT_EVENTS) for event in as_batch(item)):
                    content.set()

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read())
        # A broken rule is told after the group, which would wrap it.
        try:
            await within(3 * PROMPT, content.wait(), "content was held back until the end of the answer")
            # Once more round the loop, so that the reader waits for what never comes.
            await asyncio.sleep(0)
            reader.cancel()
            await within(PROMPT, asyncio.wait([reader]), "cancelling the reader hangs")
            assert reader.cancelled(), "the stream swallowed a cancellation"
        except AssertionError as broken:
            problem = broken
            reader.cancel()
    if problem is not None:
        raise problem


async def check_byte_splits(case: Case) -> None:
    """However the bytes of an answer are cut on their way, the same comes out."""
    if not case.has_wire:
        raise NotApplicable("there is no wire, so there are no bytes to split")
    case.need("text", streaming=True)
    for name in ("text", "tools", "reasoning"):
        if not case.has(name, streaming=True):
            continue
        async with case.play(name, streaming=True) as played:
            whole = neutral(await played.answer())
        async with case.play(name, streaming=True, delivery=bytewise(case.exchange(name, streaming=True))) as played:
            split = neutral(await played.answer())
        assert whole == split, f"{name}: sent byte by byte it is {split}, at once it is {whole}"
