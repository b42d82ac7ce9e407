"""Taking typed fields out of a JSON object, with errors that name the field and what is wrong with it. Pure."""

from collections.abc import Mapping
from typing import Any, NoReturn

from palaver.errors import InvalidRequest

from palaver_server.body import json_word

__all__ = ["Fields"]


class Fields:
    """The fields of one JSON object; what nobody has taken in the end is ``rest()``.

    Args:
        path: Where the object is, for errors: ``messages[0]``; empty for the body itself.
    """

    __slots__ = ("_data", "_path", "_taken")

    def __init__(self, data: Any, path: str = "") -> None:
        if not isinstance(data, dict):
            raise InvalidRequest(
                f"invalid type for {path or 'the body'}: expected an object, got {json_word(data)}", param=path or None
            )
        self._data: dict[str, Any] = data
        self._path = path
        self._taken: set[str] = set()

    def at(self, name: str) -> str:
        """Give the full path of field *name*."""
        return f"{self._path}.{name}" if self._path else name

    def rest(self) -> Mapping[str, Any]:
        """Give the fields that nobody took and that are not null."""
        if len(self._taken) >= len(self._data) and self._taken.issuperset(self._data):
            return {}
        return {name: value for name, value in self._data.items() if name not in self._taken and value is not None}

    def raw(self, name: str) -> Any:
        """Take a field as it is, ``None`` when absent."""
        self._taken.add(name)
        return self._data.get(name)

    def text(self, name: str) -> str | None:
        """Take a string."""
        value = self.raw(name)
        if value is None or value.__class__ is str:
            return value
        self.wrong(name, "a string", value)

    def required_text(self, name: str) -> str:
        """Take a string that must be there."""
        value = self.text(name)
        if value is None:
            raise InvalidRequest(f"missing required field {self.at(name)}", param=self.at(name))
        return value

    def number(self, name: str, low: float | None = None, high: float | None = None) -> float | None:
        """Take a number between *low* and *high*."""
        value = self.raw(name)
        if value is None:
            return None
        if value.__class__ is not int and value.__class__ is not float:
            self.wrong(name, "a number", value)
        if (low is not None and value < low) or (high is not None and value > high):
            raise InvalidRequest(
                f"invalid value for {self.at(name)}: {value} is not between {low} and {high}", param=self.at(name)
            )
        return float(value)

    def integer(self, name: str, low: int | None = None) -> int | None:
        """Take a whole number, at least *low*."""
        value = self.raw(name)
        if value is None:
            return None
        if value.__class__ is float and value.is_integer():
            value = int(value)
        if value.__class__ is not int:
            self.wrong(name, "an integer", value)
        if low is not None and value < low:
            raise InvalidRequest(f"invalid value for {self.at(name)}: {value} is less than {low}", param=self.at(name))
        return value

    def boolean(self, name: str) -> bool | None:
        """Take true or false."""
        value = self.raw(name)
        if value is None or value.__class__ is bool:
            return value
        self.wrong(name, "a boolean", value)

    def array(self, name: str) -> list[Any] | None:
        """Take an array."""
        value = self.raw(name)
        if value is None or value.__class__ is list:
            return value
        self.wrong(name, "an array", value)

    def object(self, name: str) -> dict[str, Any] | None:
        """Take an object as it is."""
        value = self.raw(name)
        if value is None or value.__class__ is dict:
            return value
        self.wrong(name, "an object", value)

    def fields(self, name: str) -> "Fields":
        """Take an object that must be there, to take its fields in turn."""
        value = self.raw(name)
        if value is None:
            raise InvalidRequest(f"missing required field {self.at(name)}", param=self.at(name))
        return Fields(value, self.at(name))

    def wrong(self, name: str, expected: str, value: Any) -> NoReturn:
        """Refuse the type of a field."""
        raise InvalidRequest(
            f"invalid type for {self.at(name)}: expected {expected}, got {json_word(value)}", param=self.at(name)
        )

    def unknown(self, name: str, value: Any, known: str) -> NoReturn:
        """Refuse the value of a field."""
        raise InvalidRequest(
            f"invalid value for {self.at(name)}: {str(value)[:60]!r}; known: {known}", param=self.at(name)
        )
