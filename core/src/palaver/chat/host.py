"""What the chat needs of the runtime around it, and no more; tests give a small fake of it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from palaver.clock import Clock
from palaver.config.schema import Config
from palaver.contracts.pipeline import EventStream, Observation
from palaver.contracts.storage import Storage
from palaver.domain import Call, ChatRequest
from palaver.ids import IdSource
from palaver.pipeline import Target

__all__ = ["Host", "JobStarter"]


class JobStarter(Protocol):
    """Owns background tasks: logs their failures, ends them when the server drains."""

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Run *work* as a task of its own."""
        ...


class Host(Protocol):
    """The part of ``palaver.runtime.Runtime`` that conversations stand on."""

    @property
    def config(self) -> Config: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def new_id(self) -> IdSource: ...

    @property
    def storage(self) -> Storage: ...

    @property
    def jobs(self) -> JobStarter: ...

    @property
    def server_id(self) -> str: ...

    @property
    def draining(self) -> bool: ...

    async def stream(self, call: Call[ChatRequest]) -> EventStream:
        """Pass a call through the pipeline; whoever calls this closes the stream."""
        ...

    def resolve(self, model: str | None) -> Target:
        """Tell which target *model* is tried on first.

        Raises:
            ModelNotFound: nobody claims it.
        """
        ...

    def observe(self, observation: Observation) -> None:
        """Tell every observer."""
        ...
