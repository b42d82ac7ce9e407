"""From what a file or a variable says to the type a field has. Pure; shared by core's schema and plugins.

A text is converted by type: numbers, words for yes and no, durations, lists with commas. Nothing else is
bent: ``5`` is no text and ``"5.5"`` is no integer.
"""

import enum
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import attrs

from palaver.config.masking import quoted
from palaver.errors import DecodeError
from palaver.settings import Secret

__all__ = ["SECONDS", "Wrong", "convert"]

#: Stands for a ``float`` field whose meaning is a duration: ``30``, ``"30s"``, ``"1m30s"``.
SECONDS = typing.NewType("SECONDS", float)

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
#: No setting means anything near it, and a float or a database could not hold it.
_TOO_LARGE = 2**63
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_SEQUENCES: Mapping[Any, Any] = {tuple: tuple, list: list, Sequence: tuple, frozenset: frozenset, set: set, Set: set}


class Wrong(Exception):
    """A value that does not fit: what was expected, and where below the value (``[2]``, ``.name``)."""

    def __init__(self, text: str, at: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.at = at


def convert(value: Any, kind: Any, *, repeat: bool = True) -> Any:
    """Turn *value* into a *kind*, which is a field's annotation.

    Args:
        repeat: Whether a wrong value may be repeated in the message.

    Raises:
        Wrong: it does not fit; a value for a secret is never repeated.
    """
    if kind is Any or kind is object:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return convert(value, arguments[0], repeat=repeat)
    if origin is typing.Union or origin is types.UnionType:
        return _union(value, arguments, repeat)
    if origin is typing.Literal:
        return _one_of(value, {str(choice): choice for choice in arguments}, repeat)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return value if isinstance(value, kind) else _one_of(value, {str(item.value): item for item in kind}, repeat)
    if (reader := _SCALARS.get(kind)) is not None:
        return reader(value, repeat)
    if (container := origin or kind) in _SEQUENCES:
        return _sequence(value, _SEQUENCES[container], arguments, repeat)
    if container in (Mapping, dict):
        return _mapping(value, arguments, repeat)
    if isinstance(kind, type) and isinstance(value, kind):
        return value
    return _structured(value, kind)


def _union(value: Any, arguments: tuple[Any, ...], repeat: bool) -> Any:
    others = [kind for kind in arguments if kind is not type(None)]
    if len(others) < len(arguments) and (value is None or value == ""):
        return None
    wrong = []
    for kind in others:
        try:
            return convert(value, kind, repeat=repeat)
        except Wrong as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    raise Wrong(" or ".join(dict.fromkeys(error.text.partition(", got")[0] for error in wrong)))


def _one_of(value: Any, choices: Mapping[str, Any], repeat: bool) -> Any:
    if not isinstance(value, bool | list | tuple | Mapping) and str(value) in choices:
        return choices[str(value)]
    raise Wrong(f"expected one of {', '.join(choices)}{_got(value, repeat)}")


def _text(value: Any, repeat: bool) -> str:
    if isinstance(value, str):
        return value
    hint = ": put it in quotes" if isinstance(value, bool | int | float) else ""
    raise Wrong(f"expected text{_got(value, repeat)}{hint}")


def _secret(value: Any, repeat: bool) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return Secret(value)
    hint = ": put it in quotes" if isinstance(value, bool | int | float) else ""
    raise Wrong(f"expected a secret text, got {type(value).__name__}{hint}")


def _boolean(value: Any, repeat: bool) -> bool:
    if isinstance(value, bool):
        return value
    found = _WORDS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise Wrong(f"expected true or false{_got(value, repeat)}")
    return found


def _integer(value: Any, repeat: bool) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value.strip()):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE:
        return value
    raise Wrong(f"expected an integer{_got(value, repeat)}")


def _number(value: Any, repeat: bool, expected: str = "a number") -> float:
    written = isinstance(value, str) and _NUMBER.fullmatch(value.strip())
    given = isinstance(value, float) or (isinstance(value, int) and abs(value) < _TOO_LARGE)
    if written or (given and not isinstance(value, bool)):
        number = float(value)
        if math.isfinite(number):
            return number
    raise Wrong(f"expected {expected}{_got(value, repeat)}")


def _seconds(value: Any, repeat: bool) -> float:
    if isinstance(value, str) and value.strip() and (parts := _DURATION.fullmatch(value.strip())):
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    return _number(value, repeat, "seconds")


def _path(value: Any, repeat: bool) -> Path:
    return value if isinstance(value, Path) else Path(_text(value, repeat))


_SCALARS: Mapping[Any, Any] = {
    str: _text,
    Secret: _secret,
    bool: _boolean,
    int: _integer,
    float: _number,
    SECONDS: _seconds,
    Path: _path,
}


def _sequence(value: Any, make: Any, arguments: tuple[Any, ...], repeat: bool) -> Any:
    if isinstance(value, str):
        value = [item for item in (part.strip() for part in value.split(",")) if item]
    if not isinstance(value, list | tuple):
        raise Wrong(f"expected a list{_got(value, repeat)}")
    kinds = [kind for kind in arguments if kind is not Ellipsis] or [Any]
    if make is tuple and len(arguments) > 0 and Ellipsis not in arguments and len(value) != len(kinds) > 1:
        raise Wrong(f"expected {len(kinds)} items, got {len(value)}")
    items = []
    for index, item in enumerate(value):
        try:
            items.append(convert(item, kinds[index] if len(kinds) > 1 else kinds[0], repeat=repeat))
        except Wrong as error:
            raise Wrong(error.text, f"[{index}]{error.at}") from None
    return make(items)


def _mapping(value: Any, arguments: tuple[Any, ...], repeat: bool) -> dict[str, Any]:
    if value is None:
        # A name with nothing after its colon.
        value = {}
    if not isinstance(value, Mapping):
        raise Wrong(f"expected settings by name{_got(value, repeat)}")
    kind = arguments[1] if len(arguments) == 2 else Any
    items = {}
    for key, item in value.items():
        try:
            items[str(key)] = convert(item, kind, repeat=repeat)
        except Wrong as error:
            raise Wrong(error.text, f".{key}{error.at}") from None
    return items


def _structured(value: Any, kind: Any) -> Any:
    """Build a plugin's own nested class, for which the one cattrs converter is asked."""
    from palaver.codec import Codec

    codec = Codec()
    codec.converter.register_structure_hook(Secret, lambda item, _: _secret(item, False))
    if attrs.has(kind) and isinstance(value, Mapping):
        unknown = [str(key) for key in value if key not in {field.alias for field in attrs.fields(kind)}]
        if unknown:
            raise Wrong("unknown setting", f".{unknown[0]}")
    try:
        return codec.from_data(value, kind, path="")
    except DecodeError as error:
        # Only where it is: the converter's own words may repeat a secret.
        places = ", ".join(place for problem in error.problems if (place := problem.rpartition(" @ ")[2].strip(". ")))
        raise Wrong(f"does not fit{f' at {places}' if places else ''}") from None


def _got(value: Any, repeat: bool) -> str:
    return f", got {quoted(value)}" if repeat else ""
