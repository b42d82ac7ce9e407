"""How a failure reads: one line without secrets, and a traceback that begins in the plugin. Pure."""

import re
import traceback
from collections.abc import Mapping
from itertools import dropwhile
from traceback import FrameSummary, StackSummary

import attrs

from palaver.assembly.checking import Unusable

__all__ = ["Wording"]

_LINE = 300
_TRACEBACK = 20_000
_SECRET_NAME = re.compile(r"(?i)key|token|secret|password|passwd|credential|dsn|database_url")
#: A shorter value of a secret variable would blank out ordinary words.
_SECRET_LENGTH = 8
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s/@]+@")
#: Frames that lead to the plugin's code and say nothing about it.
_MACHINERY = re.compile(
    r"<frozen importlib|[/\\](importlib|importlib_metadata|pluggy|palaver[/\\]assembly)[/\\]|[/\\]threading\.py$"
)


def _secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    secret = [value for name, value in environment.items() if _SECRET_NAME.search(name)]
    # A variable may hold a list, and its items `owner=key`.
    items = [item for value in secret for item in re.split(r"[\s,;]+", value)]
    values = {*secret, *items, *(item.partition("=")[2] for item in items)}
    return tuple(
        sorted((value for value in values if len(value) >= _SECRET_LENGTH), key=lambda value: (-len(value), value))
    )


@attrs.frozen
class Wording:
    """Words for what foreign code raised; masks the values of *environment*'s secret-looking variables."""

    _values: tuple[str, ...] = attrs.field(factory=dict, converter=_secrets, alias="environment", repr=False)

    def line(self, error: BaseException, before: str = "") -> str:
        """Press what *error* says into one printable line of at most 300 characters."""
        text = self._masked(before + _said(error))
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * _LINE]).split())
        return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"

    def traceback(self, error: BaseException) -> str:
        """Show where *error* was raised, beginning at the first frame of the plugin."""
        shown = traceback.TracebackException.from_exception(error)
        shown.stack = _from_plugin(shown.stack)
        return self._capped("".join(shown.format()))

    def stack(self, stack: StackSummary) -> str:
        """Show where running code is, beginning at the first frame of the plugin."""
        return self._capped("".join(_from_plugin(stack).format()))

    def _capped(self, text: str) -> str:
        text = self._masked(text)
        return text if len(text) <= _TRACEBACK else f"{text[: _TRACEBACK // 2]}\n…\n{text[-_TRACEBACK // 2 :]}"

    def _masked(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, "***")
        return _URL_PASSWORD.sub(r"\1:***@", text)


def _from_plugin(stack: StackSummary) -> StackSummary:
    frames: list[FrameSummary] = list(dropwhile(lambda frame: _MACHINERY.search(frame.filename), stack))
    return StackSummary.from_list(frames)


def _said(error: BaseException) -> str:
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    lines = list(traceback.TracebackException.from_exception(error, limit=0).format_exception_only())
    if isinstance(error, SyntaxError):
        # It comes as place, line, marker and message; the message is what fits in a line.
        return f"{lines[-1].strip()} (line {error.lineno} of {error.filename})"
    return " ".join(lines)
