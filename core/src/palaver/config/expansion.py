"""References inside a text of the file: ``${NAME}``, ``${NAME:-default}``, ``${file:PATH}``, ``$${`` for ``${``."""

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["BadReference", "UnsetVariable", "expand"]

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^}]*)(?P<end>\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Bytes that a file with a secret has at most.
_FILE_LIMIT = 65_536


class UnsetVariable(Exception):
    """The text refers to a variable that is not set, so the setting counts as absent."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class BadReference(Exception):
    """A reference that is malformed, or a file that cannot be read; never holds what was read."""


def expand(text: str, environment: Mapping[str, str], folder: Path) -> str:
    """Put variables and files in place of the references in *text*; an empty variable counts as unset.

    Relative paths of ``${file:…}`` start at *folder*; line ends at the end of the file are dropped.

    Raises:
        UnsetVariable: a variable without a default is not set.
        BadReference: what stands in the braces is none of the forms, or the file cannot be read.
    """

    def replace(match: re.Match[str]) -> str:
        body = match["body"]
        if body is None:
            return "${"
        if not match["end"]:
            raise BadReference("'${' without '}': write '$${' where no reference is meant")
        if body.startswith("file:"):
            return _read(body.removeprefix("file:"), folder)
        name, separator, default = body.partition(":-")
        if not _NAME.fullmatch(name):
            raise BadReference("expected ${NAME}, ${NAME:-default} or ${file:PATH}; write '$${' where none is meant")
        value = environment.get(name, "")
        if value:
            return value
        if separator:
            return default
        raise UnsetVariable(name)

    return _REFERENCE.sub(replace, text)


def _read(name: str, folder: Path) -> str:
    path = folder / Path(name.strip()).expanduser()
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_LIMIT + 1)
        if len(raw) > _FILE_LIMIT:
            raise BadReference(f"file {str(path)!r} has more than {_FILE_LIMIT} bytes")
        return raw.decode().rstrip("\r\n")
    except OSError as error:
        raise BadReference(f"file {str(path)!r} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise BadReference(f"file {str(path)!r} is not UTF-8 text") from None
