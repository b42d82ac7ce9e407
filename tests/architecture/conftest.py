"""What the architecture tests look at: every module that ships, parsed once. Nothing is imported to be judged."""

import ast
from functools import cached_property
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parents[2]


@attrs.frozen(slots=False)
class Source:
    """One Python file of ours: where it is, its dotted name, and its syntax tree."""

    path: Path
    module: str
    text: str

    @property
    def shown(self):
        return self.path.relative_to(ROOT).as_posix()

    @property
    def is_package(self):
        return self.path.name == "__init__.py"

    @property
    def distribution(self):
        """The folder that holds the distribution's pyproject.toml."""
        return next(folder for folder in self.path.parents if (folder / "pyproject.toml").exists())

    @cached_property
    def tree(self):
        return ast.parse(self.text, filename=str(self.path))


def dotted(path, source_folder):
    parts = path.relative_to(source_folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read(pattern, *, below):
    """Parse the files that match *pattern*; *below* is the folder that module names start from."""
    found = []
    for path in sorted(ROOT.glob(pattern)):
        folder = next(parent for parent in path.parents if parent.name == below)
        found.append(Source(path, dotted(path, folder), path.read_text(encoding="utf-8")))
    return tuple(found)


@pytest.fixture(scope="session")
def shipped():
    """Every module of every distribution."""
    places = ("core", "server", "migrations", "plugins/*")
    return tuple(source for place in places for source in read(f"{place}/src/**/*.py", below="src"))


@pytest.fixture(scope="session")
def plugin_tests():
    """The tests that plugins carry, which have to work outside this repository as well."""
    return read("plugins/*/tests/**/*.py", below="tests")
