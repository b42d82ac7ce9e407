"""The short way for what most whole answers are: one choice of nothing but text. Pure.

Anything else takes the long way, through ``stream``.
"""

from typing import Any

__all__ = ["plain_answer"]

_CHOICE = frozenset({"index", "message", "finish_reason", "logprobs"})
_MESSAGE = frozenset({"role", "content", "refusal", "annotations"})
_FINISH = frozenset({"stop", "length"})


def plain_answer(document: Any) -> tuple[str, str] | None:
    """Give text and finish reason of a document that holds nothing else worth a look, else ``None``."""
    try:
        (choice,) = document["choices"]
        message = choice["message"]
        text = message["content"]
        finish = choice["finish_reason"]
        if (
            text.__class__ is str
            and text
            and finish in _FINISH
            and choice.keys() <= _CHOICE
            and message.keys() <= _MESSAGE
            and not (choice.get("index") or choice.get("logprobs") or message.get("refusal"))
            and not (message.get("annotations") or document.get("error"))
            and document.get("object") != "error"
        ):
            return text, finish
    except (KeyError, TypeError, ValueError):
        pass
    return None
