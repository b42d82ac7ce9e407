"""Loading: defaults < file < environment < flags, each value with its origin, every problem at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from palaver.config.checks import look_closer
from palaver.config.files import Located, ReadFile, parse_env_file, parse_yaml
from palaver.config.names import DATABASE_PARTS, NAMES, SPELLINGS, known_variables
from palaver.config.origins import ConfigInvalid, Origin, OriginKind, Problem
from palaver.config.reading import Reading, did_you_mean, fields_of
from palaver.config.schema import Config

__all__ = ["DEFAULT_FILE", "Loaded", "load"]

#: The file that is read when it is there and no other is named.
DEFAULT_FILE = "config.yaml"


@attrs.frozen(kw_only=True)
class Loaded:
    """A configuration and how it came about; with problems, what is wrong in it has its default."""

    config: Config
    origins: Mapping[str, Origin] = attrs.field(repr=False)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    #: The environment, with the variables of ``--env-file`` in it; plugins' settings are looked up here.
    environment: Mapping[str, str] = attrs.field(repr=False, factory=dict)
    #: The file that was read, ``None`` when none was.
    file: Path | None = None

    def require(self) -> Config:
        """Give the configuration if nothing is wrong with it.

        Raises:
            ConfigInvalid: naming every problem.
        """
        if self.problems:
            raise ConfigInvalid(self.problems)
        return self.config


def load(
    *,
    environment: Mapping[str, str],
    file: str | Path | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
    env_file: str | Path | None = None,
    env_only: bool = False,
    library: bool = False,
    folder: Path | None = None,
) -> Loaded:
    """Load the configuration; never raises for what an operator wrote, see ``Loaded.problems``.

    Args:
        file: The YAML file; ``AICHAT_CONFIG``, then ``config.yaml`` if it is there.
        flags: Path → name of the flag and its value.
        env_file: A file of ``NAME=value`` lines; the environment itself is stronger.
        env_only: Read no YAML file; ``AICHAT_ENV_ONLY`` says the same.
        library: Let the client library's variables (``AI_PROVIDER``, …) count as well.
        folder: Where relative paths start; the working directory.
    """
    folder = folder or Path()
    problems: list[Problem] = []
    variables = _variables(environment, env_file, folder, problems)
    merged = {name: value for name, (value, _) in variables.items()}
    read, path = _file(file, merged, env_only, folder)
    problems += read.problems
    root = _respelled(read.root, problems)
    for spelled, located in _from_environment(variables, library, problems).items():
        _put(root, spelled, located)
    for spelled, (flag, value) in (flags or {}).items():
        _put(root, spelled, Located.of(value, Origin(OriginKind.FLAG, flag)))
    reading = Reading()
    config = reading.config(root)
    more_problems, warnings = look_closer(config, reading.origins)
    if any(problem.path.startswith("server.") for problem in reading.problems):
        # What it takes to call the server may be exactly what could not be read.
        more_problems = []
    return Loaded(
        config=config,
        origins=reading.origins,
        problems=(*problems, *reading.problems, *more_problems),
        warnings=(*read.unset, *_unknown_variables(variables), *warnings),
        environment=merged,
        file=path,
    )


def _variables(
    environment: Mapping[str, str], env_file: str | Path | None, folder: Path, problems: list[Problem]
) -> dict[str, tuple[str, Origin]]:
    variables: dict[str, tuple[str, Origin]] = {}
    if env_file is not None:
        text = _read(folder / env_file, str(env_file), problems)
        variables, wrong = parse_env_file(text, str(env_file))
        problems += wrong
    # The empty string is how containers pass what nobody set.
    set_here = {name: value for name, value in environment.items() if value or name not in variables}
    return variables | {name: (value, Origin(OriginKind.ENVIRONMENT, name)) for name, value in set_here.items()}


def _file(
    file: str | Path | None, environment: Mapping[str, str], env_only: bool, folder: Path
) -> tuple[ReadFile, Path | None]:
    nothing = ReadFile(Located({}, Origin(OriginKind.FILE)))
    if env_only or environment.get("AICHAT_ENV_ONLY", "").strip().lower() in ("1", "true", "yes", "on"):
        return nothing, None
    named = str(file or environment.get("AICHAT_CONFIG", ""))
    path = folder / (named or DEFAULT_FILE)
    if not named and not path.exists():
        return nothing, None
    problems: list[Problem] = []
    text = _read(path, named or DEFAULT_FILE, problems)
    if problems:
        return attrs.evolve(nothing, problems=tuple(problems)), None
    return parse_yaml(text, named or DEFAULT_FILE, environment, path.parent), path


def _read(path: Path, name: str, problems: list[Problem]) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        problems.append(Problem("", f"file {name!r} cannot be read: {(error.strerror or 'no reason given').lower()}"))
    except UnicodeDecodeError:
        problems.append(Problem("", f"file {name!r} is not UTF-8 text"))
    return ""


def _respelled(root: Located, problems: list[Problem]) -> Located:
    """Move other spellings to ours; both at once is a problem, for nobody can tell which one is meant."""
    root = Located(dict(root.value), root.origin)
    for other, ours in SPELLINGS.items():
        section, _, key = other.rpartition(".")
        holder = root.value.get(section)
        if holder is None or not isinstance(holder.value, dict) or key not in holder.value:
            continue
        located = holder.value[key]
        rest = {name: value for name, value in holder.value.items() if name != key}
        if rest or section in fields_of(Config):
            root.value[section] = Located(rest, holder.origin)
        else:
            del root.value[section]
        if (given := _get(root, ours)) is not None:
            problems.append(Problem(other, f"is another spelling of {ours}, set at {given.origin}", located.origin))
        else:
            _put(root, ours, located)
    return root


def _get(root: Located, path: str) -> Located | None:
    found: Located | None = root
    for key in path.split("."):
        if found is None or not isinstance(found.value, dict):
            return None
        found = found.value.get(key)
    return found


def _put(root: Located, path: str, located: Located) -> None:
    """Set *path* below *root*; what is in the way stays and is reported when it is read."""
    *sections, last = path.split(".")
    holder = root
    for section in sections:
        child = holder.value.get(section)
        if child is None or child.value is None:
            child = Located({}, located.origin)
        elif not isinstance(child.value, dict):
            return
        else:
            child = Located(dict(child.value), child.origin)
        holder.value[section] = child
        holder = child
    holder.value[last] = located


def _from_environment(
    variables: Mapping[str, tuple[str, Origin]], library: bool, problems: list[Problem]
) -> dict[str, Located]:
    found: dict[str, Located] = {}
    for name in NAMES:
        for variable in (*name.variables, *(name.library if library else ())):
            text, origin = variables.get(variable, ("", None))
            if text and origin is not None:
                translated = name.translate(text) if name.translate and variable in name.library else text
                found[name.path] = Located(translated, origin)
                break
    if "storage.url" not in found and (url := _database_url(variables, problems)) is not None:
        found["storage.url"] = url
    return found


def _database_url(variables: Mapping[str, tuple[str, Origin]], problems: list[Problem]) -> Located | None:
    given = [name for name in DATABASE_PARTS if variables.get(name, ("",))[0]]
    if not given:
        return None
    host, port, name, user, password, ssl = (
        variables[part][0] if part in given else default for part, default in DATABASE_PARTS.items()
    )
    origin = Origin(OriginKind.ENVIRONMENT, ", ".join(given))
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        where = variables["AICHAT_DB_PORT"][1]
        problems.append(Problem("storage.url", "expected a port from 1 to 65535", where))
        return None
    host = f"[{host}]" if ":" in host else quote(host, safe="")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    address = f"postgresql://{login}@{host}:{port}/{quote(name, safe='')}?sslmode={quote(ssl, safe='')}"
    return Located(address, origin)


def _unknown_variables(variables: Mapping[str, tuple[str, Origin]]) -> list[Problem]:
    known = set(known_variables())
    unknown = sorted(name for name in variables if name.startswith("AICHAT_") and name not in known)
    return [
        Problem("", f"{name} means nothing to Palaver{did_you_mean(name, known)}", variables[name][1])
        for name in unknown
        if variables[name][0]
    ]
