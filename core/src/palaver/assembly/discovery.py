"""Who is there: reads the metadata of installed distributions, and imports nothing of theirs."""

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import Distribution
from types import ModuleType
from typing import Any

import attrs

from palaver.assembly.core_range import CORE

__all__ = ["Candidate", "built_in", "find", "installed_core"]


@attrs.frozen(kw_only=True)
class Candidate:
    """An entry point, or a module that core or the server brings along."""

    name: str
    distribution: str
    version: str
    #: What the entry point names: ``palaver_acme``.
    module: str
    load: Callable[[], Any]
    #: What its distribution requires, as ``Requires-Dist`` has it.
    requires: tuple[str, ...] = ()
    builtin: bool = False
    #: Why its metadata cannot be used; empty when they can.
    unreadable: str = ""

    def is_of(self, distribution: str) -> bool:
        """Tell whether it belongs to *distribution*, however that is spelt."""
        return _normal(distribution) == _normal(self.distribution)

    def matches(self, wanted: str) -> bool:
        """Tell whether *wanted* names it or its distribution."""
        return self.is_of(wanted) or _normal(wanted) == _normal(self.name)


def installed_core() -> str:
    """Tell the version of the installed palaver-core; empty when it runs without being installed."""
    try:
        return importlib.metadata.version(CORE)
    except importlib.metadata.PackageNotFoundError:
        return ""


def built_in(name: str, module: ModuleType, version: str) -> Candidate:
    """Present a module of our own like an installed plugin."""
    package = module.__name__.partition(".")[0]
    return Candidate(
        name=name,
        distribution=CORE if package == "palaver" else _normal(package),
        version=version or "unknown",
        module=module.__name__,
        load=lambda: module,
        builtin=True,
    )


def find(group: str, distributions: Iterable[Distribution] | None = None) -> Iterator[Candidate]:
    """List the entry points of *group* of everything installed.

    A distribution that is there twice counts once: the first on ``sys.path``, as for an import. Unlike
    ``importlib.metadata.entry_points`` this survives metadata that cannot be read.
    """
    header = re.compile(rf"^\s*\[\s*{re.escape(group)}\s*\]", re.MULTILINE)
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions() if distributions is None else distributions:
        name = _name(distribution)
        if name and _normal(name) not in seen:
            seen.add(_normal(name))
            # Most distributions have nothing for us: a search is much cheaper than parsing them all.
            if header.search(_read(distribution, "entry_points.txt")):
                yield from _candidates(distribution, name, group)


def _name(distribution: Distribution) -> str:
    text = _read(distribution, "METADATA") or _read(distribution, "PKG-INFO")
    found = re.search(r"^Name:[ \t]*(\S+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _read(distribution: Distribution, file: str) -> str:
    try:
        return distribution.read_text(file) or ""
    except (OSError, UnicodeDecodeError):
        # Half an uninstall, or not text: no installer would know this distribution either.
        return ""


def _candidates(distribution: Distribution, name: str, group: str) -> list[Candidate]:
    try:
        version = distribution.version or "unknown"
        requires = tuple(distribution.requires or ())
        points = [
            Candidate(
                name=point.name,
                distribution=name,
                version=version,
                module=point.value,
                load=point.load,
                requires=requires,
            )
            for point in distribution.entry_points
            if point.group == group
        ]
    except Exception as error:  # a file written by anybody can make a parser raise anything; it is reported
        problem = f"its metadata cannot be read: {type(error).__name__}: {error}"
        return [
            Candidate(
                name=name,
                distribution=name,
                version="unknown",
                module="",
                load=lambda: None,
                unreadable=problem,
            )
        ]
    return points


def _normal(name: str) -> str:
    """Spell a name in the one way of https://packaging.python.org/en/latest/specifications/name-normalization/ ."""
    return re.sub(r"[-_.]+", "-", name).lower()
