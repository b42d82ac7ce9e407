"""Retry: ask the same target again after a failure that may pass, before any content has left.

Exponential back-off with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/);
a vendor's ``Retry-After`` is obeyed when it fits the call's deadline, and passed on when it does not.
"""

from typing import Any

import attrs

from palaver.clock import Clock
from palaver.contracts.pipeline import CallNext
from palaver.domain import Call
from palaver.errors import CircuitOpen, PalaverError

__all__ = ["Retry"]


class Retry:
    """Tries a call up to *attempts* times in all; waits are seconds."""

    def __init__(self, clock: Clock, *, attempts: int = 3, backoff: float = 0.5, backoff_max: float = 20.0) -> None:
        self._clock = clock
        self._attempts = attempts
        self._backoff = backoff
        self._backoff_max = backoff_max

    async def __call__(self, call: Call[Any], call_next: CallNext) -> Any:
        attempt = 1
        previous: PalaverError | None = None
        while True:
            try:
                result = await call_next(call)
            except CircuitOpen:
                # Opened by our own tries: what really went wrong tells the caller more.
                if previous is not None:
                    raise previous from None
                raise
            except PalaverError as error:
                previous = error
                if not error.retryable or attempt >= self._attempts:
                    raise
                wait = self._wait(attempt, error.retry_after)
                if call.deadline is not None and self._clock.monotonic() + wait >= call.deadline:
                    raise
                await self._clock.sleep(wait)
                attempt += 1
                call = attrs.evolve(call, attempt=attempt)
            else:
                if attempt > 1 and hasattr(result, "attempts"):
                    result.attempts = attempt
                return result

    def _wait(self, attempt: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return retry_after
        ceiling: float = min(self._backoff_max, self._backoff * 2 ** (attempt - 1))
        return ceiling * self._clock.random()
