"""Deadlines on one timer: struck late by a moment, never early, and gone with their body."""

import asyncio

import pytest
from palaver.upstream.watch import Watch


async def test_a_limit_ends_its_body_with_a_timeout_and_leaves_the_task_uncancelled() -> None:
    watch = Watch()
    began = watch.loop.time()
    with pytest.raises(TimeoutError), watch.limit(0.05):
        await asyncio.Event().wait()
    assert 0.05 <= watch.loop.time() - began < 2
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


async def test_a_body_that_ends_in_time_is_left_alone() -> None:
    watch = Watch()
    with watch.limit(0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.08)


async def test_a_short_limit_is_not_held_up_by_a_long_one() -> None:
    watch = Watch()

    async def wait(seconds: float) -> float:
        with pytest.raises(TimeoutError), watch.limit(seconds):
            await asyncio.Event().wait()
        return watch.loop.time()

    long = asyncio.get_running_loop().create_task(wait(0.4))
    await asyncio.sleep(0)
    assert await wait(0.05) < await long


async def test_a_cancellation_from_outside_stays_one() -> None:
    watch = Watch()

    async def wait() -> None:
        with watch.limit(60):
            await asyncio.Event().wait()

    waiting = asyncio.get_running_loop().create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    watch.close()


async def test_an_error_of_the_body_passes_through() -> None:
    watch = Watch()
    with pytest.raises(KeyError), watch.limit(60):
        raise KeyError("own")
    watch.close()
