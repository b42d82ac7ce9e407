"""Reasoning in the dialect's several spellings, as one block that can be sent back the way it came. Pure.

``reasoning_content`` (DeepSeek, xAI, Qwen), ``reasoning`` (Groq, vLLM, OpenRouter), ``reasoning_details``
(https://openrouter.ai/docs/use-cases/reasoning-tokens, verbatim and signed), ``thinking`` content parts (Mistral).
"""

from collections.abc import Mapping
from typing import Any

from palaver import ReasoningDelta, StreamEvent

__all__ = ["Reasoning"]

_FIELDS = ("reasoning_content", "reasoning")


class Reasoning:
    """Collects the reasoning of one answer."""

    def __init__(self) -> None:
        self._field: str | None = None
        self._details: list[dict[str, Any]] = []

    def feed(self, delta: Mapping[str, Any], out: list[StreamEvent]) -> None:
        """Take what a delta or message holds of it."""
        for field in _FIELDS:
            text = delta.get(field)
            if text and isinstance(text, str):
                self._text(text, field, out)
                break
        else:
            text = None
        details = delta.get("reasoning_details")
        if details and isinstance(details, list):
            for detail in details:
                if isinstance(detail, dict):
                    self._add(detail)
                    words = detail.get("text") or detail.get("summary")
                    if text is None and words and isinstance(words, str):
                        self._text(words, "reasoning_details", out)

    def feed_thinking(self, part: Mapping[str, Any], out: list[StreamEvent]) -> None:
        """Take a ``thinking`` content part."""
        pieces = part.get("thinking")
        if isinstance(pieces, str):
            pieces = [{"text": pieces}]
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict) and isinstance(piece.get("text"), str) and piece["text"]:
                self._text(piece["text"], "thinking", out)
        signature = part.get("signature")
        if signature and isinstance(signature, str):
            out.append(ReasoningDelta(signature=signature))

    def finish(self, out: list[StreamEvent]) -> None:
        """Give what belongs to the whole block: signature, encrypted text, and the details to send back."""
        if not self._details:
            return
        signature = redacted = ident = None
        for detail in self._details:
            signature = detail.get("signature") or signature
            redacted = detail.get("data") or redacted
            ident = detail.get("id") or ident
        out.append(
            ReasoningDelta(
                "",
                0,
                signature if isinstance(signature, str) else None,
                redacted if isinstance(redacted, str) else None,
                ident if isinstance(ident, str) else None,
                {"openai": {"reasoning_details": self._details}},
            )
        )

    def _text(self, text: str, field: str, out: list[StreamEvent]) -> None:
        if self._field is None:
            self._field = field
            out.append(ReasoningDelta(text, vendor={"openai": {"field": field}}))
        else:
            out.append(ReasoningDelta(text))

    def _add(self, detail: dict[str, Any]) -> None:
        """Join the pieces of one detail: same type and index, one after the other."""
        last = self._details[-1] if self._details else None
        if last is None or last.get("type") != detail.get("type") or last.get("index") != detail.get("index"):
            self._details.append(dict(detail))
            return
        for key, value in detail.items():
            before = last.get(key)
            if key in ("text", "summary", "data") and isinstance(before, str) and isinstance(value, str):
                last[key] = before + value
            elif value not in (None, "") or key not in last:
                last[key] = value
