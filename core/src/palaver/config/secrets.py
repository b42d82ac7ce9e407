"""Every text that must not be read in a log or an error: what the configuration calls secret, or what looks it.

Masking by type keeps our own words clean; this list is for the words of others: plugins, drivers, tracebacks.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from palaver.config.loading import Loaded
from palaver.config.masking import is_secret_name, looks_like_key, reveal_all
from palaver.config.origins import Origin
from palaver.settings import Secret

__all__ = ["secret_texts"]

#: Variables that may hold a secret; narrower than for options, because nobody chose them for us.
_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|DSN", re.IGNORECASE)
#: Fewer characters would blot out ordinary words.
_SHORTEST = 6


def secret_texts(loaded: Loaded) -> tuple[str, ...]:
    """List them, longest first, so that replacing one leaves no piece of another."""
    config = loaded.config
    found = set(reveal_all(config))
    raw = {
        "llm.options": config.llm.options,
        "storage.options": config.storage.options,
        "tools": config.tools,
        "observers": config.observers,
        "middlewares": config.middlewares,
        "authenticators": config.authenticators,
        **{f"providers.{name}": entry.options for name, entry in config.providers.items()},
    }
    for path, value in raw.items():
        found.update(_in_options(value, path, False, loaded.origins))
    found.update(value for name, value in loaded.environment.items() if _VARIABLE.search(name) and len(value) >= 8)
    # Callers send the key without the owner that stands before it.
    found.update(item.reveal().partition("=")[2] for item in config.server.api_keys)
    for text in tuple(found):
        found.update(_passwords(text))
    return tuple(sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True))


def _in_options(value: Any, path: str, secret: bool, origins: Mapping[str, Origin]) -> Iterator[str]:
    """List the texts in raw options whose name, look or origin says that they may be secret."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in_options(item, f"{path}.{key}", secret or is_secret_name(str(key)), origins)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _in_options(item, f"{path}[{index}]", secret, origins)
    elif isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, str):
        origin = origins.get(path)
        if secret or looks_like_key(value) or (origin is not None and origin.expanded):
            yield value
        yield from _passwords(value)


def _passwords(text: str) -> Iterator[str]:
    if "://" in text and "@" in text:
        try:
            password = urlsplit(text).password
        except ValueError:
            return
        if password:
            yield password
            yield unquote(password)
