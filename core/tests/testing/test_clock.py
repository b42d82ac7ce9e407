"""The fake clock: time moves only when it is told to, and sleepers wake in order."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from palaver import Clock
from palaver.testing import FakeClock


async def test_time_stands_still_until_it_is_advanced():
    clock: Clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))
    assert (0.0, datetime(2026, 3, 1, tzinfo=UTC)) == (clock.monotonic(), clock.now())
    await clock.advance(90)
    assert (90.0, datetime(2026, 3, 1, 0, 1, 30, tzinfo=UTC)) == (clock.monotonic(), clock.now())


async def test_sleepers_wake_in_the_order_of_their_time():
    clock, woken = FakeClock(), []

    async def sleeper(name, seconds):
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 5), ("early", 1), ("also early", 1), ("later", 9)):
            group.create_task(sleeper(name, seconds))
        await clock.wait_for_sleepers(4)
        await clock.advance(0.5)
        assert [] == woken
        await clock.advance(4.5)
        assert [("early", 1.0), ("also early", 1.0), ("late", 5.0)] == woken
        await clock.advance(100)
    assert ("later", 9.0) == woken[-1]
    assert 105.0 == clock.monotonic()


async def test_who_sleeps_again_is_woken_again_within_one_advance():
    clock, moments = FakeClock(), []

    async def tick():
        while len(moments) < 4:
            await clock.sleep(10)
            moments.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(tick())
        await clock.advance(35)
        assert [10.0, 20.0, 30.0] == moments
        await clock.advance(5)
    assert [10.0, 20.0, 30.0, 40.0] == moments


async def test_a_cancelled_sleeper_is_forgotten():
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(clock.sleep(5))
        await clock.wait_for_sleepers()
        task.cancel()
        await asyncio.sleep(0)
    assert 0 == clock.sleepers
    await clock.advance(10)


async def test_a_timeout_of_somebody_else_does_not_move_it():
    clock = FakeClock()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(clock.sleep(5), timeout=0)
    assert 0.0 == clock.monotonic()


async def test_in_auto_mode_a_sleep_passes_at_once():
    clock = FakeClock(auto=True)
    await clock.sleep(3600)
    await clock.sleep(0)
    await clock.sleep(1.5)
    assert [3600, 0, 1.5] == clock.slept
    assert timedelta(seconds=3601.5) == clock.now() - datetime(2026, 1, 1, tzinfo=UTC)


async def test_sleeping_for_nothing_only_lets_others_run():
    clock = FakeClock()
    await clock.sleep(0)
    await clock.sleep(-1)
    assert 0.0 == clock.monotonic()


def test_chance_is_the_same_for_the_same_seed():
    first, second, other = FakeClock(seed=1), FakeClock(seed=1), FakeClock(seed=2)
    drawn = [first.random() for _ in range(3)]
    assert drawn == [second.random() for _ in range(3)] != [other.random() for _ in range(3)]
    assert all(0 <= number < 1 for number in drawn)


async def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="time does not go back: -1"):
        await FakeClock().advance(-1)


def test_a_start_without_zone_is_refused():
    with pytest.raises(ValueError, match="has no zone"):
        FakeClock(datetime(2026, 1, 1))


async def test_waiting_for_sleepers_that_never_come_fails():
    with pytest.raises(TimeoutError, match="expected 2 sleepers, have 0"):
        await FakeClock().wait_for_sleepers(2)


async def test_the_fixture_gives_a_clock(fake_clock):
    assert 0.0 == fake_clock.monotonic()
