"""Rules of provider conformance for what a provider may be besides: prober, lister of models, embedder."""

from collections.abc import Awaitable, Callable
from typing import Any

from palaver.contracts import Embedder, HealthProbe, ModelLister
from palaver.domain import EmbeddingRequest, ModelInfo
from palaver.errors import PalaverError, ProviderAuthFailed, ProviderError, UpstreamFailed
from palaver.testing.conformance_case import Case, NotApplicable
from palaver.testing.conformance_wire import deliver, faults, plain, refused_vendor

__all__ = ["check_embeddings", "check_health", "check_models"]


async def check_health(case: Case) -> None:
    """``check()`` returns when the account works and raises a ``ProviderError`` when the key or the vendor does not."""
    await _need(case, HealthProbe)
    if not case.has_wire:
        async with case.opened(case.some_config()) as provider:
            await provider.check()
        return
    if case.has("models", streaming=False):
        async with case.face(deliver(case.exchange("models", streaming=False)), streaming=False) as played:
            await played.provider.check()
    async with case.face(plain(401), streaming=False) as played:
        error = await _failure(played.provider.check())
    assert isinstance(error, ProviderAuthFailed), f"a wrong key: expected ProviderAuthFailed, got {error!r}"
    with refused_vendor() as vendor:
        async with case.opened(case.suite.config(vendor)) as provider:
            error = await _failure(provider.check())
    assert isinstance(error, ProviderError), f"nobody listens: expected a ProviderError, got {error!r}"


async def check_models(case: Case) -> None:
    """``list_models()`` lists each model once, and only ``PalaverError``s leave it."""
    await _need(case, ModelLister)
    if not case.has_wire:
        async with case.opened(case.some_config()) as provider:
            _assert_models(await provider.list_models())
        return
    async with case.face(deliver(case.exchange("models", streaming=False)), streaming=False) as played:
        _assert_models(await played.provider.list_models())
    await _assert_failures(case, lambda provider: provider.list_models(), made_up=lambda models: bool(models))


def _assert_models(models: Any) -> None:
    assert isinstance(models, tuple), f"list_models() gives a {type(models).__name__}, not a tuple"
    assert models, "no model is listed"
    for model in models:
        assert isinstance(model, ModelInfo), f"{model!r} is not a ModelInfo"
    ids = [model.id for model in models]
    assert all(ids), "a model has no id"
    assert len(set(ids)) == len(ids), f"a model is listed twice: {ids}"


async def check_embeddings(case: Case) -> None:
    """``embed()`` gives one vector per input, all of one length, and only ``PalaverError``s leave it."""
    await _need(case, Embedder)
    request = EmbeddingRequest(case.suite.model, ("one", "two"))
    if not case.has_wire:
        async with case.opened(case.some_config()) as provider:
            _assert_vectors((await provider.embed(request)).vectors)
        return
    async with case.face(deliver(case.exchange("embeddings", streaming=False)), streaming=False) as played:
        _assert_vectors((await played.provider.embed(request)).vectors)
    await _assert_failures(case, lambda provider: provider.embed(request), made_up=lambda _: True)


def _assert_vectors(vectors: Any) -> None:
    assert len(vectors) == 2, f"expected two vectors for two inputs, got {len(vectors)}"
    for vector in vectors:
        assert isinstance(vector, tuple), f"a vector is a {type(vector).__name__}, not a tuple"
        assert all(type(value) is float for value in vector), "a vector holds something else than floats"
    assert len(vectors[0]) == len(vectors[1]) > 0, f"vectors of different lengths: {[len(one) for one in vectors]}"


async def _assert_failures(case: Case, ask: Callable[[Any], Awaitable[Any]], *, made_up: Callable[[Any], bool]) -> None:
    """Check what leaves when the vendor fails; *made_up* tells whether a result would be an invention."""
    async with case.face(plain(500), streaming=False) as played:
        error = await _failure(ask(played.provider))
    assert isinstance(error, UpstreamFailed), f"status 500: expected UpstreamFailed, got {error!r}"
    for fault in faults():
        async with case.face(fault, streaming=False) as played:
            try:
                result = await ask(played.provider)
            except PalaverError:
                continue
            except Exception as foreign:
                raise AssertionError(
                    f"{fault.name}: {type(foreign).__name__} left the provider: {foreign}"
                ) from foreign
        assert not made_up(result), f"{fault.name}: taken for an answer: {result!r}"


async def _need(case: Case, protocol: type) -> None:
    async with case.opened(case.some_config()) as provider:
        if not isinstance(provider, protocol):
            raise NotApplicable(f"the provider is no {protocol.__name__}")


async def _failure(asked: Awaitable[Any]) -> Exception | None:
    try:
        await asked
    except Exception as error:
        return error
    return None
