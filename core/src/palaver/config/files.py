"""Reading the configuration file and a ``.env`` file: values with the line each stands on.

The YAML nodes themselves know their lines, so this composes the node graph and reads it, references
expanded, into plain values with an ``Origin`` each.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from palaver.config.expansion import BadReference, UnsetVariable, expand
from palaver.config.origins import Origin, OriginKind, Problem

__all__ = ["Located", "ReadFile", "parse_env_file", "parse_yaml"]

#: Levels a configuration file nests at most.
_DEPTH = 32
_ENV_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*?)\s*")


@attrs.frozen
class Located:
    """A scalar, a dictionary of ``Located`` or a list of ``Located``, and where it stands."""

    value: Any
    origin: Origin

    @classmethod
    def of(cls, value: Any, origin: Origin) -> "Located":
        """Place a plain *value*, and everything in it, at *origin*."""
        if isinstance(value, dict):
            value = {key: cls.of(item, origin) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            value = [cls.of(item, origin) for item in value]
        return cls(value, origin)

    def plain(self) -> Any:
        """Give the value without its places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


@attrs.frozen
class ReadFile:
    """What a file said: its settings, what is wrong in it, and what refers to unset variables."""

    root: Located
    problems: tuple[Problem, ...] = ()
    unset: tuple[Problem, ...] = ()


def parse_yaml(text: str, name: str, environment: Mapping[str, str], folder: Path) -> ReadFile:
    """Read a YAML *text* that stands in the file *name* inside *folder*."""
    import yaml

    top = Origin(OriginKind.FILE, f"{name}:1")
    empty = Located({}, top)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return ReadFile(empty)
        reader = _Reader(loader, name, environment, folder)
        root = reader.read(node, "", ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Origin(OriginKind.FILE, f"{name}:{mark.line + 1}" if mark else name)
        return ReadFile(empty, (Problem("", f"not valid YAML: {_yaml_words(error)}", where),))
    except yaml.YAMLError:
        return ReadFile(empty, (Problem("", "not valid YAML: it has characters that no text has", top),))
    except RecursionError:
        return ReadFile(empty, (Problem("", f"nests more than {_DEPTH} levels", top),))
    if root is None or not isinstance(root.value, dict):
        problem = Problem("", "expected settings such as 'server: …' at the top of the file", top)
        return ReadFile(empty, (*reader.problems, problem), tuple(reader.unset))
    return ReadFile(root, tuple(reader.problems), tuple(reader.unset))


def parse_env_file(text: str, name: str) -> tuple[dict[str, tuple[str, Origin]], tuple[Problem, ...]]:
    """Read ``NAME=value`` lines; quotes, ``export`` and comments as shells have them, without expansion."""
    variables: dict[str, tuple[str, Origin]] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        origin = Origin(OriginKind.ENVIRONMENT, f"{name}:{number}")
        match = _ENV_LINE.fullmatch(line)
        if match is None:
            problems.append(Problem("", "expected NAME=value", origin))
            continue
        value = match["value"]
        if quoted := re.fullmatch(r"(['\"])(.*)\1(?:\s+#.*)?", value):
            value = quoted[2]
        else:
            value = re.sub(r"(?:^|\s+)#.*", "", value)
        variables[match["name"]] = (value, Origin(OriginKind.ENVIRONMENT, f"{match['name']} in {name}:{number}"))
    return variables, tuple(problems)


class _Reader:
    """Walks the node graph of one file."""

    def __init__(self, loader: Any, name: str, environment: Mapping[str, str], folder: Path) -> None:
        self._loader = loader
        self._name = name
        self._environment = environment
        self._folder = folder
        self.problems: list[Problem] = []
        self.unset: list[Problem] = []

    def read(self, node: Any, path: str, around: tuple[Any, ...]) -> Located | None:
        """Read *node*; ``None`` when it counts as absent."""
        origin = self._at(node)
        if len(around) >= _DEPTH or node in around:
            self.problems.append(Problem(path, f"nests more than {_DEPTH} levels", origin))
            return None
        if node.id == "mapping":
            return Located(self._mapping(node, path, (*around, node)), origin)
        if node.id == "sequence":
            items = (self.read(item, f"{path}[{at}]", (*around, node)) for at, item in enumerate(node.value))
            return Located([item for item in items if item is not None], origin)
        return self._scalar(node, path, origin)

    def _mapping(self, node: Any, path: str, around: tuple[Any, ...]) -> dict[str, Located]:
        seen: dict[str, Origin] = {}
        for key_node, _ in node.value:
            origin = self._at(key_node)
            if key_node.id == "scalar" and key_node.value in seen:
                below = f"{path}.{key_node.value}" if path else key_node.value
                self.problems.append(Problem(below, f"is set twice, first at {seen[key_node.value]}", origin))
            elif key_node.id == "scalar":
                seen[key_node.value] = origin
        # A merge (<<) puts what it brings first, so that the mapping's own settings win below.
        self._loader.flatten_mapping(node)
        found: dict[str, Located] = {}
        for key_node, value_node in node.value:
            origin = self._at(key_node)
            if key_node.id != "scalar":
                self.problems.append(Problem(path, "expected a name before ':'", origin))
                continue
            key = key_node.value
            value = self.read(value_node, f"{path}.{key}" if path else key, around)
            if value is not None:
                found[key] = attrs.evolve(value, origin=attrs.evolve(origin, expanded=value.origin.expanded))
        return found

    def _at(self, node: Any) -> Origin:
        return Origin(OriginKind.FILE, f"{self._name}:{node.start_mark.line + 1}")

    def _scalar(self, node: Any, path: str, origin: Origin) -> Located | None:
        _, standard, tag = node.tag.rpartition("tag:yaml.org,2002:")
        if not standard or tag not in ("null", "bool", "int", "float", "str", "timestamp"):
            self.problems.append(Problem(path, "has a YAML tag: put a text that begins with '!' in quotes", origin))
            return None
        if tag == "null":
            return Located(None, origin)
        if tag in ("bool", "int", "float"):
            try:
                return Located(self._loader.construct_object(node), origin)
            except (ValueError, KeyError):
                self.problems.append(Problem(path, f"is not what its tag !!{tag} says", origin))
                return None
        text: str = node.value
        if "${" not in text:
            return Located(text, origin)
        origin = attrs.evolve(origin, expanded=True)
        try:
            return Located(expand(text, self._environment, self._folder), origin)
        except UnsetVariable as error:
            self.unset.append(Problem(path, f"{error.name} is not set, so the line counts as absent", origin))
        except BadReference as error:
            self.problems.append(Problem(path, str(error), origin))
        return None


def _yaml_words(error: Any) -> str:
    """Say what the YAML parser found, without repeating pieces of the file, which may be secrets."""
    words = " ".join(filter(None, (error.context, error.problem))) or "it cannot be parsed"
    return re.sub(r"'[^']{2,}'", "…", words).replace("\n", " ")
