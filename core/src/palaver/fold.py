"""Folding a stream into its answer: the only definition of "not streaming".

Pure and incremental. Parts come out in order of first appearance: reasoning blocks, text, refusal,
calls. Feed every batch, then ask; asking in the middle gives the partial answer, which is what is
stored when a stream breaks.
"""

from collections.abc import Mapping
from typing import Any

from palaver.domain.completion import Completion, FinishReason, Usage
from palaver.domain.content import (
    EMPTY,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    Vendor,
)
from palaver.domain.message import Message, Role
from palaver.events import (
    Batch,
    PartAdded,
    ReasoningDelta,
    RefusalDelta,
    ResponseFinished,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

__all__ = ["Fold", "merge_vendor"]


def merge_vendor(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """Join vendor data of two pieces: mappings key by key, lists end to end, anything else replaced."""
    if not old:
        return new
    if not new:
        return old
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_vendor(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            merged[key] = before + value
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


class _Growing:
    """A part under construction: its kind, pieces of text, and what else came with them."""

    __slots__ = (
        "id",
        "kind",
        "name",
        "part",
        "pieces",
        "redacted",
        "signature",
        "vendor",
    )

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.vendor: Vendor = EMPTY
        self.id: str | None = None
        self.name = ""
        self.signature: str | None = None
        self.redacted: str | None = None
        self.part: Part | None = None

    def finish(self) -> Part:
        text = "".join(self.pieces)
        if self.kind == "text":
            return TextPart(text, vendor=self.vendor)
        if self.kind == "reasoning":
            return ReasoningPart(text, self.signature, self.redacted, self.id, vendor=self.vendor)
        if self.kind == "refusal":
            return RefusalPart(text, vendor=self.vendor)
        if self.kind == "call":
            return ToolCallPart(self.id or "", self.name, text, vendor=self.vendor)
        assert self.part is not None
        return self.part


class Fold:
    """Collects the events of one answer."""

    def __init__(self) -> None:
        self._parts: list[_Growing] = []
        self._open: dict[tuple[str, int], _Growing] = {}
        self._vendor: Vendor = EMPTY
        self.id: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None
        self.finished: ResponseFinished | None = None

    def feed(self, batch: Batch) -> None:
        """Take the events of one batch."""
        for event in batch:
            if event.__class__ is TextDelta:
                part = self._part("text", 0)
                part.pieces.append(event.text)
                if event.vendor:
                    part.vendor = merge_vendor(part.vendor, event.vendor)
            else:
                self._feed_other(event)

    def _part(self, kind: str, index: int) -> _Growing:
        key = (kind, index)
        part = self._open.get(key)
        if part is None:
            # Text that resumes after another kind of part is a part of its own, so that order survives.
            part = self._open[key] = _Growing(kind)
            self._parts.append(part)
        return part

    def _close_text(self) -> None:
        self._open.pop(("text", 0), None)
        self._open.pop(("refusal", 0), None)

    def _feed_other(self, event: StreamEvent) -> None:
        match event:
            case ToolCallDelta(index, arguments):
                self._part("call", index).pieces.append(arguments)
            case ToolCallStarted():
                self._close_text()
                call = self._part("call", event.index)
                call.id, call.name = event.id, event.name
                call.vendor = merge_vendor(call.vendor, event.vendor)
            case ReasoningDelta():
                if ("reasoning", event.index) not in self._open:
                    self._close_text()
                part = self._part("reasoning", event.index)
                if event.text:
                    part.pieces.append(event.text)
                part.signature = event.signature or part.signature
                part.redacted = event.redacted or part.redacted
                part.id = event.id or part.id
                part.vendor = merge_vendor(part.vendor, event.vendor)
            case RefusalDelta():
                part = self._part("refusal", 0)
                part.pieces.append(event.text)
                part.vendor = merge_vendor(part.vendor, event.vendor)
            case PartAdded():
                self._close_text()
                part = _Growing("whole")
                part.part = event.part
                self._parts.append(part)
            case UsageReported():
                self.usage = event.usage
            case ResponseStarted():
                self.id = event.id or self.id
                self.model = event.model or self.model
                self._vendor = merge_vendor(self._vendor, event.vendor)
            case ResponseFinished():
                self.finished = event
                self._vendor = merge_vendor(self._vendor, event.vendor)
            case _:
                raise TypeError(f"not a stream event: {event!r}")

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join("".join(part.pieces) for part in self._parts if part.kind == "text")

    @property
    def empty(self) -> bool:
        """Whether no content has come yet."""
        return not self._parts

    def message(self) -> Message:
        """Build the assistant's message from what has come so far."""
        return Message(
            Role.ASSISTANT,
            tuple(part.finish() for part in self._parts),
            vendor=self._vendor,
        )

    def completion(self) -> Completion:
        """Build the answer; without a terminal event its finish reason is ``UNKNOWN``."""
        finished = self.finished
        return Completion(
            message=self.message(),
            finish_reason=finished.reason if finished else FinishReason.UNKNOWN,
            usage=self.usage,
            id=self.id,
            model=self.model,
            finish_raw=finished.raw if finished else None,
            vendor=self._vendor,
        )
