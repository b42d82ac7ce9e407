"""What core hands to a plugin when it opens."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs

from palaver.clock import Clock, SystemClock
from palaver.ids import IdSource, random_id
from palaver.upstream.interface import Deadlines, Failures, Upstream

__all__ = ["OpenUpstream", "PluginContext"]


class OpenUpstream(Protocol):
    """Opens an upstream over the shared connections."""

    def __call__(
        self,
        base_url: str,
        *,
        provider: str,
        failures: Failures | None,
        headers: Mapping[str, str] | None,
        deadlines: Deadlines | None,
    ) -> AbstractAsyncContextManager[Upstream]: ...


@attrs.frozen
class PluginContext:
    """The instance's name, time, ids, and HTTP over the shared connections."""

    instance: str
    _open_upstream: OpenUpstream
    clock: Clock = attrs.field(factory=SystemClock)
    new_id: IdSource = random_id
    deadlines: Deadlines = Deadlines()
    #: Reports something worth a warning in the log; never give it secrets or content.
    warn: Callable[[str], None] = lambda text: None

    def upstream(
        self,
        base_url: str,
        *,
        failures: Failures | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Upstream]:
        """Open HTTP towards *base_url*; without *failures* errors are told by status alone."""
        return self._open_upstream(
            base_url,
            provider=self.instance,
            failures=failures,
            headers=headers,
            deadlines=self.deadlines,
        )
