"""The one configured converter: neutral data to JSON and back, for storage and HTTP.

Scalars are strict (cattrs would turn 5 into "5"), bytes are base64, times are RFC 3339 in UTC.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import attrs
import cattrs
import cattrs.v
import orjson
from cattrs.preconf.orjson import make_converter

from palaver import domain, events
from palaver.codec.tags import TagRegistry
from palaver.errors import DecodeError

__all__ = ["Codec", "write_time"]

T = TypeVar("T")

_PARTS: dict[str, type[domain.Part]] = {
    "text": domain.TextPart,
    "image": domain.ImagePart,
    "file": domain.FilePart,
    "audio": domain.AudioPart,
    "reasoning": domain.ReasoningPart,
    "refusal": domain.RefusalPart,
    "tool_call": domain.ToolCallPart,
    "tool_result": domain.ToolResultPart,
}
_EVENTS: dict[str, type[events.StreamEvent]] = {
    "response_started": events.ResponseStarted,
    "text": events.TextDelta,
    "reasoning": events.ReasoningDelta,
    "refusal": events.RefusalDelta,
    "tool_call_started": events.ToolCallStarted,
    "tool_call_delta": events.ToolCallDelta,
    "part": events.PartAdded,
    "usage": events.UsageReported,
    "response_finished": events.ResponseFinished,
}
_FACTS: dict[str, type[events.RunFact]] = {
    "run_started": events.RunStarted,
    "round_started": events.RoundStarted,
    "tool_executed": events.ToolExecuted,
    "approval_asked": events.ApprovalAsked,
    "title_changed": events.TitleChanged,
    "leg_ended": events.LegEnded,
    "run_ended": events.RunEnded,
}


class Codec:
    """Writes and reads domain objects as JSON. Make one and share it: hooks are cached inside."""

    def __init__(self) -> None:
        # Plain validation while reading: detailed problems are worked out only when something is wrong.
        converter = self.converter = make_converter(detailed_validation=True, omit_if_default=True)
        _register_scalars(converter)
        self.parts: TagRegistry[domain.Part] = TagRegistry(
            converter,
            domain.Part,
            unknown=domain.UnknownPart,
            stand_in=(domain.UnknownPart, lambda part: {"type": part.tag, **part.data}),
        )
        self.events: TagRegistry[events.StreamEvent] = TagRegistry(converter, events.StreamEvent)
        self.facts: TagRegistry[events.RunFact] = TagRegistry(converter, events.RunFact)
        for tag, part in _PARTS.items():
            self.parts.add(tag, part)
        for tag, event in _EVENTS.items():
            self.events.add(tag, event)
        for tag, fact in _FACTS.items():
            self.facts.add(tag, fact)
        converter.register_structure_hook(events.RunEvent, self._read_run_event)
        converter.register_unstructure_hook(events.RunEvent, self._write_run_event)

    def register_part(self, tag: str, cls: type[domain.Part]) -> None:
        """Let messages carry a plugin's own part under *tag*."""
        self.parts.add(tag, cls)

    def to_data(self, value: Any, as_type: Any = None) -> Any:
        """Turn *value* into plain mappings, lists and scalars."""
        return self.converter.unstructure(value, as_type)

    def from_data(self, data: Any, cls: type[T], *, path: str = "body") -> T:
        """Build a *cls* from plain data.

        Raises:
            DecodeError: naming every problem and where it is, below *path*.
        """
        if attrs.has(cls) and not isinstance(data, Mapping):
            raise DecodeError(f"{path}: expected an object, got {type(data).__name__}")
        try:
            return self.converter.structure(data, cls)
        except Exception as error:
            problems = tuple(cattrs.v.transform_error(error, path=path, format_exception=_describe))
            raise DecodeError("; ".join(problems[:5]), problems=problems) from error

    def dumps(self, value: Any, as_type: Any = None) -> bytes:
        """Write *value* as JSON bytes."""
        return orjson.dumps(self.converter.unstructure(value, as_type))

    def loads(self, raw: bytes | str, cls: type[T], *, path: str = "body") -> T:
        """Read a *cls* from JSON bytes.

        Raises:
            DecodeError: not JSON, or not of this shape.
        """
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise DecodeError(f"{path}: not JSON ({error.msg} at {error.pos})") from error
        return self.from_data(data, cls, path=path)

    def _write_run_event(self, event: events.RunEvent) -> dict[str, Any]:
        if isinstance(event.body, tuple):
            return {
                "seq": event.seq,
                "leg": event.leg,
                "events": [self.events.write(item) for item in event.body],
            }
        return {
            "seq": event.seq,
            "leg": event.leg,
            "fact": self.facts.write(event.body),
        }

    def _read_run_event(self, data: Any, _: Any) -> events.RunEvent:
        if "fact" in data:
            return events.RunEvent(data["seq"], data["leg"], self.facts.read(data["fact"]))
        return events.RunEvent(
            data["seq"],
            data["leg"],
            tuple(self.events.read(item) for item in data["events"]),
        )


def _describe(error: BaseException, cls: type | None) -> str:
    if isinstance(error, (TypeError, ValueError)) and not isinstance(error, cattrs.errors.ForbiddenExtraKeysError):
        return str(error)
    return cattrs.v.format_exception(error, cls)


def _register_scalars(converter: cattrs.Converter) -> None:
    def strict(cls: type, wanted: str) -> None:
        def read(value: Any, _: Any) -> Any:
            if value.__class__ is cls or (cls is float and value.__class__ is int):
                return value
            raise TypeError(f"expected {wanted}, got {type(value).__name__}")

        # By identity, not by dispatch: a StrEnum is a str, and must not be read as one.
        converter.register_structure_hook_func(lambda wanted_type: wanted_type is cls, read)

    strict(str, "a string")
    strict(int, "an integer")
    strict(float, "a number")
    strict(bool, "true or false")
    converter.register_structure_hook(bytes, _read_bytes)
    converter.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode("ascii"))
    converter.register_structure_hook(datetime, _read_time)
    converter.register_unstructure_hook(datetime, write_time)
    converter.register_structure_hook(Decimal, _read_decimal)
    converter.register_unstructure_hook(Decimal, str)


def write_time(value: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with microseconds."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_time(value: Any, _: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError(f"expected a time such as 2026-01-31T12:00:00Z, got {type(value).__name__}")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"time {value!r} has no zone: end it with Z")
    return moment


def _read_bytes(value: Any, _: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"expected base64 text, got {type(value).__name__}")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _read_decimal(value: Any, _: Any) -> Decimal:
    try:
        return Decimal(value if isinstance(value, str) else str(value))
    except InvalidOperation as error:
        raise ValueError(f"not a decimal number: {value!r}") from error
