"""Circuit breaker: stop asking a target that keeps failing, let one probe through after a while.

Only errors whose type says ``trips_breaker`` count; a caller's mistake or a rate limit never does. The state
is per target (instance and model) and per process.
"""

from collections import deque
from typing import Any

from palaver.clock import Clock
from palaver.contracts.pipeline import CallNext, Outcome
from palaver.domain import Call
from palaver.errors import CircuitOpen, ProviderError

__all__ = ["Breaker", "BreakerState"]


class BreakerState:
    """Words for the state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after *failures* among the last *window* calls; probes once *cooldown* seconds later."""

    def __init__(self, clock: Clock, *, failures: int = 5, window: int = 20, cooldown: float = 30.0) -> None:
        self._clock = clock
        self._failures = failures
        self._results: deque[bool] = deque(maxlen=window)
        self._cooldown = cooldown
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """Where the breaker stands now."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        if self._clock.monotonic() - self._opened_at >= self._cooldown:
            return BreakerState.HALF_OPEN
        return BreakerState.OPEN

    async def __call__(self, call: Call[Any], call_next: CallNext) -> Any:
        self._admit(call)
        try:
            result = await call_next(call)
        except ProviderError as error:
            self._record(not error.trips_breaker)
            raise
        except BaseException:
            # Cancelled, or not the target's fault: nothing is learnt, and another may probe.
            self._probing = False
            raise
        self._record(True)
        if hasattr(result, "on_close"):
            result.on_close(self._closed)
        return result

    def _admit(self, call: Call[Any]) -> None:
        state = self.state
        if state == BreakerState.CLOSED:
            return
        if state == BreakerState.OPEN or self._probing:
            target = call.target
            opened_at = self._opened_at if self._opened_at is not None else 0.0
            raise CircuitOpen(
                "the target failed repeatedly and is left alone for a while",
                provider=target.instance if target else "",
                model=target.model if target else "",
                retry_after=max(0.0, self._cooldown - (self._clock.monotonic() - opened_at)),
            )
        self._probing = True

    def _closed(self, outcome: Outcome) -> None:
        error = outcome.error
        if isinstance(error, ProviderError) and error.trips_breaker:
            self._record(False)

    def _record(self, good: bool) -> None:
        if self._probing or self._opened_at is not None:
            self._probing = False
            if good:
                self._opened_at = None
                self._results.clear()
            else:
                self._opened_at = self._clock.monotonic()
            return
        self._results.append(good)
        if self._results.count(False) >= self._failures:
            self._opened_at = self._clock.monotonic()
            self._results.clear()
