"""Tools as the model sees them, and the record of one that ran."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from palaver.domain.content import EMPTY, Vendor

__all__ = ["ToolChoice", "ToolChoiceMode", "ToolExecution", "ToolSpec"]


@attrs.frozen
class ToolSpec:
    """A tool offered to the model; *input_schema* is a JSON Schema object."""

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = attrs.field(factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None
    #: Which tool source it came from, empty for the caller's own.
    source: str = ""
    cache_breakpoint: bool = False
    vendor: Vendor = EMPTY


class ToolChoiceMode(StrEnum):
    """How free the model is to call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@attrs.frozen
class ToolChoice:
    """The mode, and the one tool when the mode is ``NAMED``."""

    mode: ToolChoiceMode = ToolChoiceMode.AUTO
    name: str | None = None


@attrs.frozen
class ToolExecution:
    """What happened when a tool ran; *call_id* pairs it with the call, times are UTC."""

    call_id: str
    tool_name: str
    arguments: str
    result: str
    started_at: datetime
    ended_at: datetime
    error: str | None = None

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds between start and end."""
        return round((self.ended_at - self.started_at).total_seconds() * 1000)
