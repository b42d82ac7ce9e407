"""The models of the mock provider, as data. It answers to any other name as well."""

from palaver import Capability, ModelInfo

__all__ = ["CATALOG", "EMBEDDING_DIMENSIONS"]

#: Length of a vector when the request does not say.
EMBEDDING_DIMENSIONS = 64

CATALOG = (
    ModelInfo(
        "echo",
        display_name="Mock echo",
        context_window=1_000_000,
        capabilities=frozenset(
            {
                Capability.CHAT,
                Capability.STREAMING,
                Capability.TOOLS,
                Capability.PARALLEL_TOOLS,
                Capability.IMAGES,
                Capability.FILES,
                Capability.AUDIO,
                Capability.REASONING,
            }
        ),
        description="repeats the question, or plays the configured script",
    ),
    ModelInfo(
        "embed",
        display_name="Mock embeddings",
        capabilities=frozenset({Capability.EMBEDDINGS}),
        description="vectors of hashed words: texts that share words are near each other",
    ),
)
