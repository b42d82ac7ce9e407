"""Scripts: a YAML list of turns, read with the line of every mistake, and played to requests (see README.md)."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml
from palaver import ChatRequest, ConfigError, FinishReason, Role, Usage

from palaver_mock.failures import TABLE, Failure

__all__ = ["Script", "ScriptedCall", "Turn", "last_user_text", "load_script", "parse_script"]


@attrs.frozen
class ScriptedCall:
    """A tool call to make; without *id* it gets a fresh one each time."""

    name: str
    arguments: str = "{}"
    id: str | None = None


@attrs.frozen
class Turn:
    """One answer. Counts of pieces: a piece is a word of text, reasoning or refusal, or a part of a tool call."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    finish: FinishReason | None = None
    #: ``None`` counts words; ``False`` reports nothing.
    usage: Usage | bool | None = None
    #: Milliseconds before each piece; ``None`` takes the instance's.
    delay_ms: float | None = None
    first_delay_ms: float = 0.0
    error: Failure | None = None
    #: After so many pieces the answer breaks off, or stands still; ``None`` for never.
    cut: int | None = None
    stall: int | None = None
    match: re.Pattern[str] | None = None
    after: Role | None = None
    times: int | None = None

    @property
    def conditional(self) -> bool:
        """Whether it is for certain requests only."""
        return self.match is not None or self.after is not None

    def fits(self, request: ChatRequest) -> bool:
        """Tell whether this turn may answer *request*."""
        if self.match is not None and not self.match.search(last_user_text(request)):
            return False
        return self.after is None or (bool(request.messages) and request.messages[-1].role is self.after)


def last_user_text(request: ChatRequest) -> str:
    """Give the text of the last thing the user said, empty when there is none."""
    return next((message.text for message in reversed(request.messages) if message.role is Role.USER), "")


class Script:
    """Hands out turns. It remembers what was played: one script per instance."""

    def __init__(self, turns: tuple[Turn, ...]) -> None:
        self._conditional = [turn for turn in turns if turn.conditional]
        # A plain turn is played `times` times in a row; after the last one the first comes again.
        self._row = [turn for turn in turns if not turn.conditional for _ in range(turn.times or 1)]
        self._played: dict[int, int] = {}
        self._next = 0

    def turn_for(self, request: ChatRequest) -> Turn | None:
        """Choose the turn that answers *request*; ``None`` when none is meant for it."""
        for place, turn in enumerate(self._conditional):
            played = self._played.get(place, 0)
            if (turn.times is None or played < turn.times) and turn.fits(request):
                self._played[place] = played + 1
                return turn
        if not self._row:
            return None
        turn = self._row[self._next % len(self._row)]
        self._next += 1
        return turn


def load_script(path: Path) -> tuple[Turn, ...]:
    """Read the turns of the file *path*. Blocks.

    Raises:
        ConfigError: it cannot be read, or a turn is wrong; names file, line and turn.
    """
    try:
        return parse_script(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"script: cannot read {str(path)!r}: {error}") from error


def parse_script(text: str, origin: str = "script") -> tuple[Turn, ...]:
    """Read the turns of a script; *origin* names it in errors.

    Raises:
        ConfigError: a turn is wrong; names line and turn.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return ()
        if not isinstance(root, yaml.SequenceNode):
            raise ConfigError(f"{origin}:{_line(root)}: expected a list of turns, each beginning with '- '")
        return tuple(_read_turn(loader, node, f"turn {number}", origin) for number, node in enumerate(root.value, 1))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{origin}:{line}: not YAML: {getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()


def _read_turn(loader: yaml.SafeLoader, node: yaml.Node, name: str, origin: str) -> Turn:
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        # `- Hello there` is short for `- text: Hello there`.
        return Turn(text=node.value)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{origin}:{_line(node)}: {name}: expected a text or fields such as 'text:'")
    fields: dict[str, Any] = {}
    for field, line, value in _fields(loader, node):
        reader = _READERS.get(field)
        try:
            if reader is None:
                raise ValueError(f"unknown field; known: {', '.join(_READERS)}")
            if field in fields:
                raise ValueError("given twice")
            fields[field] = reader(value)
        except ValueError as error:
            raise ConfigError(f"{origin}:{line}: {name}: {field}: {error}") from error
    return Turn(**fields)


def _fields(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Iterator[tuple[str, int, Any]]:
    loader.flatten_mapping(node)
    for key, value in node.value:
        yield str(loader.construct_object(key, deep=True)), _line(key), loader.construct_object(value, deep=True)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


# How each field of a turn is read; a ValueError says what was expected. --------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r} (quote it)")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"expected a number from 0 up, got {value!r}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expected a whole number from 0 up, got {value!r}")
    return value


def _times(value: Any) -> int:
    if _count(value) == 0:
        raise ValueError("expected at least 1")
    return int(value)


def _count_or_end(value: Any) -> int | None:
    """A number of pieces; ``true`` means after all of them."""
    if value is False:
        return None
    return _ALL if value is True else _count(value)


#: More pieces than any answer has.
_ALL = 1 << 62


def _calls(value: Any) -> tuple[ScriptedCall, ...]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list of calls, got {value!r}")
    return tuple(_call(item) for item in value)


def _call(value: Any) -> ScriptedCall:
    fields = _mapping(value, {"name": _text, "arguments": _arguments, "id": _text})
    if not fields.get("name"):
        raise ValueError(f"a call has no name: {value!r}")
    return ScriptedCall(**fields)


def _arguments(value: Any) -> str:
    # A string goes out as it stands: a script can make a model write broken JSON.
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"expected fields or a JSON text, got {value!r}")
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError as error:
        raise ValueError(f"arguments are not JSON: {error}; quote dates") from error


def _finish(value: Any) -> FinishReason:
    try:
        return FinishReason(value)
    except ValueError:
        raise ValueError(f"unknown reason {value!r}; known: {', '.join(FinishReason)}") from None


_USAGE: Mapping[str, Callable[[Any], Any]] = {
    name: _count
    for name in ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens")
}


def _usage(value: Any) -> Usage | bool | None:
    if isinstance(value, bool):
        return None if value else False
    return Usage(**_mapping(value, _USAGE))


def _failure(value: Any) -> Failure:
    fields = _mapping(
        {"kind": value} if isinstance(value, str) else value,
        {"kind": _text, "after": _count, "retry_after": _number, "status": _count, "message": _text},
    )
    if fields.get("kind") not in TABLE:
        raise ValueError(f"unknown kind {fields.get('kind')!r}; known: {', '.join(TABLE)}")
    return Failure(**fields)


def _pattern(value: Any) -> re.Pattern[str]:
    """A text to be found anywhere, in either case; between slashes a regular expression."""
    text = _text(value)
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            return re.compile(text[1:-1])
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
    return re.compile(re.escape(text), re.IGNORECASE)


def _after(value: Any) -> Role:
    if value not in (Role.USER, Role.TOOL):
        raise ValueError(f"expected user or tool, got {value!r}")
    return Role(value)


def _mapping(value: Any, readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected fields ({', '.join(readers)}), got {value!r}")
    for name in value:
        if name not in readers:
            raise ValueError(f"unknown field {name!r}; known: {', '.join(readers)}")
    return {name: readers[name](item) for name, item in value.items()}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "reasoning": _text,
    "refusal": _text,
    "tool_calls": _calls,
    "finish": _finish,
    "usage": _usage,
    "delay_ms": _number,
    "first_delay_ms": _number,
    "error": _failure,
    "cut": _count_or_end,
    "stall": _count_or_end,
    "match": _pattern,
    "after": _after,
    "times": _times,
}
