"""The domain: frozen data that every layer speaks, and no behaviour beyond reading itself.

Imports nothing but ids. Storage, HTTP and vendors each have their own form of these; a codec stands between.
"""

from palaver.domain.call import Call, Purpose
from palaver.domain.completion import (
    Completion,
    Embeddings,
    FinishReason,
    ServedBy,
    Usage,
)
from palaver.domain.content import (
    AudioPart,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UnknownPart,
    Vendor,
)
from palaver.domain.message import Message, Role
from palaver.domain.models import Capability, ModelInfo, Price
from palaver.domain.principal import Principal
from palaver.domain.request import (
    ChatRequest,
    EmbeddingRequest,
    ResponseFormat,
    ResponseKind,
    Sampling,
)
from palaver.domain.session import (
    Approval,
    ApprovalState,
    Attachment,
    MessageStatus,
    Page,
    Run,
    RunStatus,
    Session,
    StoredMessage,
)
from palaver.domain.tools import ToolChoice, ToolChoiceMode, ToolExecution, ToolSpec

__all__ = [
    "Approval",
    "ApprovalState",
    "Attachment",
    "AudioPart",
    "Call",
    "Capability",
    "ChatRequest",
    "Completion",
    "EmbeddingRequest",
    "Embeddings",
    "FilePart",
    "FinishReason",
    "ImagePart",
    "Message",
    "MessageStatus",
    "ModelInfo",
    "Page",
    "Part",
    "Price",
    "Principal",
    "Purpose",
    "ReasoningPart",
    "RefusalPart",
    "ResponseFormat",
    "ResponseKind",
    "Role",
    "Run",
    "RunStatus",
    "Sampling",
    "ServedBy",
    "Session",
    "StoredMessage",
    "TextPart",
    "ToolCallPart",
    "ToolChoice",
    "ToolChoiceMode",
    "ToolExecution",
    "ToolResultPart",
    "ToolSpec",
    "UnknownPart",
    "Usage",
    "Vendor",
]
