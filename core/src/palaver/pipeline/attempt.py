"""The innermost link: ask the provider once, tell observers, open the stream."""

import asyncio
from collections.abc import Callable
from typing import Any

import attrs

from palaver.clock import Clock
from palaver.contracts.pipeline import AttemptEnded, AttemptStarted, Observation
from palaver.contracts.provider import Embedder, Provider
from palaver.domain import Call, ChatRequest, ServedBy
from palaver.errors import DeadlineExceeded, PalaverError, ProviderError, Unsupported, UpstreamTimeout
from palaver.pipeline.stream import OpenedStream
from palaver.upstream.interface import Deadlines
from palaver.upstream.watch import Watch

__all__ = ["Attempt"]


class Attempt:
    """One try on one target.

    Args:
        opened: What the provider plugin yielded; asked once for each protocol it implements.
        observe: Where observations go; ``None`` when nobody looks.
        watch: Keeps the deadlines of its streams.
    """

    def __init__(
        self,
        opened: object,
        served_by: ServedBy,
        deadlines: Deadlines,
        clock: Clock,
        observe: Callable[[Observation], None] | None,
        watch: Watch | None = None,
    ) -> None:
        self._provider = opened if isinstance(opened, Provider) else None
        self._embedder = opened if isinstance(opened, Embedder) else None
        self._served_by = served_by
        self._deadlines = deadlines
        self._clock = clock
        self._observe = observe
        self._watch = watch

    async def __call__(self, call: Call[Any]) -> Any:
        left = self._deadlines.total
        started = self._clock.monotonic()
        if call.deadline is not None:
            left = min(left, call.deadline - started)
            if left <= 0:
                raise DeadlineExceeded("the call's deadline passed before the provider could be asked")
        if self._observe is None:
            return await self._named(call, left)
        self._observe(AttemptStarted(call, self._served_by, call.attempt))
        failure: PalaverError | None = None
        try:
            return await self._named(call, left)
        except PalaverError as error:
            failure = error
            raise
        finally:
            seconds = self._clock.monotonic() - started
            self._observe(AttemptEnded(call, self._served_by, call.attempt, seconds, failure))

    async def _named(self, call: Call[Any], left: float) -> Any:
        """Ask; a failure names the instance and model it came from, so that metrics and logs can."""
        try:
            return await self._ask(call, left)
        except ProviderError as error:
            error.provider = error.provider or self._served_by.instance
            error.model = error.model or self._served_by.model
            raise

    async def _ask(self, call: Call[Any], left: float) -> Any:
        request = call.request
        if isinstance(request, ChatRequest):
            if self._provider is None:
                raise Unsupported(f"instance {self._served_by.instance!r} does not chat", param="model")
            # What is not streamed comes all at once, when the model is done: silence until then is no sign.
            idle = self._deadlines.idle if request.streaming else left
            source = self._provider.stream(request)
            stream = OpenedStream(
                source,
                served_by=self._served_by,
                idle=idle,
                total=left,
                first=self._deadlines.first_byte,
                watch=self._watch,
            )
            return await stream.open()
        if self._embedder is None:
            raise Unsupported(f"instance {self._served_by.instance!r} has no embeddings", param="model")
        try:
            async with asyncio.timeout(left):
                embeddings = await self._embedder.embed(request)
                return attrs.evolve(embeddings, served_by=self._served_by)
        except TimeoutError as error:
            raise UpstreamTimeout(f"no embeddings within {left:g} s", phase="total", **self._about()) from error
        except PalaverError:
            raise
        except Exception as error:
            raise ProviderError(f"the provider plugin failed: {type(error).__name__}", **self._about()) from error

    def _about(self) -> dict[str, Any]:
        return {"provider": self._served_by.instance, "model": self._served_by.model}
