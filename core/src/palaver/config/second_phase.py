"""The second phase: a plugin's own configuration class, filled from raw options and the environment.

An option that is given wins over the environment, because one plugin may serve two accounts.
"""

import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from palaver.config.conversion import Wrong, convert
from palaver.config.masking import MASK, reveal_all, scrub, show, show_raw
from palaver.config.origins import DEFAULT, ConfigInvalid, Origin, OriginKind, Problem, origin_of
from palaver.config.reading import did_you_mean
from palaver.errors import ConfigError
from palaver.settings import SettingInfo, describe

__all__ = ["NotConfigured", "ShownSetting", "plugin_config", "shown_options", "shown_settings"]

C = TypeVar("C")


class NotConfigured(ConfigError):
    """Required settings are not there; ``missing`` lists them with the variables that would fill them."""

    def __init__(self, path: str, missing: tuple[SettingInfo, ...]) -> None:
        ways = (f"set {' or '.join((*info.env, f'{path}.{info.name}'))}" for info in missing)
        super().__init__(f"{path}: not configured; {', and '.join(ways)}")
        self.path = path
        self.missing = missing

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that would help, first choices first."""
        return tuple(name for info in self.missing for name in info.env)


@attrs.frozen
class ShownSetting:
    """A plugin's setting as ``config show`` prints it: masked, with its origin."""

    path: str
    text: str
    origin: Origin
    help: str = ""


def plugin_config(
    cls: type[C],
    raw: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    path: str,
    origins: Mapping[str, Origin] | None = None,
) -> C:
    """Build a plugin's configuration from its options and the environment.

    Args:
        cls: An attrs class, its fields made with ``palaver.setting()``.
        raw: Options as the file gave them, references expanded.
        path: Where *raw* stands, ``providers.eu`` for example.
        origins: The origins of ``load``, for messages.

    Raises:
        NotConfigured: a required setting is neither given nor in the environment.
        ConfigInvalid: an option is unknown or a value is wrong; lists every problem, shows no secret.
    """
    origins = origins or {}
    values, used, problems = _collect(cls, raw, environment, path, origins)
    if problems:
        raise ConfigInvalid(tuple(problems))
    absent = tuple(info for info in describe(cls) if info.required and info.name not in values)
    if absent:
        raise NotConfigured(path, absent)
    fields = {field.name: field for field in attrs.fields(cls)}  # type: ignore[arg-type]
    try:
        return cls(**{fields[name].alias or name: value for name, value in values.items()})
    except ConfigError as error:
        raise ConfigInvalid((Problem(path, _safe(error, _secrets(cls, values))),)) from None
    except Exception as error:
        text = _safe(error, _secrets(cls, values))
        culprit = _culprit(error, fields, text)
        at = f"{path}.{culprit}" if culprit else path
        raise ConfigInvalid((Problem(at, text.removeprefix(f"{culprit}: "), used.get(culprit)),)) from None


def shown_settings(
    cls: type,
    raw: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    path: str,
    origins: Mapping[str, Origin],
) -> tuple[ShownSetting, ...]:
    """List every setting of a plugin as it would be, secrets masked; wrong ones say so."""
    values, used, problems = _collect(cls, raw, environment, path, origins)
    wrong = {problem.path: problem for problem in problems}
    shown = []
    for info in describe(cls):
        below = f"{path}.{info.name}"
        if below in wrong:
            text, origin = f"({wrong.pop(below).text})", used.get(info.name, DEFAULT)
        elif info.name in values:
            value = values[info.name]
            # A nested value of a secret's field may hold the secret as plain text, a list of headers say.
            text, origin = (MASK if info.secret and value else show(value)), used[info.name]
        elif info.required:
            text, origin = f"(not set{': ' + ' or '.join(info.env) if info.env else ''})", DEFAULT
        else:
            text, origin = _default(info), DEFAULT
        shown.append(ShownSetting(below, text, origin, info.help))
    extra = [problem for place, problem in wrong.items() if place != path]
    shown += [ShownSetting(problem.path, f"({problem.text})", problem.origin or DEFAULT) for problem in extra]
    return tuple(shown)


def shown_options(raw: Mapping[str, Any], *, path: str, origins: Mapping[str, Origin]) -> tuple[ShownSetting, ...]:
    """List raw options of a plugin that is not there to explain them; what may be secret is masked."""
    shown = []
    for name, value in raw.items():
        below = f"{path}.{name}"
        origin = origin_of(below, origins) or DEFAULT
        # A text put together from ${…} is the likeliest secret of all.
        text = MASK if origin.expanded else show_raw(name, value)
        shown.append(ShownSetting(below, text, origin))
    return tuple(shown)


def _collect(
    cls: type, raw: Mapping[str, Any], environment: Mapping[str, str], path: str, origins: Mapping[str, Origin]
) -> tuple[dict[str, Any], dict[str, Origin], list[Problem]]:
    """Gather and convert what is given: values and origins by field name, and the problems."""
    infos = {info.name: info for info in describe(cls)}
    fields = {field.name: field for field in attrs.fields(cls)}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    used: dict[str, Origin] = {}
    problems: list[Problem] = []
    for name in raw:
        if name not in infos:
            at = f"{path}.{name}"
            text = f"unknown setting{did_you_mean(str(name), infos)}"
            problems.append(Problem(at, text, origin_of(at, origins)))
    for name, info in infos.items():
        value, origin = _given(info, raw, environment, f"{path}.{name}", origins)
        if origin is None:
            continue
        used[name] = origin
        if fields[name].converter is not None:
            # The plugin's own converter takes what was written.
            values[name] = value
            continue
        try:
            values[name] = convert(value, hints[name], repeat=not (info.secret or origin.expanded))
        except Wrong as error:
            problems.append(Problem(f"{path}.{name}{error.at}", error.text, origin))
    return values, used, problems


def _given(
    info: SettingInfo, raw: Mapping[str, Any], environment: Mapping[str, str], path: str, origins: Mapping[str, Origin]
) -> tuple[Any, Origin | None]:
    value = raw.get(info.name)
    if value is not None and not (info.required and not value and value != 0):
        return value, origin_of(path, origins) or Origin(OriginKind.FILE)
    for variable in info.env:
        if text := environment.get(variable):
            return text, Origin(OriginKind.ENVIRONMENT, variable)
    return None, None


def _default(info: SettingInfo) -> str:
    default: Any = info.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = None if default.takes_self else default.factory()
    return show(default)


def _culprit(error: Exception, fields: Mapping[str, Any], text: str) -> str:
    """Name the field whose validator raised: the first word of its message, or among attrs's arguments."""
    for argument in error.args:
        if isinstance(argument, attrs.Attribute) and argument.name in fields:
            return argument.name
    first = text.partition(": ")[0]
    return first if first in fields else ""


def _secrets(cls: type, values: Mapping[str, Any]) -> list[str]:
    """List the secret texts in *values*; those for a plugin's own converter are plain texts yet."""
    plain = [values[info.name] for info in describe(cls) if info.secret and isinstance(values.get(info.name), str)]
    return [*reveal_all(values), *plain]


def _safe(error: Exception, secrets: list[str]) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return scrub(text, secrets).replace("\n", " ")
