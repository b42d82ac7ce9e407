"""A message: who speaks, and the parts of what is said."""

from collections.abc import Iterable
from enum import StrEnum

import attrs

from palaver.domain.content import (
    EMPTY,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    Vendor,
)

__all__ = ["Message", "Role"]


class Role(StrEnum):
    """Who speaks. A vendor's other words for them (``developer``, ``model``) are the codec's matter."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


def _as_parts(content: str | Iterable[Part]) -> tuple[Part, ...]:
    return (TextPart(content),) if isinstance(content, str) else tuple(content)


@attrs.frozen
class Message:
    """One message of a conversation; a plain string becomes one text part."""

    role: Role
    parts: tuple[Part, ...] = attrs.field(converter=_as_parts)
    name: str | None = None
    vendor: Vendor = EMPTY

    @property
    def text(self) -> str:
        """All text parts joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def reasoning(self) -> str:
        """All readable reasoning joined."""
        return "".join(part.text for part in self.parts if isinstance(part, ReasoningPart))

    @property
    def refusal(self) -> str:
        """The refusal, empty when there is none."""
        return "".join(part.text for part in self.parts if isinstance(part, RefusalPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The calls this message asks for, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))
