"""Assembly itself: find the plugins, examine each one alone and limited, merge what they offer.

Built-in pieces pass through the same door. Nothing is kept in globals: two assemblies know nothing of each other.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution
from types import ModuleType
from typing import Any, TypeAlias

import attrs

from palaver import hookspecs as core_hookspecs
from palaver.assembly.assembled import Assembly
from palaver.assembly.checking import Unusable
from palaver.assembly.choice import Choice, choose, unmatched
from palaver.assembly.discovery import built_in, find, installed_core
from palaver.assembly.examine import Examined, Progress, examine
from palaver.assembly.loading import Attempt, Failed, Finished
from palaver.assembly.merge import contested
from palaver.assembly.report import PluginReport, PluginState
from palaver.assembly.wording import Wording
from palaver.clock import Clock, SystemClock
from palaver.hookspecs import PROJECT

__all__ = ["SLOW", "assemble"]

#: Seconds above which a plugin is called slow, and after which the next one begins beside it.
SLOW = 1.0

_Tried: TypeAlias = tuple[PluginReport, Examined | None]


def assemble(
    *,
    group: str = PROJECT,
    allow: Sequence[str] = (),
    block: Sequence[str] = (),
    import_limit: float = 5.0,
    total_limit: float = 15.0,
    builtin: Sequence[tuple[str, ModuleType]] = (),
    hookspecs: Sequence[ModuleType] = (),
    distributions: Iterable[Distribution] | None = None,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> Assembly:
    """Load the installed plugins and report on each; no plugin makes this raise. Blocks, so call it in a thread.

    Args:
        group: Entry-point group.
        allow: Distribution or entry-point names; when given, nothing else is imported.
        block: Such names again; they are not imported, even when allowed.
        import_limit: Seconds for one plugin's import and hooks.
        total_limit: Seconds for all; what could not be tried by then is reported so.
        builtin: Name and module of pieces that need no entry point; they win over installed ones of their name.
        hookspecs: Modules with further hooks (the server's), whose implementations are then checked too.
        distributions: Where to look, instead of everything installed.
        environment: Variables whose secrets no report may show; the process's own when not given.
    """
    clock = clock or SystemClock()
    began = clock.monotonic()
    core_version = installed_core()
    candidates = [built_in(name, module, core_version) for name, module in builtin]
    candidates += sorted(find(group, distributions), key=lambda candidate: (candidate.name, candidate.distribution))
    round_ = _Round(
        hookspecs=(core_hookspecs, *hookspecs),
        import_limit=import_limit,
        total_limit=total_limit,
        wording=Wording(os.environ if environment is None else environment),
        clock=clock,
        began=began,
    )
    tried = round_.try_all(choose(candidates, allow=allow, block=block, core_version=core_version))
    return round_.merge(tried, unmatched(candidates, allow=allow, block=block))


@attrs.frozen(kw_only=True)
class _Begun:
    choice: Choice
    progress: Progress
    attempt: Attempt[Examined]


@attrs.frozen(kw_only=True)
class _Round:
    """One call of ``assemble``, once it is known who may be imported."""

    hookspecs: tuple[ModuleType, ...]
    import_limit: float
    total_limit: float
    wording: Wording
    clock: Clock
    began: float

    def try_all(self, choices: Sequence[Choice]) -> list[_Tried]:
        """Examine the accepted ones in turn.

        One that takes more than a second goes on beside the next: a plugin that hangs costs its own limit,
        not the total of the others.
        """
        begun = [self._begin(choice) for choice in choices]
        return [self._end(one) if isinstance(one, _Begun) else (one, None) for one in begun]

    def _begin(self, choice: Choice) -> _Begun | PluginReport:
        if choice.state is not PluginState.LOADED:
            return _report(choice, state=choice.state, reason=choice.reason)
        left = self.began + self.total_limit - self.clock.monotonic()
        if left <= 0:
            reason = f"not tried: the total limit of {self.total_limit:g} s was used up by others"
            return _report(choice, state=PluginState.QUARANTINED, reason=reason)
        candidate, progress = choice.candidate, Progress()
        attempt = Attempt(
            lambda: examine(candidate, self.hookspecs, progress),
            name=f"palaver-plugin-{candidate.name}",
            clock=self.clock,
        )
        attempt.wait(min(SLOW, self.import_limit, left))
        return _Begun(choice=choice, progress=progress, attempt=attempt)

    def _end(self, begun: _Begun) -> _Tried:
        attempt, progress = begun.attempt, begun.progress
        deadline = min(attempt.began + self.import_limit, self.began + self.total_limit)
        outcome = attempt.wait(deadline - self.clock.monotonic())
        seconds = outcome.seconds if outcome else self.clock.monotonic() - attempt.began
        reason = traceback = ""
        examined: Examined | None = None
        match outcome:
            case Finished() if seconds > self.import_limit:
                # It came back while others were waited for; whether it loads must not depend on them.
                reason = f"took {seconds:.1f} s, the limit is {self.import_limit:g} s"
            case Finished(value=value):
                examined = value
            case Failed(error=Unusable() as error):
                reason = self.wording.line(error)
            case Failed(error=error):
                reason, traceback = self.wording.line(error, f"{progress.step}: "), self.wording.traceback(error)
            case None:
                reason = f"{progress.step}: still running after {seconds:.2g} s, abandoned"
                traceback = self.wording.stack(attempt.where())
        report = _report(
            begun.choice,
            state=PluginState.LOADED if examined else PluginState.QUARANTINED,
            seconds=seconds,
            slow=seconds > SLOW,
            reason=reason,
            traceback=traceback,
            hook_api=progress.hook_api,
            hooks=progress.hooks,
            notes=examined.notes if examined else (),
        )
        return report, examined

    def merge(self, tried: Sequence[_Tried], notes: tuple[str, ...]) -> Assembly:
        """Put the offers together by kind and name."""
        refused = contested([offer for _, examined in tried if examined for offer in examined.offers])
        specs: dict[str, dict[str, Any]] = defaultdict(dict)
        origins: dict[str, str] = {}
        reports: list[PluginReport] = []
        kept: dict[str, Examined] = {}
        for report, examined in tried:
            if examined is None:
                reports.append(report)
                continue
            good = [offer for offer in examined.offers if (offer.plugin, offer.title) not in refused]
            lost = tuple(why for (plugin, _), why in refused.items() if plugin == report.name)
            if lost and not good:
                reports.append(attrs.evolve(report, state=PluginState.DUPLICATE, reason="; ".join(lost)))
                continue
            titles = tuple(offer.title for offer in good)
            reports.append(attrs.evolve(report, provides=titles, notes=report.notes + lost))
            kept[report.name] = examined
            origins |= dict.fromkeys(titles, report.name)
            for offer in good:
                specs[offer.kind][offer.spec.name] = offer.spec
        return Assembly(
            plugins=tuple(reports),
            providers=specs["provider"],
            tool_sources=specs["tool_source"],
            storages=specs["storage"],
            middlewares=specs["middleware"],
            authenticators=specs["authenticator"],
            observers=specs["observer"],
            origins=origins,
            modules={name: examined.module for name, examined in kept.items()},
            managers={name: examined.manager for name, examined in kept.items()},
            notes=notes,
            seconds=self.clock.monotonic() - self.began,
            wording=self.wording,
            clock=self.clock,
        )


def _report(choice: Choice, *, state: PluginState, **found: Any) -> PluginReport:
    candidate = choice.candidate
    return PluginReport(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        module=candidate.module,
        state=state,
        **found,
    )
