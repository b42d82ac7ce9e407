"""Acid test: a content filter whose match spans two batches must catch it, and lose nothing else."""

from collections.abc import AsyncGenerator

import pytest
from palaver import (
    Batch,
    ContentRefused,
    FinishReason,
    Fold,
    Outcome,
    ResponseFinished,
    ServedBy,
    StreamEvent,
    TextDelta,
    ToolCallStarted,
)
from palaver.pipeline import OpenedStream

FORBIDDEN = "secret word"


class Redact:
    """Holds back the longest tail that could still become the forbidden words."""

    def __init__(self) -> None:
        self._tail = ""

    def feed(self, batch: Batch) -> Batch:
        out: list[StreamEvent] = []
        for event in batch:
            if not isinstance(event, TextDelta):
                out.extend(self._release())
                out.append(event)
                continue
            text = (self._tail + event.text).replace(FORBIDDEN, "***")
            keep = next(
                (n for n in range(min(len(FORBIDDEN) - 1, len(text)), 0, -1) if FORBIDDEN.startswith(text[-n:])), 0
            )
            self._tail = text[len(text) - keep :]
            if text[: len(text) - keep]:
                out.append(TextDelta(text[: len(text) - keep]))
        return out

    def end(self, outcome: Outcome) -> Batch:
        return self._release()

    def _release(self) -> list[StreamEvent]:
        tail, self._tail = self._tail, ""
        return [TextDelta(tail)] if tail else []


class Block:
    """Stops the answer when the words are complete, whatever the batches were."""

    def __init__(self) -> None:
        self._seen = ""

    def feed(self, batch: Batch) -> Batch:
        self._seen += "".join(event.text for event in batch if isinstance(event, TextDelta))
        if FORBIDDEN in self._seen:
            raise ContentRefused("the answer was stopped by a content filter")
        return batch

    def end(self, outcome: Outcome) -> Batch:
        return ()


async def opened(*batches: Batch) -> OpenedStream:
    async def source() -> AsyncGenerator[Batch, None]:
        for batch in batches:
            yield batch

    return await OpenedStream(source(), served_by=ServedBy("fake", "m"), idle=5, total=5).open()


@pytest.mark.parametrize("cut", range(1, len("a secret word b")))
async def test_a_match_cut_anywhere_between_two_batches_is_redacted(cut: int) -> None:
    text = "a secret word b"
    stream = await opened([TextDelta(text[:cut])], [TextDelta(text[cut:])], [ResponseFinished(FinishReason.STOP)])
    stream.add(Redact())
    fold = Fold()
    async for batch in stream:
        fold.feed(batch)
    assert "a *** b" == fold.text
    assert FinishReason.STOP == fold.completion().finish_reason


async def test_what_a_filter_holds_back_leaves_before_the_terminal_event() -> None:
    stream = await opened([TextDelta("it is a secret")], [ResponseFinished(FinishReason.STOP)])
    stream.add(Redact())
    events = [event async for batch in stream for event in batch]
    assert [TextDelta("it is a "), TextDelta("secret"), ResponseFinished(FinishReason.STOP)] == events


async def test_what_a_filter_holds_back_leaves_before_an_event_of_another_kind() -> None:
    call = ToolCallStarted(0, "c1", "search")
    stream = await opened([TextDelta("a secret")], [call], [ResponseFinished(FinishReason.TOOL_CALLS)])
    stream.add(Redact())
    events = [event async for batch in stream for event in batch]
    assert [TextDelta("a "), TextDelta("secret"), call] == events[:3]


async def test_a_stage_sees_what_the_stages_before_it_let_through() -> None:
    stream = await opened([TextDelta("the secret")], [TextDelta(" word")], [ResponseFinished(FinishReason.STOP)])
    stream.add(Redact())
    stream.add(Block())
    text = "".join([event.text async for batch in stream for event in batch if isinstance(event, TextDelta)])
    assert "the ***" == text


async def test_a_blocking_filter_stops_the_stream_and_closes_the_upstream() -> None:
    closed: list[bool] = []

    async def source() -> AsyncGenerator[Batch, None]:
        try:
            yield [TextDelta("the secret")]
            yield [TextDelta(" word")]
            yield [TextDelta(" and more")]
        finally:
            closed.append(True)

    stream = await OpenedStream(source(), served_by=None, idle=5, total=5).open()
    stream.add(Block())
    seen: list[StreamEvent] = []
    with pytest.raises(ContentRefused):
        async for batch in stream:
            seen.extend(batch)
    assert [TextDelta("the secret")] == seen
    assert [True] == closed
