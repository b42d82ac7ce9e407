"""Where tools come from."""

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from palaver.domain import Part, Principal, ToolSpec

__all__ = ["ToolCallContext", "ToolOutput", "ToolSource"]


@attrs.frozen
class ToolCallContext:
    """Who calls, in which session and run, and how many seconds the call may take."""

    principal: Principal
    session_id: str | None = None
    run_id: str | None = None
    call_id: str = ""
    timeout: float = 30.0


@attrs.frozen
class ToolOutput:
    """What a tool gave back. An error is an answer for the model, not an exception."""

    content: tuple[Part, ...]
    is_error: bool = False


class ToolSource(Protocol):
    """A set of tools and the way to call them."""

    async def list_tools(self) -> tuple[ToolSpec, ...]:
        """List the tools as they are now."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolCallContext) -> ToolOutput:
        """Run tool *name*. Never retried by core: a tool may have effects."""
        ...
