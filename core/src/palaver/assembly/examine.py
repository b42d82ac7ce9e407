"""What happens to one plugin, in its own thread: import, version check, registration, hooks, spec checks."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any

import attrs
import pluggy

from palaver.assembly.checking import Unusable, check_spec
from palaver.assembly.discovery import Candidate
from palaver.assembly.hooks import call, implemented, register
from palaver.hookspecs import HOOK_API_VERSION
from palaver.specs import (
    AuthenticatorSpec,
    MiddlewareSpec,
    ObserverSpec,
    ProviderSpec,
    StorageSpec,
    ToolSourceSpec,
)

__all__ = ["HOOKS", "Examined", "Offer", "Progress", "examine"]

#: Hook → kind of what it offers, and the class it promises.
HOOKS: Mapping[str, tuple[str, type[Any]]] = MappingProxyType(
    {
        "palaver_providers": ("provider", ProviderSpec),
        "palaver_tool_sources": ("tool_source", ToolSourceSpec),
        "palaver_storages": ("storage", StorageSpec),
        "palaver_middlewares": ("middleware", MiddlewareSpec),
        "palaver_authenticators": ("authenticator", AuthenticatorSpec),
        "palaver_observers": ("observer", ObserverSpec),
    }
)


@attrs.frozen(kw_only=True)
class Offer:
    """A spec and the plugin it came from."""

    plugin: str
    kind: str
    spec: Any
    builtin: bool = False

    @property
    def title(self) -> str:
        """Name it as reports do: ``provider:mock``."""
        return f"{self.kind}:{self.spec.name}"

    @property
    def claims(self) -> frozenset[str]:
        """Say under which names it is asked for: ``mock``, an alias, ``sqlite:`` for a scheme."""
        schemes = (f"{scheme}:" for scheme in getattr(self.spec, "schemes", ()))
        return frozenset((self.spec.name, *getattr(self.spec, "aliases", ()), *schemes))


@attrs.frozen(kw_only=True)
class Examined:
    """A plugin without fault."""

    module: ModuleType
    manager: pluggy.PluginManager
    offers: tuple[Offer, ...]
    notes: tuple[str, ...]


@attrs.define
class Progress:
    """What is known while the plugin's thread runs; written there, read by who waits."""

    step: str = ""
    hook_api: int | None = None
    hooks: tuple[str, ...] = ()


def examine(candidate: Candidate, hookspecs: Sequence[ModuleType], progress: Progress) -> Examined:
    """Import a plugin and get its offers.

    Raises:
        Unusable: it breaks a rule.
        BaseException: whatever its own code raises.
    """
    progress.step = "at import"
    module = candidate.load()
    if not isinstance(module, ModuleType):
        raise Unusable(f"the entry point names {candidate.module}, which is not a module")
    progress.step = "at registration"
    progress.hook_api = _stated_hook_api(module)
    if progress.hook_api != HOOK_API_VERSION:
        way_out = "update the plugin" if progress.hook_api < HOOK_API_VERSION else "update palaver-core"
        raise Unusable(f"built for hook API {progress.hook_api}, this core has {HOOK_API_VERSION}: {way_out}")
    manager, notes = register(module, candidate.name, hookspecs)
    progress.hooks = implemented(manager)
    offers: list[Offer] = []
    for hook, (kind, promised) in HOOKS.items():
        if hook in progress.hooks:
            progress.step = f"in {hook}()"
            for spec in call(manager, hook, promised):
                check_spec(hook, spec)
                offers.append(Offer(plugin=candidate.name, kind=kind, spec=spec, builtin=candidate.builtin))
    _check_unique(offers)
    if not progress.hooks:
        notes.append("it implements no hook")
    return Examined(module=module, manager=manager, offers=tuple(offers), notes=tuple(notes))


def _stated_hook_api(module: ModuleType) -> int:
    stated = vars(module).get("PALAVER_HOOK_API", 1)
    if type(stated) is not int:
        raise Unusable(f"PALAVER_HOOK_API is {stated!r:.40}: expected the number {HOOK_API_VERSION}")
    return stated


def _check_unique(offers: Sequence[Offer]) -> None:
    seen: set[tuple[str, str]] = set()
    for offer in offers:
        for claim in sorted(offer.claims):
            if (offer.kind, claim) in seen:
                raise Unusable(f"returned rubbish: it offers {offer.kind} {claim!r} twice")
            seen.add((offer.kind, claim))
