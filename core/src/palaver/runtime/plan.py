"""Which instances there should be: the configuration read against what is installed. Pure."""

from collections.abc import Mapping
from typing import Any

import attrs

from palaver.config.schema import Config, ProviderEntry
from palaver.pipeline import Claims, Routes, Target
from palaver.runtime.instances import InstanceState
from palaver.specs import ProviderSpec

__all__ = ["PlannedInstance", "plan_instances", "plan_routes"]


@attrs.frozen
class PlannedInstance:
    """An instance to open: its plugin's spec, what it claims, and raw options below *path*."""

    name: str
    spec: ProviderSpec[Any]
    claims: Claims
    options: Mapping[str, Any]
    path: str


def plan_instances(
    config: Config, specs: Mapping[str, ProviderSpec[Any]]
) -> tuple[tuple[PlannedInstance, ...], tuple[InstanceState, ...]]:
    """List the instances to open, and those that cannot even be tried.

    An entry of ``providers`` makes an instance. A plugin that no entry names makes one of its own name,
    if it allows that; ``llm.provider`` makes one in any case and lends it ``llm.api_key`` and ``llm.base_url``.
    """
    planned: list[PlannedInstance] = []
    refused: list[InstanceState] = []
    entries = dict(config.providers)
    used: set[str] = set()
    for name, entry in entries.items():
        if not entry.enabled:
            refused.append(InstanceState(name, entry.plugin, "disabled", "switched off by configuration"))
            continue
        spec = find_spec(entry.plugin, specs)
        if spec is None:
            installed = ", ".join(sorted(specs)) or "none"
            reason = f"providers.{name}.plugin: no provider {entry.plugin!r} is installed; installed: {installed}"
            refused.append(InstanceState(name, entry.plugin, "failed", reason))
            continue
        used.add(spec.name)
        options = entry.options
        if name == config.llm.provider:
            options = {**_lent(config, spec), **options}
        planned.append(planned_instance(name, spec, entry, options))
    wanted = config.llm.provider
    if wanted and wanted not in entries:
        spec = find_spec(wanted, specs)
        if spec is None:
            installed = ", ".join(sorted(specs)) or "none"
            reason = f"llm.provider: no provider {wanted!r} is installed; installed: {installed}"
            refused.append(InstanceState(wanted, wanted, "failed", reason))
        elif spec.name not in entries:
            used.add(spec.name)
            planned.append(planned_instance(spec.name, spec, ProviderEntry(plugin=spec.name), _lent(config, spec)))
    for name, spec in specs.items():
        if spec.automatic and name not in used and name not in entries:
            planned.append(planned_instance(name, spec, ProviderEntry(plugin=name), {}))
    return tuple(planned), tuple(refused)


def planned_instance(
    name: str, spec: ProviderSpec[Any], entry: ProviderEntry, options: Mapping[str, Any]
) -> PlannedInstance:
    """Describe the instance that *entry* asks for; its own claims replace the plugin's prefixes."""
    prefixes = entry.model_prefixes or (() if entry.models else spec.model_prefixes)
    claims = Claims(name, spec.name, entry.models, prefixes)
    return PlannedInstance(name, spec, claims, options, f"providers.{name}")


def plan_routes(config: Config, claims: Mapping[str, Claims], specs: Mapping[str, ProviderSpec[Any]]) -> Routes:
    """Build the routes over the instances that are ready."""
    return Routes(
        claims=claims,
        default=_default(config, claims, specs),
        prefer=config.routing.prefer,
        fallback=config.routing.fallback,
    )


def find_spec(name: str, specs: Mapping[str, ProviderSpec[Any]]) -> ProviderSpec[Any] | None:
    """Find a provider by its name or an alias."""
    return specs.get(name) or next((spec for spec in specs.values() if name in spec.aliases), None)


def _lent(config: Config, spec: ProviderSpec[Any]) -> dict[str, Any]:
    fields = {field.name for field in attrs.fields(spec.config)}
    lent: dict[str, Any] = dict(config.llm.options)
    if config.llm.api_key and "api_key" in fields:
        lent["api_key"] = config.llm.api_key
    if config.llm.base_url and "base_url" in fields:
        lent["base_url"] = config.llm.base_url
    return lent


def _default(config: Config, claims: Mapping[str, Claims], specs: Mapping[str, ProviderSpec[Any]]) -> Target | None:
    wanted = config.llm.provider
    if wanted and wanted not in claims:
        spec = find_spec(wanted, specs)
        wanted = spec.name if spec is not None else wanted
    if not wanted and config.llm.model:
        # A model without a provider: whoever claims it.
        routes = Routes(claims=claims, prefer=config.routing.prefer)
        found = [name for name in claims if _claims(claims[name], config.llm.model)]
        return routes.resolve(config.llm.model)[0] if found else None
    if not wanted and len(claims) == 1:
        wanted = next(iter(claims))
    claim = claims.get(wanted)
    if claim is None:
        return None
    catalog = specs[claim.plugin].catalog if claim.plugin in specs else ()
    model = config.llm.model or (claim.models[0] if claim.models else catalog[0].id if catalog else "")
    return Target(wanted, model.removeprefix(f"{wanted}/")) if model else None


def _claims(claims: Claims, model: str) -> bool:
    return (
        model in claims.models
        or model.startswith(f"{claims.instance}/")
        or any(model.startswith(prefix) for prefix in claims.prefixes)
    )
