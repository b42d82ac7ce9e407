"""Fallback: try the targets of a route in order, while nothing has left and another target may do better."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from palaver.domain import Call
from palaver.errors import ProviderError
from palaver.pipeline.routing import Target

__all__ = ["Fallback"]


class Fallback:
    """Ends the call chain: resolves the model, then opens the first target that answers.

    Args:
        resolve: Gives the targets of a model name.
        open_target: Opens a call on one target.
    """

    def __init__(
        self,
        resolve: Callable[[str], Sequence[Target]],
        open_target: Callable[[Call[Any], Target], Awaitable[Any]],
    ) -> None:
        self._resolve = resolve
        self._open_target = open_target

    async def __call__(self, call: Call[Any]) -> Any:
        targets = self._resolve(call.request.model)
        last = targets[-1]
        for target in targets[:-1]:
            try:
                return await self._open_target(call, target)
            except ProviderError as error:
                if not error.fallback:
                    raise
        return await self._open_target(call, last)
