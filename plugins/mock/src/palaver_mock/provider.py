"""The mock provider: no vendor, no key, no network. It plays a script, or repeats the question word by word."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from palaver import (
    Batch,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    InvalidRequest,
    ModelInfo,
    PluginContext,
    ProviderSpec,
    ResponseFinished,
    ResponseStarted,
    StreamEvent,
    UpstreamInterrupted,
    UpstreamTimeout,
    Usage,
    UsageReported,
)

from palaver_mock.answer import (
    PURPOSE,
    cap,
    count_input,
    count_words,
    echo,
    finish_of,
    pieces,
    title,
    usage_of,
)
from palaver_mock.catalog import CATALOG, EMBEDDING_DIMENSIONS
from palaver_mock.config import MockConfig
from palaver_mock.script import Script, Turn, load_script
from palaver_mock.vectors import embed_text

__all__ = ["MOCK", "MockProvider", "open_mock"]


@asynccontextmanager
async def open_mock(config: MockConfig, context: PluginContext) -> AsyncIterator["MockProvider"]:
    """Open an instance; its script is read here, once.

    Raises:
        ConfigError: the script cannot be read or is wrong.
    """
    turns = await asyncio.to_thread(load_script, Path(config.script)) if config.script else ()
    yield MockProvider(config, context, Script(turns))


@attrs.frozen
class MockProvider:
    """Implements ``Provider``, ``Embedder``, ``ModelLister``, ``TokenCounter`` and ``HealthProbe``."""

    _config: MockConfig
    _context: PluginContext
    _script: Script

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Answer with one batch per piece; with a single batch when not streaming."""
        turn = cap(self._choose(request), request.sampling.max_tokens)
        started = ResponseStarted(self._context.new_id("mock"), request.model)
        collected: list[StreamEvent] = [started]
        number = 0
        for piece in pieces(turn, self._context.new_id):
            await self._before(turn, number, request)
            collected += piece
            number += 1
            if request.streaming:
                yield collected
                collected = []
        await self._before(turn, number, request, last=True)
        if (usage := usage_of(turn, request)) is not None:
            collected.append(UsageReported(usage))
        reason = finish_of(turn)
        collected.append(ResponseFinished(reason, raw=str(reason)))
        yield collected

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Give a vector of hashed words per input.

        Raises:
            InvalidRequest: impossible dimensions.
        """
        dimensions = EMBEDDING_DIMENSIONS if request.dimensions is None else request.dimensions
        if not 1 <= dimensions <= 4096:
            raise InvalidRequest(f"dimensions: expected 1 to 4096, got {dimensions}", param="dimensions")
        vectors = tuple(embed_text(text, dimensions) for text in request.inputs)
        return Embeddings(vectors, model=request.model, usage=Usage(count_words(request.inputs), 0))

    async def list_models(self) -> tuple[ModelInfo, ...]:
        """List the catalogue."""
        return CATALOG

    async def count_tokens(self, request: ChatRequest) -> int:
        """Count words."""
        return count_input(request)

    async def check(self) -> None:
        """Return: there is nothing that could be down."""

    def _choose(self, request: ChatRequest) -> Turn:
        if request.metadata.get(PURPOSE) == "title":
            # Not from the script: a demonstration's turns are for the conversation itself.
            return title(request)
        return self._script.turn_for(request) or echo(request)

    async def _before(self, turn: Turn, number: int, request: ChatRequest, *, last: bool = False) -> None:
        """Wait for piece *number*, and fail where the turn says so; *last* is the moment after all pieces."""

        def due(after: int | None) -> bool:
            return after is not None and (after == number or (last and after > number))

        clock, name = self._context.clock, self._context.instance
        if turn.error is not None and due(turn.error.after):
            raise turn.error.error(name, request.model)
        if due(turn.cut):
            raise UpstreamInterrupted(f"{name}: scripted cut after {number} pieces", provider=name, model=request.model)
        if due(turn.stall):
            deadlines = self._context.deadlines
            phase, limit = ("idle", deadlines.idle) if number else ("first_byte", deadlines.first_byte)
            await clock.sleep(limit)
            raise UpstreamTimeout(
                f"{name}: scripted stall after {number} pieces, gave up after {limit:g} s",
                phase=phase,
                provider=name,
                model=request.model,
            )
        if not last:
            delay = self._config.delay_ms if turn.delay_ms is None else turn.delay_ms
            # Also without delay: nobody else would run while a long answer is read.
            await clock.sleep((delay + (0.0 if number else turn.first_delay_ms)) / 1000)


MOCK: ProviderSpec[MockConfig] = ProviderSpec(
    "mock",
    config=MockConfig,
    open=open_mock,
    model_prefixes=("mock-",),
    catalog=CATALOG,
    automatic=False,
)
