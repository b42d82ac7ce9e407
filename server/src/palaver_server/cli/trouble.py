"""Words for exceptions that are not ours, raised by plugins or their libraries: one line, no secret."""

import traceback

from palaver.assembly.wording import Wording
from palaver.config import Loaded
from palaver.config.masking import reveal_all, scrub

__all__ = ["wording"]


def wording(error: BaseException, loaded: Loaded) -> tuple[str, str]:
    """Give one line and the traceback of *error*; what the configuration calls secret is masked in both."""
    config = loaded.config
    secrets = [
        *reveal_all(config.storage.url),
        *reveal_all(config.llm.api_key),
        *reveal_all(config.server.proxy_secret),
        *reveal_all(config.server.api_keys),
        *_texts([entry.options for entry in config.providers.values()]),
        *_texts([config.storage.options, config.tools, config.observers, config.middlewares]),
    ]
    words = Wording(loaded.environment)
    return scrub(words.line(error), secrets), scrub("".join(traceback.format_exception(error)), secrets)


def _texts(value: object) -> list[str]:
    """List every text among raw options that is long enough to be a secret: nobody told which ones are."""
    if isinstance(value, str):
        return [value] if len(value) >= 8 else []
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return list(reveal_all(value))
