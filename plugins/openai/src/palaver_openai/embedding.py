"""The answer of ``POST /embeddings`` as ``Embeddings``. Pure. https://platform.openai.com/docs/api-reference/embeddings"""

import base64
import binascii
import struct
from typing import Any

from palaver import Embeddings, UpstreamMalformed

from palaver_openai import failures
from palaver_openai.usage import read_usage

__all__ = ["read_embeddings"]


def read_embeddings(document: Any, count: int, *, provider: str = "") -> Embeddings:
    """Read *count* vectors, in the order of their inputs.

    Raises:
        UpstreamMalformed: not as many vectors as inputs, or not vectors.
        ProviderError: the document is an error.
    """
    if isinstance(document, dict) and document.get("error"):
        raise failures.from_document(document, provider=provider)
    entries = document.get("data") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        raise _malformed(provider, f"{len(entries) if isinstance(entries, list) else 'no'} vectors for {count} inputs")
    vectors: list[tuple[float, ...] | None] = [None] * count
    for place, entry in enumerate(entries):
        index = entry.get("index", place) if isinstance(entry, dict) else -1
        if not isinstance(index, int) or not 0 <= index < count or vectors[index] is not None:
            raise _malformed(provider, "vectors that are numbered wrongly")
        vectors[index] = _vector(entry.get("embedding"), provider)
    model = document.get("model")
    return Embeddings(
        tuple(vector for vector in vectors if vector is not None),
        model=model if isinstance(model, str) else None,
        usage=read_usage(document.get("usage")),
    )


def _vector(value: Any, provider: str) -> tuple[float, ...]:
    try:
        if isinstance(value, str):
            raw = base64.b64decode(value, validate=True)
            return struct.unpack(f"<{len(raw) // 4}f", raw)
        if isinstance(value, list) and value:
            return tuple(map(float, value))
    except (binascii.Error, struct.error, ValueError, TypeError) as error:
        raise _malformed(provider, "a vector that cannot be read") from error
    raise _malformed(provider, "something that is no vector")


def _malformed(provider: str, what: str) -> UpstreamMalformed:
    return UpstreamMalformed(f"{provider or 'the vendor'} answered with {what}", provider=provider)
