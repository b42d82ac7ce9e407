"""What a configuration class is made of: secrets that never show, and fields that know their variables.

A plugin's configuration is a frozen attrs class; ``setting()`` declares each field. From that one
declaration come the environment lookup, ``required_env``, ``is_configured``, the docs table and redaction.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import attrs

__all__ = ["METADATA_KEY", "Secret", "SettingInfo", "describe", "missing", "setting"]

#: Where ``setting()`` keeps its facts in a field's metadata.
METADATA_KEY = "palaver.setting"


class Secret:
    """A string that prints as ``***``; ``reveal()`` gives the value at the one place that needs it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the secret itself. Grep for this word to see who reads secrets."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled: pass the reference it came from instead")


@attrs.frozen
class SettingInfo:
    """What ``setting()`` was told about a field."""

    name: str
    env: tuple[str, ...]
    help: str
    secret: bool
    required: bool
    default: Any


def setting(
    *,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    env: str | tuple[str, ...] = (),
    help: str = "",
    validator: Any = None,
    converter: Any = None,
) -> Any:
    """Declare one field of a configuration class.

    Args:
        default: Value when nothing sets it. Without *default* and *factory* the field is required.
        env: Environment variables that fill it, most important first.
        help: One line for ``palaver config show`` and the docs.

    A field annotated ``Secret`` is masked everywhere.
    """
    if factory is not None:
        default = attrs.Factory(factory)
    names = (env,) if isinstance(env, str) else tuple(env)
    metadata = {METADATA_KEY: {"env": names, "help": help}}
    return attrs.field(
        default=default,
        metadata=metadata,
        validator=validator,
        converter=converter,
        kw_only=True,
    )


def describe(config: type) -> tuple[SettingInfo, ...]:
    """List the settings of a configuration class, in the order they are written."""
    attrs.resolve_types(config)
    infos = []
    for field in attrs.fields(config):
        facts: Mapping[str, Any] = field.metadata.get(METADATA_KEY, {})
        infos.append(
            SettingInfo(
                name=field.name,
                env=tuple(facts.get("env", ())),
                help=facts.get("help", ""),
                secret=_holds_secret(field.type),
                required=field.default is attrs.NOTHING,
                default=None if field.default is attrs.NOTHING else field.default,
            )
        )
    return tuple(infos)


def _holds_secret(annotation: Any) -> bool:
    """Tell whether a value of this type may hold a ``Secret``: itself, optional, or in a collection."""
    return annotation is Secret or any(_holds_secret(argument) for argument in get_args(annotation))


def missing(config: type, given: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[SettingInfo, ...]:
    """List the required settings that neither *given* nor *environment* provides (empty counts as absent)."""
    return tuple(
        info
        for info in describe(config)
        if info.required and not given.get(info.name) and not any(environment.get(name) for name in info.env)
    )
