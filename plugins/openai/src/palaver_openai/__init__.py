"""OpenAI's Chat Completions, and every server that speaks its dialect, for Palaver."""

from collections.abc import Iterable
from typing import Any

from palaver import ProviderSpec, hookimpl

from palaver_openai.provider import OPENAI

PALAVER_HOOK_API = 1


@hookimpl
def palaver_providers() -> Iterable[ProviderSpec[Any]]:
    """Offer the OpenAI provider."""
    yield OPENAI
