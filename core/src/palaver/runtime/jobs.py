"""Background work with an owner: titles, sweeps, runs. Nothing here is forgotten or silently lost."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["Jobs"]

logger = logging.getLogger("palaver.jobs")


class Jobs:
    """A set of running tasks; each failure is logged, draining waits and then cancels."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run *work* as a task of ours; its result is the caller's if awaited, its failure is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("job %s failed", task.get_name(), exc_info=error)

    async def drain(self, seconds: float) -> None:
        """Give what runs *seconds* to end, then cancel the rest and wait for it."""
        if self._tasks and seconds > 0:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        while self._tasks:
            tasks = set(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
