"""The configuration held against what is installed: values to show, and problems only plugins can tell. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from palaver import Secret
from palaver.assembly import Assembly
from palaver.config import ConfigInvalid, Loaded, NotConfigured, Origin, Problem, plugin_config
from palaver.config.masking import show, show_url
from palaver.config.origins import DEFAULT, origin_of
from palaver.config.reading import fields_of
from palaver.config.schema import Config
from palaver.config.second_phase import ShownSetting, shown_options, shown_settings
from palaver.runtime.plan import PlannedInstance, plan_instances

__all__ = ["Section", "plugin_problems", "sections", "shown_values", "storage_scheme"]


@attrs.frozen
class Section:
    """Raw options that a plugin's configuration class reads; without the plugin *cls* is ``None``."""

    path: str
    raw: Mapping[str, Any]
    cls: type | None
    #: What the configuration asks for by name, in words, when nothing installed is it.
    missing: str = ""
    #: The operator asked for it, so that missing settings are a problem.
    wanted: bool = True


def shown_values(loaded: Loaded, assembly: Assembly) -> list[ShownSetting]:
    """List every value with its origin, secrets masked: core's own, then those of plugins."""
    origins = _origins(loaded, assembly)
    rows = list(_core(Config, loaded.config, "", loaded))
    rows += shown_options(loaded.config.llm.options, path="llm.options", origins=origins)
    for name, entry in loaded.config.providers.items():
        path = f"providers.{name}"
        for key in ("plugin", "models", "model_prefixes", "enabled"):
            rows.append(_row(f"{path}.{key}", getattr(entry, key), loaded))
    for section in sections(loaded.config, assembly):
        if section.cls is None:
            rows += shown_options(section.raw, path=section.path, origins=origins)
        else:
            rows += shown_settings(section.cls, section.raw, loaded.environment, path=section.path, origins=origins)
    wrong = {problem.path: problem.text for problem in loaded.problems}
    # What is wrong has its default now, and showing that beside its place in the file would mislead.
    rows = [attrs.evolve(row, text=f"({wrong[row.path]})") if row.path in wrong else row for row in rows]
    # The storage's address has a line already, which tells more than three stars.
    return [row for row in rows if row.path != "storage.options.url"]


def plugin_problems(loaded: Loaded, assembly: Assembly) -> list[Problem]:
    """List what is wrong in the options of plugins, and plugins that are asked for and not there."""
    problems: list[Problem] = []
    origins = _origins(loaded, assembly)
    for section in sections(loaded.config, assembly):
        if section.cls is None:
            problems.append(Problem(section.path, section.missing, origin_of(section.path, origins)))
            continue
        try:
            plugin_config(section.cls, section.raw, loaded.environment, path=section.path, origins=origins)
        except NotConfigured as error:
            if section.wanted:
                problems.append(Problem(section.path, str(error).removeprefix(f"{section.path}: ")))
        except ConfigInvalid as error:
            problems += error.problems
    return problems


def sections(config: Config, assembly: Assembly) -> Iterator[Section]:
    """List everything a plugin reads: instances, storage, tools, middlewares, authenticators, observers."""
    planned, refused = plan_instances(config, assembly.providers)
    for plan in planned:
        yield Section(plan.path, plan.options, plan.spec.config, wanted=_wanted(config, plan))
    for state in refused:
        entry = config.providers.get(state.name)
        if entry is None or entry.enabled:
            path = "llm.provider" if entry is None else f"providers.{state.name}"
            yield Section(
                path,
                {} if entry is None else entry.options,
                None,
                _absent("provider", state.plugin, assembly.providers),
            )
    yield _storage(config, assembly)
    for kind, configured, specs in (
        ("tools", config.tools, assembly.tool_sources),
        ("observers", config.observers, assembly.observers),
    ):
        noun = "tool source" if kind == "tools" else "observer"
        for name in sorted({*configured, *specs}):
            spec = specs.get(name)
            cls = spec.config if spec is not None else None
            missing = "" if spec is not None else _absent(noun, name, specs)
            yield Section(f"{kind}.{name}", configured.get(name, {}), cls, missing, wanted=name in configured)
    yield from _listed("middlewares", "middleware", config.middlewares, assembly.middlewares)
    yield from _listed("authenticators", "authenticator", config.authenticators, assembly.authenticators)


def storage_scheme(config: Config) -> str:
    """Tell the scheme of the storage's address, without a driver after ``+``."""
    return config.storage.url.reveal().partition(":")[0].partition("+")[0]


def _origins(loaded: Loaded, assembly: Assembly) -> Mapping[str, Origin]:
    """Add where an instance got what ``llm`` lends it."""
    config, origins = loaded.config, dict(loaded.origins)
    for plan in plan_instances(config, assembly.providers)[0]:
        if plan.name == config.llm.provider or (_wanted(config, plan) and plan.name not in config.providers):
            for name in ("api_key", "base_url", *(f"options.{option}" for option in config.llm.options)):
                if (origin := origins.get(f"llm.{name}", DEFAULT)) != DEFAULT:
                    origins.setdefault(f"{plan.path}.{name.removeprefix('options.')}", origin)
    return origins


def _core(cls: type, value: Any, path: str, loaded: Loaded) -> Iterator[ShownSetting]:
    for name, field in fields_of(cls).items():
        below = f"{path}.{name}" if path else name
        inner = getattr(value, name)
        if isinstance(field.type, type) and attrs.has(field.type):
            yield from _core(field.type, inner, below, loaded)
        elif below not in _FOR_PLUGINS:
            yield _row(below, inner, loaded)


#: Paths whose values are raw, so that plugins explain them.
_FOR_PLUGINS = frozenset(
    {"providers", "tools", "observers", "middlewares", "authenticators", "storage.options", "llm.options"}
)


def _row(path: str, value: Any, loaded: Loaded) -> ShownSetting:
    text = show_url(value.reveal()) if path == "storage.url" and isinstance(value, Secret) else show(value)
    return ShownSetting(path, text, loaded.origins.get(path, DEFAULT))


def _wanted(config: Config, plan: PlannedInstance) -> bool:
    return plan.name in config.providers or config.llm.provider in (plan.name, plan.spec.name, *plan.spec.aliases)


def _storage(config: Config, assembly: Assembly) -> Section:
    scheme = storage_scheme(config)
    for spec in assembly.storages.values():
        if scheme in spec.schemes:
            return Section("storage.options", {"url": config.storage.url, **config.storage.options}, spec.config)
    schemes = sorted(scheme for spec in assembly.storages.values() for scheme in spec.schemes)
    missing = f"no installed storage has the scheme {scheme!r}; known: {', '.join(schemes) or 'none'}"
    return Section("storage.url", config.storage.options, None, missing)


def _listed(path: str, noun: str, items: tuple[Any, ...], specs: Mapping[str, Any]) -> Iterator[Section]:
    for index, item in enumerate(items):
        name, raw = item, None
        if isinstance(item, Mapping) and len(item) == 1:
            name, raw = next(iter(item.items()))
        below = f"{path}[{index}]"
        if not isinstance(name, str) or not isinstance(raw, Mapping | None):
            yield Section(below, {}, None, "expected a name, or one name with its options")
            continue
        spec = specs.get(name)
        missing = "" if spec is not None else _absent(noun, name, specs)
        yield Section(below, raw or {}, None if spec is None else spec.config, missing)


def _absent(noun: str, name: str, specs: Mapping[str, Any]) -> str:
    installed = ", ".join(sorted(specs)) or "none"
    return f"no {noun} {name!r} is installed and working (there: {installed}); see palaver plugins"
