"""Rate limit of a principal: a token bucket per owner, counted in this process only.

Stands before routing, so that a caller's own 429 never reaches a breaker, a fallback or a provider.
"""

from collections import OrderedDict
from typing import Any

from palaver.clock import Clock
from palaver.contracts.pipeline import CallNext
from palaver.domain import Call
from palaver.errors import LimitExceeded

__all__ = ["PrincipalLimit"]

#: Owners remembered; the one seen longest ago is forgotten first, with a full bucket.
_REMEMBERED = 100_000


class PrincipalLimit:
    """Lets each owner make *per_minute* calls a minute, saved up to that many."""

    def __init__(self, clock: Clock, *, per_minute: int) -> None:
        self._clock = clock
        self._capacity = float(per_minute)
        self._rate = per_minute / 60.0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, call: Call[Any], call_next: CallNext) -> Any:
        self._take(call.principal.owner)
        return await call_next(call)

    def _take(self, owner: str) -> None:
        now = self._clock.monotonic()
        level, since = self._buckets.get(owner, (self._capacity, now))
        level = min(self._capacity, level + (now - since) * self._rate)
        if level < 1.0:
            raise LimitExceeded(
                f"rate limit of {self._capacity:g} requests per minute reached", retry_after=(1.0 - level) / self._rate
            )
        self._buckets[owner] = (level - 1.0, now)
        self._buckets.move_to_end(owner)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
