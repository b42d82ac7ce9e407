"""What a provider instance can be: one method each, implement what the vendor has.

``ProviderSpec.open`` yields one object; core looks once which of these it implements. There is no
method that exists to say "unsupported".
"""

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from palaver.domain import ChatRequest, EmbeddingRequest, Embeddings, ModelInfo
from palaver.events import Batch, StreamEvent

__all__ = ["Embedder", "HealthProbe", "ModelLister", "Provider", "TokenCounter"]


@runtime_checkable
class Provider(Protocol):
    """Answers chat requests."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Batch | StreamEvent, None]:
        """Answer *request* as an async generator of events or sequences of events.

        Yield one batch per read from the upstream. End with ``ResponseFinished`` only when the vendor's
        terminal marker came; raise ``UpstreamInterrupted`` when the body ended without it. Raise only
        ``PalaverError``. Core owns and closes the generator; let ``finally`` and ``async with`` do the rest.
        With ``request.streaming`` false you may use the non-streaming endpoint and yield few, large events.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors."""

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Give one vector per input, in order."""
        ...


@runtime_checkable
class ModelLister(Protocol):
    """Lists what the account can use."""

    async def list_models(self) -> tuple[ModelInfo, ...]:
        """Ask the vendor which models there are."""
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """Counts tokens before paying for them."""

    async def count_tokens(self, request: ChatRequest) -> int:
        """Tell how many input tokens *request* has."""
        ...


@runtime_checkable
class HealthProbe(Protocol):
    """Tells cheaply whether the account works."""

    async def check(self) -> None:
        """Return when it works, raise a ``ProviderError`` when not; never generate tokens."""
        ...
