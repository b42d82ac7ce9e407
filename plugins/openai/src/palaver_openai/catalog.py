"""Models of OpenAI known without asking, as data. Prices are not here: the registry and genai-prices have them.

https://platform.openai.com/docs/models
"""

from palaver import Capability, ModelInfo

__all__ = ["CATALOG", "model_info"]

_CHAT = frozenset(
    {
        Capability.CHAT,
        Capability.STREAMING,
        Capability.TOOLS,
        Capability.PARALLEL_TOOLS,
        Capability.IMAGES,
        Capability.FILES,
        Capability.STRUCTURED_OUTPUT,
        Capability.PROMPT_CACHE,
    }
)
_REASONS = _CHAT | {Capability.REASONING}
_EMBEDS = frozenset({Capability.EMBEDDINGS})

CATALOG: tuple[ModelInfo, ...] = (
    ModelInfo("gpt-4o-mini", "GPT-4o mini", 128_000, 16_384, _CHAT),
    ModelInfo("gpt-4o", "GPT-4o", 128_000, 16_384, _CHAT),
    ModelInfo("gpt-4.1", "GPT-4.1", 1_047_576, 32_768, _CHAT),
    ModelInfo("gpt-4.1-mini", "GPT-4.1 mini", 1_047_576, 32_768, _CHAT),
    ModelInfo("gpt-5", "GPT-5", 400_000, 128_000, _REASONS),
    ModelInfo("gpt-5-mini", "GPT-5 mini", 400_000, 128_000, _REASONS),
    ModelInfo("o3", "o3", 200_000, 100_000, _REASONS),
    ModelInfo("o4-mini", "o4-mini", 200_000, 100_000, _REASONS),
    ModelInfo("text-embedding-3-small", "Embedding 3 small", 8_191, None, _EMBEDS),
    ModelInfo("text-embedding-3-large", "Embedding 3 large", 8_191, None, _EMBEDS),
)
_BY_ID = {info.id: info for info in CATALOG}


def model_info(name: str) -> ModelInfo:
    """Give what is known of model *name*, its id at least."""
    return _BY_ID.get(name) or ModelInfo(name)
