"""The pipeline every call goes through; see ``docs/explanation/pipeline.md`` for the order and why."""

from palaver.pipeline.breaker import Breaker, BreakerState
from palaver.pipeline.chain import chain
from palaver.pipeline.fallback import Fallback
from palaver.pipeline.limit import PrincipalLimit
from palaver.pipeline.retry import Retry
from palaver.pipeline.routing import Claims, Routes, Target
from palaver.pipeline.stream import OpenedStream

__all__ = [
    "Breaker",
    "BreakerState",
    "Claims",
    "Fallback",
    "OpenedStream",
    "PrincipalLimit",
    "Retry",
    "Routes",
    "Target",
    "chain",
]
