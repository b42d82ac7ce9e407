"""The protocols that plugins implement and core calls. Data goes in and out as domain classes."""

from palaver.contracts.context import PluginContext
from palaver.contracts.identity import Authenticator, Credentials
from palaver.contracts.pipeline import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallNext,
    EventStream,
    Middleware,
    Observation,
    Observer,
    Outcome,
    RunFinished,
    Stage,
    ToolEnded,
)
from palaver.contracts.provider import (
    Embedder,
    HealthProbe,
    ModelLister,
    Provider,
    TokenCounter,
)
from palaver.contracts.storage import Storage
from palaver.contracts.tools import ToolCallContext, ToolOutput, ToolSource

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "Authenticator",
    "CallEnded",
    "CallNext",
    "Credentials",
    "Embedder",
    "EventStream",
    "HealthProbe",
    "Middleware",
    "ModelLister",
    "Observation",
    "Observer",
    "Outcome",
    "PluginContext",
    "Provider",
    "RunFinished",
    "Stage",
    "Storage",
    "TokenCounter",
    "ToolCallContext",
    "ToolEnded",
    "ToolOutput",
    "ToolSource",
]
