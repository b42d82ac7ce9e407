"""A clock that a test moves by hand, so that an hour of retries takes a millisecond. May touch: nothing."""

import asyncio
import heapq
import random
from datetime import UTC, datetime, timedelta
from itertools import count

__all__ = ["FakeClock"]


class FakeClock:
    """A ``palaver.Clock`` whose time stands still until ``advance()``; chance is seeded.

    Args:
        start: Wall time at the beginning, aware.
        auto: Whether ``sleep`` itself moves the time and returns at once. *slept* then tells what was waited.
        seed: Of ``random()``.
    """

    def __init__(
        self,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        *,
        auto: bool = False,
        seed: int = 0,
    ) -> None:
        if start.tzinfo is None:
            raise ValueError(f"start {start!r} has no zone: use an aware time")
        self._start = start
        self._elapsed = 0.0
        self._auto = auto
        self._chance = random.Random(seed)
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        #: Every sleep asked for, in seconds and in order.
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Tell the wall time."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Tell the seconds since the start."""
        return self._elapsed

    def random(self) -> float:
        """Draw the next number of the seeded row."""
        return self._chance.random()

    @property
    def sleepers(self) -> int:
        """How many sleeps are under way."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the time has been advanced by *seconds*; in auto mode advance it."""
        self.slept.append(seconds)
        if self._auto or seconds <= 0:
            self._elapsed += max(seconds, 0.0)
            # Like the real one: somebody else may run now.
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move the time on by *seconds* and let every sleeper that is due run, earliest first.

        The time stands at each sleeper's moment while it runs, so that a sleeper that sleeps again is
        woken again within the same ``advance``.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        end = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._elapsed = max(self._elapsed, moment)
            future.set_result(None)
            await settle()
        self._elapsed = end

    async def wait_for_sleepers(self, number: int = 1) -> None:
        """Return when *number* sleeps are under way; for tests that must not advance too early.

        Raises:
            TimeoutError: they did not come, although everybody else had many turns.
        """
        for _ in range(10_000):
            if self.sleepers >= number:
                return
            await asyncio.sleep(0)
        raise TimeoutError(f"expected {number} sleepers, have {self.sleepers}")


async def settle(turns: int = 20) -> None:
    """Give every other task a few turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
