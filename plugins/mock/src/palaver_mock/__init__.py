"""A Palaver provider that answers without a key, from its question or from a script."""

from collections.abc import Iterable
from typing import Any

from palaver import ProviderSpec, hookimpl

from palaver_mock.provider import MOCK

PALAVER_HOOK_API = 1


@hookimpl
def palaver_providers() -> Iterable[ProviderSpec[Any]]:
    """Offer the mock provider."""
    yield MOCK
