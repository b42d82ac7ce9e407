"""The window of a run's events: contiguous numbers, stored ones may leave, nothing unstored ever does."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from palaver import ImagePart, PartAdded, ReasoningDelta, RunStatus, TextDelta, ToolCallDelta, UsageReported
from palaver.chat.log import EVENT_OVERHEAD, RunLog, weigh
from palaver.domain import Usage
from palaver.events import RunEnded
from palaver.testing.clock import settle


def test_weight_follows_the_text():
    assert 5 == weigh((TextDelta("hello"),))
    assert len("日本".encode()) <= weigh((TextDelta("日本"),))
    assert 7 == weigh((TextDelta("abc"), ToolCallDelta(0, "{}12")))
    assert 1000 < weigh((PartAdded(ImagePart(data=b"x" * 1000)),))
    assert 2 == weigh((ReasoningDelta("hm"),))
    assert 512 < weigh((TextDelta("a", {"openai": {"logprobs": []}}),))
    assert 0 < weigh((UsageReported(Usage(1, 1)),))


@given(
    st.integers(500, 4000),
    st.lists(st.one_of(st.text(max_size=40), st.integers(0, 60)), max_size=60),
)
def test_the_window_is_contiguous_bounded_and_keeps_what_is_not_stored(limit, steps):
    log = RunLog(limit)
    texts = []
    for step in steps:
        if isinstance(step, int):
            log.flushed_seq = max(log.flushed_seq, min(step, log.last_seq))
            continue
        texts.append(step)
        log.append(0, (TextDelta(step),))
        assert len(texts) == log.last_seq
        kept = next(events for seq in range(log.last_seq + 1) if (events := log.after(seq)) is not None)
        assert texts[len(texts) - len(kept) :] == [event.body[0].text for event in kept]
        unstored = log.after(log.flushed_seq)
        assert unstored is not None
        assert log.last_seq - log.flushed_seq == len(unstored)
        assert log.size <= limit or len(kept) == len(unstored)
        assert log.size == sum(weigh(event.body) + EVENT_OVERHEAD for event in kept)


async def test_one_append_wakes_every_waiter():
    log = RunLog(1000)
    log.append(0, (TextDelta("a"),))
    async with asyncio.TaskGroup() as group:
        waiters = [group.create_task(log.wait(1)) for _ in range(3)]
        await settle()
        assert not any(waiter.done() for waiter in waiters)
        log.append(0, RunEnded(RunStatus.DONE))
    assert log.ended is not None
    assert 2 == log.ended.seq
    await log.wait(99)
