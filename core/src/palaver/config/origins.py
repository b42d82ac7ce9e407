"""Where a configuration value came from, and what is said when it is wrong. Pure data."""

from collections.abc import Mapping
from enum import StrEnum

import attrs

from palaver.errors import ConfigError

__all__ = ["DEFAULT", "ConfigInvalid", "Origin", "OriginKind", "Problem", "origin_of"]


class OriginKind(StrEnum):
    """The four places a value can come from, weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@attrs.frozen
class Origin:
    """One place: ``config.yaml:12``, a variable's name, a flag's name, or the default."""

    kind: OriginKind
    name: str = ""
    #: The value was put together from ``${…}``, so it is not repeated in messages.
    expanded: bool = False

    def __str__(self) -> str:
        return self.name or self.kind.value


#: The origin of everything nobody set.
DEFAULT = Origin(OriginKind.DEFAULT)


@attrs.frozen
class Problem:
    """Something wrong at *path*; prints as ``path: what is wrong (from where)``."""

    path: str
    text: str
    origin: Origin | None = None

    def __str__(self) -> str:
        where = f" (from {self.origin})" if self.origin is not None and self.origin.name else ""
        return f"{self.path}: {self.text}{where}" if self.path else f"{self.text}{where}"


class ConfigInvalid(ConfigError):
    """The configuration has problems, all of them: one line each."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def origin_of(path: str, origins: Mapping[str, Origin]) -> Origin | None:
    """Find the origin of *path*, or of the nearest thing around it; ``None`` when nothing is known."""
    while path:
        if (found := origins.get(path)) is not None:
            return found
        cut = max(path.rfind("."), path.rfind("["))
        if cut < 0:
            return None
        path = path[:cut]
    return None
