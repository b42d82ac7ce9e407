"""What can be set about a mock instance."""

from typing import Any

import attrs
from palaver import setting

__all__ = ["MockConfig"]


def _not_negative(_: object, field: "attrs.Attribute[Any]", value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{field.name}: expected milliseconds from 0 up, got {value!r}")


@attrs.frozen
class MockConfig:
    """Configuration of the mock provider; nothing is required."""

    script: str | None = setting(
        default=None,
        env="PALAVER_MOCK_SCRIPT",
        help="path of a YAML file with the turns to play; without it every question is echoed",
    )
    delay_ms: float = setting(
        default=0.0,
        env="PALAVER_MOCK_DELAY_MS",
        help="milliseconds before each word",
        validator=_not_negative,
    )
