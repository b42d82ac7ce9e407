"""What can be configured, and which file an address means. Pure."""

from pathlib import Path
from typing import Any

import attrs
from palaver import ConfigError, Secret, setting

__all__ = ["SqliteConfig"]

_PREFIX = "sqlite:///"
_FORMS = "write sqlite:///folder/file.db (from the working directory) or sqlite:////folder/file.db (absolute)"


def _plain(value: Any) -> Any:
    # An address may hold a password, so core keeps it as a secret; a SQLite address holds none.
    return value.reveal() if isinstance(value, Secret) else value


def _one_of(*words: str) -> Any:
    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value not in words:
            raise ValueError(f"{attribute.name}: expected {' or '.join(words)}, got {value!r}")

    return check


def _at_least(least: float) -> Any:
    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value < least:
            raise ValueError(f"{attribute.name}: expected {least:g} or more, got {value!r}")

    return check


@attrs.frozen
class SqliteConfig:
    """The database file, and how careful and how parallel its use is."""

    url: str = setting(
        default="sqlite:///.palaver/palaver.db",
        converter=_plain,
        help="address of the file: sqlite:///relative.db or sqlite:////absolute.db",
    )
    synchronous: str = setting(
        default="normal",
        validator=_one_of("normal", "full"),
        help="normal survives a crash of the server; full also survives the last moments before a power cut",
    )
    readers: int = setting(default=2, validator=_at_least(1), help="threads that read beside the one that writes")
    busy_timeout: float = setting(
        default=10.0, validator=_at_least(0), help="seconds to wait while another process writes to the file"
    )
    queue: int = setting(default=4096, validator=_at_least(1), help="writes that may wait before more are refused")

    @property
    def path(self) -> Path:
        """The file that *url* means.

        Raises:
            ConfigError: *url* means none.
        """
        url = self.url
        if not url.startswith("sqlite:"):
            raise ConfigError(f"storage.url: expected an address that begins with sqlite:///, got {url!r}; {_FORMS}")
        if url in ("sqlite:", "sqlite://", _PREFIX, "sqlite://:memory:", "sqlite:///:memory:"):
            raise ConfigError(
                f"storage.url: {url!r} would keep conversations in memory and lose them at the end; {_FORMS}"
            )
        if not url.startswith(_PREFIX):
            raise ConfigError(f"storage.url: {url!r} has too few slashes; {_FORMS}")
        name = url.removeprefix(_PREFIX)
        if name.endswith("/") or "\0" in name:
            raise ConfigError(f"storage.url: {url!r} names no file; {_FORMS}")
        if "?" in name or "#" in name:
            raise ConfigError(f"storage.url: {url!r} has a query; set synchronous and the like in storage.options")
        return Path(name)
