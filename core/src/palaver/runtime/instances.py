"""A provider instance: opened in a task of its own, leased by calls, closed when the last lease ends.

The task enters and leaves the plugin's context manager, because many libraries insist that one task does
both. So instances open, change and close under running streams without touching each other.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs

from palaver.contracts.context import PluginContext
from palaver.contracts.pipeline import CallNext
from palaver.domain import ServedBy
from palaver.errors import PluginError
from palaver.pipeline.routing import Claims
from palaver.specs import ProviderSpec

__all__ = ["Instance", "InstanceState"]

logger = logging.getLogger("palaver.instances")

#: Target chains kept per instance; callers choose model names, so they must not grow without end.
_CHAINS = 256


@attrs.frozen
class InstanceState:
    """What became of a configured instance: ``ready``, ``not_configured`` or ``failed``, and why."""

    name: str
    plugin: str
    state: str
    reason: str = ""
    claims: Claims | None = None


class Instance:
    """A live provider instance.

    Args:
        build: Builds the chain of a target (retry, breaker, provider) from what the plugin yielded.
    """

    def __init__(
        self,
        name: str,
        spec: ProviderSpec[Any],
        claims: Claims,
        build: Callable[[object, ServedBy], CallNext],
    ) -> None:
        self.name = name
        self.spec = spec
        self.claims = claims
        self.opened: object = None
        self._build = build
        self._chains: OrderedDict[str, tuple[ServedBy, CallNext]] = OrderedDict()
        self._leases = 0
        self._retired = False
        self._close = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    async def open(self, config: Any, context: PluginContext, *, limit: float = 15.0) -> None:
        """Open the plugin within *limit* seconds.

        Raises:
            PluginError: it took too long, or failed with something of its own.
        """
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        self._owner = loop.create_task(self._own(config, context, ready), name=f"instance:{self.name}")
        try:
            async with asyncio.timeout(limit):
                await asyncio.shield(ready)
        except TimeoutError as error:
            await self._abandon()
            raise PluginError(f"instance {self.name!r} did not open within {limit:g} s") from error
        except asyncio.CancelledError:
            await self._abandon()
            raise

    async def _own(self, config: Any, context: PluginContext, ready: "asyncio.Future[None]") -> None:
        try:
            async with self.spec.open(config, context) as opened:
                self.opened = opened
                ready.set_result(None)
                await self._close.wait()
        except (Exception, SystemExit) as error:
            # A plugin that calls sys.exit here would otherwise end the whole server.
            if ready.done():
                logger.error("instance %s failed while closing", self.name, exc_info=error)
            elif isinstance(error, SystemExit):
                ready.set_exception(PluginError(f"instance {self.name!r} called sys.exit while opening"))
            else:
                ready.set_exception(error)

    async def _abandon(self) -> None:
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.wait({self._owner})

    def target(self, model: str) -> tuple[ServedBy, CallNext]:
        """Give the chain of *model* on this instance, and the name it is served by."""
        entry = self._chains.get(model)
        if entry is None:
            served_by = ServedBy(self.name, model, self.claims.plugin)
            entry = self._chains[model] = (served_by, self._build(self.opened, served_by))
            if len(self._chains) > _CHAINS:
                self._chains.popitem(last=False)
        return entry

    def lease(self) -> None:
        """Keep the instance open until ``release``."""
        self._leases += 1

    def release(self) -> None:
        """Give a lease back; the last one of a retired instance lets it close."""
        self._leases -= 1
        if self._retired and self._leases <= 0:
            self._close.set()

    async def retire(self, limit: float) -> None:
        """Close when the last lease ends, or after *limit* seconds; returns when closed."""
        self._retired = True
        if self._leases <= 0:
            self._close.set()
        if self._owner is None:
            return
        if limit > 0:
            await asyncio.wait({self._owner}, timeout=limit)
        self._close.set()
        await asyncio.wait({self._owner})
