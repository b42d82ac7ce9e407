"""From merged settings to the schema: every value converted, every problem found in one pass.

Knows the schema by its classes alone; only ``providers`` is special, for its entries mix our keys and a
plugin's options.
"""

import re
import typing
from collections.abc import Mapping
from typing import Any

import attrs

from palaver.config.conversion import SECONDS, Wrong, convert
from palaver.config.files import Located
from palaver.config.origins import DEFAULT, Origin, Problem
from palaver.config.rules import SECONDS_PATHS, complaint
from palaver.config.schema import Config, ProviderEntry

__all__ = ["Reading", "did_you_mean", "fields_of"]

_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: The keys of a provider's entry that are ours; all others are its plugin's options.
_ENTRY_KEYS = frozenset({"plugin", "models", "model_prefixes", "enabled"})


class Reading:
    """One pass over merged settings; collects origins and problems while it builds the ``Config``."""

    def __init__(self) -> None:
        self.origins: dict[str, Origin] = {}
        self.problems: list[Problem] = []

    def config(self, root: Located) -> Config:
        """Build the configuration; what is wrong is reported and keeps its default."""
        config: Config = self._section(Config, root, "")
        return attrs.evolve(config, origins=self.origins)

    def _section(self, cls: type, located: Located | None, path: str) -> Any:
        given: Mapping[str, Located] = {}
        if located is not None and located.value is not None:
            if isinstance(located.value, dict):
                given = located.value
            else:
                self._wrong(path, "expected settings by name", located.origin)
        fields = fields_of(cls)
        for name, child in given.items():
            if name not in fields:
                below = f"{path}.{name}" if path else name
                self._wrong(below, f"unknown setting{did_you_mean(name, fields)}", child.origin)
        values = {}
        for name, field in fields.items():
            below = f"{path}.{name}" if path else name
            located_child = given.get(name)
            if isinstance(field.type, type) and attrs.has(field.type):
                values[name] = self._section(field.type, located_child, below)
            elif located_child is None or located_child.value is None:
                self.origins[below] = DEFAULT
            elif below == "providers":
                values[name] = self._providers(located_child)
            else:
                self._value(values, name, field.type, located_child, below)
        return cls(**values)

    def _value(self, values: dict[str, Any], name: str, kind: Any, located: Located, path: str) -> None:
        self._note(path, located)
        if path in SECONDS_PATHS:
            kind = SECONDS
        try:
            value = convert(located.plain(), kind, repeat=not located.origin.expanded)
        except Wrong as error:
            at = self.origins.get(path + error.at, located.origin)
            self._wrong(path + error.at, error.text, at)
            return
        if (text := complaint(path, value)) is not None:
            text = text.partition(", got ")[0] if located.origin.expanded else text
            self._wrong(path, text, located.origin)
            return
        values[name] = value

    def _providers(self, located: Located) -> Mapping[str, ProviderEntry]:
        if not isinstance(located.value, dict):
            self._wrong("providers", "expected entries by name, such as 'eu: {plugin: openai}'", located.origin)
            return {}
        entries = {}
        for name, entry in located.value.items():
            path = f"providers.{name}"
            if not _INSTANCE.fullmatch(name):
                self._wrong(path, "expected a name of letters, digits and . _ -", entry.origin)
            elif entry.value is not None and not isinstance(entry.value, dict):
                self._wrong(path, "expected settings, such as '{plugin: openai}'", entry.origin)
            else:
                entries[name] = self._provider(name, entry, path)
        return entries

    def _provider(self, name: str, entry: Located, path: str) -> ProviderEntry:
        fields = fields_of(ProviderEntry)
        self._note(path, entry)
        given: Mapping[str, Located] = entry.value or {}
        # An entry without a plugin is named like one.
        values: dict[str, Any] = {"plugin": name}
        for key in sorted(_ENTRY_KEYS & given.keys()):
            self._value(values, key, fields[key].type, given[key], f"{path}.{key}")
        options = {key: item.plain() for key, item in given.items() if key not in _ENTRY_KEYS}
        return ProviderEntry(**values, options=options)

    def _note(self, path: str, located: Located) -> None:
        """Keep the origin of everything at and below *path*, for messages and ``config show``."""
        self.origins[path] = located.origin
        if isinstance(located.value, dict):
            for key, item in located.value.items():
                self._note(f"{path}.{key}", item)
        elif isinstance(located.value, list):
            for index, item in enumerate(located.value):
                self._note(f"{path}[{index}]", item)

    def _wrong(self, path: str, text: str, origin: Origin) -> None:
        self.problems.append(Problem(path, text, origin))


def fields_of(cls: type) -> Mapping[str, "attrs.Attribute[Any]"]:
    """List what a schema class lets the operator set, types resolved."""
    attrs.resolve_types(cls)
    return {field.name: field for field in attrs.fields(cls) if not field.metadata.get("internal")}


def did_you_mean(name: str, known: typing.Iterable[str]) -> str:
    """Suggest the nearest of *known*, as the end of a message; empty when none is near."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
