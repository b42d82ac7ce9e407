"""Putting middlewares around the end of a chain, outermost first."""

from collections.abc import Sequence
from typing import Any

from palaver.contracts.pipeline import CallNext, Middleware
from palaver.domain import Call

__all__ = ["chain"]


def chain(middlewares: Sequence[Middleware], end: CallNext) -> CallNext:
    """Build the one function that passes a call through *middlewares* to *end*; empty costs nothing."""
    for middleware in reversed(middlewares):
        end = _link(middleware, end)
    return end


def _link(middleware: Middleware, call_next: CallNext) -> CallNext:
    async def linked(call: Call[Any]) -> Any:
        return await middleware(call, call_next)

    return linked
