"""Whether this server can do its work now: the database takes a write, and it is not shutting down.

What is wrong with a provider or a plugin is told, but does not make the server unready: the others serve.
Reasons are for the command line; here are names and states only.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from palaver.errors import PalaverError

if TYPE_CHECKING:
    from palaver.runtime import Runtime

__all__ = ["Readiness"]

#: Seconds the database has to answer, and for which its answer is believed: probes come from many sides.
_PATIENCE = 2.0
_BELIEVED = 1.0


class Readiness:
    """Looks at the database at most once a second."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._looked_at = float("-inf")
        self._database = ""
        self._looking = asyncio.Lock()

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether we are ready, and the parts of it."""
        runtime = self._runtime
        async with self._looking:
            now = runtime.clock.monotonic()
            if now - self._looked_at >= _BELIEVED:
                self._database = await self._look()
                self._looked_at = runtime.clock.monotonic()
        draining = runtime.draining
        ready = self._database == "ok" and not draining
        return ready, {
            "status": "draining" if draining else "ready" if ready else "unavailable",
            "checks": {
                "database": self._database,
                # A storage opens only with every migration applied.
                "migrations": "ok",
                "draining": draining,
            },
            "plugins": [
                {"name": plugin.name, "version": plugin.version, "state": plugin.state.value}
                for plugin in runtime.assembly.plugins
            ],
            "instances": [
                {"name": state.name, "plugin": state.plugin, "state": state.state}
                for state in runtime.instances.values()
            ],
        }

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._runtime.storage.check(write=True)
        except (PalaverError, TimeoutError):
            return "unavailable"
        return "ok"
