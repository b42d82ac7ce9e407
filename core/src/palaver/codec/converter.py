"""The one configured converter: neutral data to JSON and back, for storage and HTTP.

Scalars are strict (cattrs would turn 5 into "5"), bytes are base64, times are RFC 3339 in UTC.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar, get_args, get_origin

import attrs
import cattrs
import cattrs.v
import orjson
from cattrs.cols import homogenous_tuple_structure_factory
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


@attrs.frozen
class _BatchRow:
    """A ``RunEvent`` with a batch, as it is written."""

    seq: int
    leg: int
    events: tuple[events.StreamEvent, ...]


@attrs.frozen
class _FactRow:
    """A ``RunEvent`` with a fact, as it is written."""

    seq: int
    leg: int
    fact: events.RunFact


class Codec:
    """Writes and reads domain objects as JSON. Make one and share it: hooks are cached inside."""

    def __init__(self) -> None:
        # Plain validation while reading: detailed problems are worked out only when something is wrong.
        converter = self.converter = make_converter(detailed_validation=True, omit_if_default=True)
        _register_scalars(converter)
        _register_shapes(converter)
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
            raise _undecodable((f"expected an object, got {type(data).__name__} @ {path}",))
        try:
            return self.converter.structure(data, cls)
        except Exception as error:
            problems = tuple(cattrs.v.transform_error(error, path=path, format_exception=_describe))
            raise _undecodable(problems) from error

    def dumps(self, value: Any, as_type: Any = None) -> bytes:
        """Write *value* as JSON bytes."""
        data = self.converter.unstructure(value, as_type)
        try:
            return orjson.dumps(data)
        except TypeError:
            # Models write half a surrogate pair now and then, and JSON's escapes let it through; UTF-8 does not.
            return orjson.dumps(_without_surrogates(data))

    def loads(self, raw: bytes | str, cls: type[T], *, path: str = "body") -> T:
        """Read a *cls* from JSON bytes.

        Raises:
            DecodeError: not JSON, or not of this shape.
        """
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise _undecodable((f"not JSON ({error.msg} at {error.pos}) @ {path}",)) from error
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
        if not isinstance(data, Mapping):
            raise TypeError(f"expected an object, got {type(data).__name__}")
        if "fact" in data:
            row = self.converter.structure(data, _FactRow)
            return events.RunEvent(row.seq, row.leg, row.fact)
        batch = self.converter.structure(data, _BatchRow)
        return events.RunEvent(batch.seq, batch.leg, batch.events)


#: Problems that a message lists; ``DecodeError.problems`` has them all.
_SHOWN_PROBLEMS = 5


def _undecodable(problems: tuple[str, ...]) -> DecodeError:
    shown = problems[:_SHOWN_PROBLEMS]
    more = (f"and {len(problems) - len(shown)} more",) if len(problems) > len(shown) else ()
    return DecodeError("; ".join((*shown, *more)), problems=problems)


def _without_surrogates(data: Any) -> Any:
    """Join surrogate pairs and replace the lone ones with U+FFFD."""
    if isinstance(data, str):
        return data.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(data, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without_surrogates(item) for item in data]
    return data


def _describe(error: BaseException, cls: type | None) -> str:
    if isinstance(error, (TypeError, ValueError)) and not isinstance(error, cattrs.errors.ForbiddenExtraKeysError):
        return str(error)
    return cattrs.v.format_exception(error, cls)


def _register_scalars(converter: cattrs.Converter) -> None:
    def strict(cls: type, wanted: str) -> None:
        def read(value: Any, wanted_type: Any) -> Any:
            if wanted_type is not cls and isinstance(wanted_type, type) and issubclass(wanted_type, Enum):
                # Registered by class, so a StrEnum comes here too: it is a str.
                return _read_enum(value, wanted_type)
            if value.__class__ is cls or (cls is float and value.__class__ is int):
                return value
            raise TypeError(f"expected {wanted}, got {type(value).__name__}")

        converter.register_structure_hook(cls, read)

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


def _register_shapes(converter: cattrs.Converter) -> None:
    def read_object(cls: Any) -> Any:
        read = converter.gen_structure_attrs_fromdict(cls)

        def checked(value: Any, wanted_type: Any) -> Any:
            if not isinstance(value, Mapping):
                raise TypeError(f"expected an object, got {type(value).__name__}")
            return read(value, wanted_type)

        return checked

    def read_list(cls: Any) -> Any:
        # A string is iterable as well: without this look, "abc" would be three texts.
        read = homogenous_tuple_structure_factory(cls, converter)

        def checked(value: Any, wanted_type: Any) -> Any:
            if not isinstance(value, (list, tuple)):
                raise TypeError(f"expected a list, got {type(value).__name__}")
            return read(value, wanted_type)

        return checked

    converter.register_structure_hook_factory(attrs.has, read_object)
    converter.register_structure_hook_factory(_is_list, read_list)


def _is_list(cls: Any) -> bool:
    origin: Any = get_origin(cls)
    return origin is tuple and get_args(cls)[1:] == (...,)


def _read_enum(value: Any, wanted_type: type[Enum]) -> Enum:
    try:
        return wanted_type(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in wanted_type)
        raise ValueError(f"expected one of {known}, got {value!r}") from None


def write_time(value: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with microseconds."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_time(value: Any, _: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError(f"expected a time such as 2026-01-31T12:00:00Z, got {type(value).__name__}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"expected a time such as 2026-01-31T12:00:00Z, got {value!r}") from None
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
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise TypeError(f"expected a decimal number, got {type(value).__name__}")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return number
