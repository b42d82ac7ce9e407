"""Everything the handlers share, gathered once when the application is made."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from palaver import __version__
from palaver.contracts import Authenticator
from palaver.errors import ShuttingDown

from palaver_server.accounting import UsageLedger
from palaver_server.browser import Cors, Hosts
from palaver_server.identity import Identity
from palaver_server.logs import RequestLog
from palaver_server.metrics import Metrics
from palaver_server.presence import Presence
from palaver_server.readiness import Readiness

if TYPE_CHECKING:
    from palaver.chat import ChatService
    from palaver.runtime import Runtime

__all__ = ["ServerState"]

logger = logging.getLogger("palaver.server")


class ServerState:
    """The runtime, the chat service, and what stands at the door."""

    def __init__(
        self,
        runtime: "Runtime",
        service: "ChatService",
        *,
        authenticators: Sequence[Authenticator] = (),
        log: RequestLog | None = None,
    ) -> None:
        config = runtime.config
        self.runtime = runtime
        self.service = service
        self.config = config
        self.limits = config.limits
        self.keepalive = min(config.server.keepalive, 15.0)
        self.identity = Identity(config.server, authenticators)
        self.hosts = Hosts(config.server)
        self.cors = Cors(config.server.cors_origins)
        self.presence = Presence(runtime.jobs)
        self.metrics = Metrics(runtime, self.presence)
        self.usage = UsageLedger(runtime)
        self.log = log
        self.readiness = Readiness(runtime)
        self.version = __version__
        self.started_at = int(runtime.clock.now().timestamp())

    def log_failure(self, error: BaseException, request_id: str) -> None:
        """Keep what went wrong after the answer had begun; its client is told no more than that it did."""
        logger.error("a request failed while it was being answered (%s)", request_id, exc_info=error)

    def take_new_work(self) -> None:
        """Let new work in.

        Raises:
            ShuttingDown: the server drains.
        """
        if self.runtime.draining:
            raise ShuttingDown("the server is shutting down and takes no new work: try again shortly", retry_after=5.0)
