"""Foreign code under a limit: it runs in a daemon thread, and is left behind when it does not come back.

Nothing stops a thread: what hangs goes on hanging, outside everybody's way. ``os._exit`` ends the process.
"""

import sys
import threading
import traceback
from collections.abc import Callable
from traceback import StackSummary
from typing import Generic, TypeVar

import attrs

from palaver.clock import Clock, SystemClock

__all__ = ["Attempt", "Failed", "Finished"]

T = TypeVar("T")


@attrs.frozen
class Finished(Generic[T]):
    """The work came back with a value."""

    value: T
    seconds: float


@attrs.frozen
class Failed:
    """The work raised; ``SystemExit`` and ``KeyboardInterrupt`` end here too."""

    error: BaseException
    seconds: float


class Attempt(Generic[T]):
    """One piece of work, begun in a daemon thread as soon as this is made; *name* is the thread's."""

    def __init__(self, work: Callable[[], T], *, name: str, clock: Clock | None = None) -> None:
        self._work = work
        self._clock = clock or SystemClock()
        self._done = threading.Event()
        self._outcome: Finished[T] | Failed | None = None
        #: Reading of the monotonic clock at the start.
        self.began = self._clock.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> Finished[T] | Failed | None:
        """Give the outcome, or ``None`` when there is none after *seconds*; may be called again."""
        self._done.wait(max(seconds, 0.0))
        return self._outcome

    def where(self) -> StackSummary:
        """Tell the line that the work is at now, after its callers; empty when it came back."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return StackSummary() if frame is None else traceback.extract_stack(frame)

    def _run(self) -> None:
        try:
            value = self._work()
        except BaseException as error:  # a plugin that calls sys.exit ends itself, not the server; it is reported
            self._outcome = Failed(error, self._clock.monotonic() - self.began)
        else:
            self._outcome = Finished(value, self._clock.monotonic() - self.began)
        self._done.set()
