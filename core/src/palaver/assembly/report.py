"""One report per plugin that was found: what it offers, or why it offers nothing. Data only."""

from enum import StrEnum

import attrs

__all__ = ["PluginReport", "PluginState"]


class PluginState(StrEnum):
    """What became of a plugin. Only a ``LOADED`` one offers anything."""

    LOADED = "loaded"
    #: Its metadata, its code or what it returned is broken, or it did not come back in time.
    QUARANTINED = "quarantined"
    #: ``plugins.allow`` or ``plugins.block`` keeps it out; its code was not imported.
    BLOCKED = "blocked"
    #: Another plugin claims the same name, or all that it offers.
    DUPLICATE = "duplicate"


@attrs.frozen(kw_only=True)
class PluginReport:
    """One plugin: where it comes from, what it offers, and why not if not."""

    #: The entry point's name.
    name: str
    distribution: str
    version: str
    state: PluginState
    #: What the entry point names: ``palaver_acme``.
    module: str = ""
    #: Seconds for import and hooks; 0 when it was not tried.
    seconds: float = 0.0
    #: One line, empty when it loaded.
    reason: str = ""
    #: For ``palaver doctor``: where its code raised, or where it hangs.
    traceback: str = ""
    #: The hook API it was built for; ``None`` when its module was not seen or does not say it properly.
    hook_api: int | None = None
    #: The hooks it implements.
    hooks: tuple[str, ...] = ()
    #: ``provider:mock``, ``storage:sqlite`` …
    provides: tuple[str, ...] = ()
    #: Whether loading took more than a second.
    slow: bool = False
    #: What is odd, but keeps nothing from working; one line each.
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Tell it in one line for the log."""
        start = f"plugin {self.name} ({self.distribution} {self.version})"
        if self.state is not PluginState.LOADED:
            return f"{start} {self.state.value}: {self.reason}"
        offers = ", ".join(self.provides) or ", ".join(self.hooks) or "nothing"
        slow = ", slow" if self.slow else ""
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{start} {self.state.value} in {self.seconds * 1000:.0f} ms{slow}: offers {offers}{notes}"
