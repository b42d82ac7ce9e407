"""The OpenAI provider: Chat Completions, embeddings and models over the shared HTTP connections.

Wire format: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from palaver import (
    AnswerKind,
    Batch,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    ModelInfo,
    PluginContext,
    ProviderSpec,
    Upstream,
    UpstreamInterrupted,
)

from palaver_openai import codec, failures
from palaver_openai.catalog import CATALOG, model_info
from palaver_openai.config import OpenAIConfig, quirks_of
from palaver_openai.embedding import read_embeddings
from palaver_openai.stream import Mapper

__all__ = ["OPENAI", "OpenAIProvider", "open_provider"]


@asynccontextmanager
async def open_provider(config: OpenAIConfig, context: PluginContext) -> AsyncIterator["OpenAIProvider"]:
    """Open an instance over the shared connections; nothing is sent yet."""
    async with context.upstream(
        config.base_url, failures=failures.http_failure, headers=config.http_headers
    ) as upstream:
        yield OpenAIProvider(upstream, config, context)


class OpenAIProvider:
    """Implements ``Provider``, ``Embedder``, ``ModelLister`` and ``HealthProbe``."""

    def __init__(self, upstream: Upstream, config: OpenAIConfig, context: PluginContext) -> None:
        self._upstream = upstream
        self._quirks = quirks_of(config)
        self._context = context

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Answer with one batch per read; with a single one when not streaming."""
        context = self._context
        body = codec.encode_request(request, self._quirks)
        accept = AnswerKind.SSE if request.streaming else AnswerKind.JSON
        async with self._upstream.post("/chat/completions", json=body, accept=accept) as answer:
            mapper = Mapper(
                new_id=context.new_id,
                taken=lambda: codec.call_ids(request.messages),
                whole=answer.kind is AnswerKind.JSON,
                provider=context.instance,
            )
            lost: UpstreamInterrupted | None = None
            try:
                async for frames in answer:
                    if batch := mapper.feed(frames):
                        yield batch
                    if mapper.over:
                        break
            except UpstreamInterrupted as error:
                lost = error
            if last := mapper.finish(lost):
                yield last

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Give a vector per input, in order."""
        body = codec.encode_embedding(request)
        async with self._upstream.post("/embeddings", json=body, accept=AnswerKind.JSON) as answer:
            async for frames in answer:
                return read_embeddings(frames[0].json(), len(request.inputs), provider=self._context.instance)
        raise UpstreamInterrupted("the connection ended before the answer", provider=self._context.instance)

    async def list_models(self) -> tuple[ModelInfo, ...]:
        """List what ``GET /models`` gives, with what the catalogue knows of each."""
        document = await self._upstream.get("/models")
        entries = document.get("data") if isinstance(document, dict) else document
        entries = entries if isinstance(entries, list) else ()
        names = [entry.get("id") for entry in entries if isinstance(entry, dict)]
        return tuple(model_info(name) for name in names if isinstance(name, str) and name)

    async def check(self) -> None:
        """Return when ``GET /models`` answers."""
        await self._upstream.get("/models")


OPENAI: ProviderSpec[OpenAIConfig] = ProviderSpec(
    "openai",
    config=OpenAIConfig,
    open=open_provider,
    model_prefixes=("gpt-", "o1", "o3", "o4", "chatgpt-"),
    catalog=CATALOG,
    dialect=codec.DIALECT,
)
