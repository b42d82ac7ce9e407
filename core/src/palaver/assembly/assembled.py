"""The result of assembly: the specs of the plugins that loaded, and a way to call hooks that core does not know."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import attrs
import pluggy

from palaver.assembly.checking import Unusable
from palaver.assembly.hooks import Promised, call, implemented
from palaver.assembly.loading import Attempt, Failed, Finished
from palaver.assembly.report import PluginReport, PluginState
from palaver.assembly.wording import Wording
from palaver.clock import Clock, SystemClock
from palaver.specs import (
    AuthenticatorSpec,
    MiddlewareSpec,
    ObserverSpec,
    ProviderSpec,
    StorageSpec,
    ToolSourceSpec,
)

__all__ = ["Assembly", "HookResult"]


@attrs.frozen(kw_only=True)
class HookResult:
    """What one plugin answered to a hook that is called after assembly."""

    plugin: str
    items: tuple[Any, ...] = ()
    #: One line, empty when it answered well.
    reason: str = ""
    traceback: str = ""


@attrs.frozen(kw_only=True)
class Assembly:
    """All plugins that were found, and what the loaded ones offer, by name."""

    plugins: tuple[PluginReport, ...] = ()
    providers: Mapping[str, ProviderSpec[Any]] = attrs.field(factory=dict)
    tool_sources: Mapping[str, ToolSourceSpec[Any]] = attrs.field(factory=dict)
    storages: Mapping[str, StorageSpec[Any]] = attrs.field(factory=dict)
    middlewares: Mapping[str, MiddlewareSpec[Any]] = attrs.field(factory=dict)
    authenticators: Mapping[str, AuthenticatorSpec[Any]] = attrs.field(factory=dict)
    observers: Mapping[str, ObserverSpec[Any]] = attrs.field(factory=dict)
    #: ``provider:mock`` → name of the plugin that offers it.
    origins: Mapping[str, str] = attrs.field(factory=dict)
    #: Plugin name → module, of the loaded ones.
    modules: Mapping[str, ModuleType] = attrs.field(factory=dict)
    #: What is odd about ``plugins.allow`` and ``plugins.block``; one line each.
    notes: tuple[str, ...] = ()
    #: Seconds for everything.
    seconds: float = 0.0
    _managers: Mapping[str, pluggy.PluginManager] = attrs.field(factory=dict, eq=False, repr=False)
    _wording: Wording = attrs.field(factory=Wording, eq=False, repr=False)
    _clock: Clock = attrs.field(factory=SystemClock, eq=False, repr=False)

    def report(self, name: str) -> PluginReport | None:
        """Find a plugin by its name; of several claimants the loaded one, else the first."""
        named = [plugin for plugin in self.plugins if plugin.name == name]
        loaded = [plugin for plugin in named if plugin.state is PluginState.LOADED]
        return next(iter(loaded + named), None)

    def origin(self, title: str) -> PluginReport | None:
        """Find the plugin behind an offer such as ``provider:mock``."""
        name = self.origins.get(title)
        return None if name is None else self.report(name)

    def call(self, hook: str, promised: Promised = object, *, limit: float = 5.0) -> tuple[HookResult, ...]:
        """Call a hook that core does not know (``palaver_routes``) on each loaded plugin alone, in order of name.

        Args:
            promised: Class of the items; any other item spoils that plugin's answer.
            limit: Seconds for each plugin.
        """
        managers = sorted(self._managers.items())
        return tuple(
            self._call(name, manager, hook, promised, limit)
            for name, manager in managers
            if hook in implemented(manager)
        )

    def _call(
        self, name: str, manager: pluggy.PluginManager, hook: str, promised: Promised, limit: float
    ) -> HookResult:
        attempt = Attempt(lambda: call(manager, hook, promised), name=f"palaver-plugin-{name}", clock=self._clock)
        match attempt.wait(limit):
            case Finished(value=items):
                return HookResult(plugin=name, items=items)
            case Failed(error=Unusable() as error):
                return HookResult(plugin=name, reason=self._wording.line(error))
            case Failed(error=error):
                reason = self._wording.line(error, f"in {hook}(): ")
                return HookResult(plugin=name, reason=reason, traceback=self._wording.traceback(error))
            case None:
                reason = f"in {hook}(): still running after {limit:g} s, abandoned"
                return HookResult(plugin=name, reason=reason, traceback=self._wording.stack(attempt.where()))
