"""Fakes for tests of what stands around a provider: a context without network, counted ids, a provider by hand."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any

from palaver.clock import Clock
from palaver.contracts.context import OpenUpstream, PluginContext
from palaver.domain import ChatRequest, FinishReason, Usage
from palaver.events import Batch, ResponseFinished, StreamEvent, TextDelta, UsageReported
from palaver.ids import IdSource
from palaver.testing.clock import FakeClock
from palaver.upstream.interface import Deadlines, Upstream

__all__ = ["FakeProvider", "counting_ids", "fake_context", "say"]


def counting_ids() -> IdSource:
    """Make an id source whose ids are ``1``, ``call_2``, ``3``, ... in the order they are asked for."""
    numbers = count(1)

    def next_id(prefix: str = "") -> str:
        return f"{prefix}_{next(numbers)}" if prefix else str(next(numbers))

    return next_id


def _no_upstream(base_url: str, **_: Any) -> AbstractAsyncContextManager[Upstream]:
    raise AssertionError(
        f"this test has no network, but the plugin opens {base_url}: give fake_context an open_upstream"
    )


def fake_context(
    instance: str = "test",
    *,
    open_upstream: OpenUpstream = _no_upstream,
    clock: Clock | None = None,
    new_id: IdSource | None = None,
    deadlines: Deadlines | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> PluginContext:
    """Make the context a plugin opens with: time stands still, ids count up, and there is no network."""
    return PluginContext(
        instance,
        open_upstream,
        clock=clock or FakeClock(),
        new_id=new_id or counting_ids(),
        deadlines=deadlines or Deadlines(),
        warn=warn,
    )


def say(*words: str, usage: Usage | None = None) -> tuple[Batch | BaseException, ...]:
    """Give the batches of a good answer: one per word, then usage if given, and the end."""
    last: list[StreamEvent] = [UsageReported(usage)] if usage else []
    return (*((TextDelta(word),) for word in words), (*last, ResponseFinished(FinishReason.STOP, raw="stop")))


class FakeProvider:
    """A ``Provider`` that says what it is told, one answer per request.

    Args:
        answers: For each request in turn the batches to yield; an exception among them is raised at its place,
            ``FakeProvider.STALL`` stands still until the stream is closed. The last answer is repeated.
    """

    STALL: Batch = (StreamEvent(),)

    def __init__(self, *answers: Iterable[Batch | BaseException]) -> None:
        self._answers: list[Sequence[Batch | BaseException]] = [tuple(answer) for answer in answers] or [say("hello")]
        #: Every request, in order.
        self.requests: list[ChatRequest] = []
        #: How many streams were begun and not yet closed.
        self.open = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Answer with the next answer."""
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append(request)
        self.open += 1
        try:
            for item in answer:
                # Like a socket: others run between two reads.
                await asyncio.sleep(0)
                if isinstance(item, BaseException):
                    raise item
                if item is self.STALL:
                    await asyncio.get_running_loop().create_future()
                yield item
        finally:
            self.open -= 1
