"""Who may be imported: by the operator's two lists, by name, and by the core each was built for. Pure."""

from collections import defaultdict
from collections.abc import Sequence

import attrs

from palaver.assembly.core_range import unfit
from palaver.assembly.discovery import Candidate
from palaver.assembly.report import PluginState

__all__ = ["Choice", "choose", "unmatched"]


@attrs.frozen
class Choice:
    """A candidate, and its state before anything of it is imported: ``LOADED`` means that it may be."""

    candidate: Candidate
    state: PluginState = PluginState.LOADED
    reason: str = ""


def choose(
    candidates: Sequence[Candidate],
    *,
    allow: Sequence[str] = (),
    block: Sequence[str] = (),
    core_version: str = "",
) -> list[Choice]:
    """Decide on each candidate; the order stays.

    *block* wins over *allow*; built-in pieces need no *allow*. Of several that claim a name, the built-in one may
    load, else the only one whose distribution *allow* names, else none.
    """
    blocked = [_blocked(candidate, allow, block) for candidate in candidates]
    claimants: dict[str, list[Candidate]] = defaultdict(list)
    for candidate, reason in zip(candidates, blocked, strict=True):
        if not reason and not candidate.unreadable:
            claimants[candidate.name].append(candidate)
    choices = []
    for candidate, reason in zip(candidates, blocked, strict=True):
        if reason:
            choice = Choice(candidate, PluginState.BLOCKED, reason)
        elif candidate.unreadable:
            choice = Choice(candidate, PluginState.QUARANTINED, candidate.unreadable)
        elif reason := _duplicate(candidate, claimants[candidate.name], allow):
            choice = Choice(candidate, PluginState.DUPLICATE, reason)
        elif reason := unfit(candidate.requires, core_version):
            choice = Choice(candidate, PluginState.QUARANTINED, reason)
        else:
            choice = Choice(candidate)
        choices.append(choice)
    return choices


def unmatched(candidates: Sequence[Candidate], *, allow: Sequence[str], block: Sequence[str]) -> tuple[str, ...]:
    """Tell which entries of the two lists match nothing installed: a misspelt block blocks nobody."""
    return tuple(
        f"plugins.{setting}: {wanted!r} matches no installed plugin"
        for setting, entries in (("allow", allow), ("block", block))
        for wanted in entries
        if not any(candidate.matches(wanted) for candidate in candidates)
    )


def _blocked(candidate: Candidate, allow: Sequence[str], block: Sequence[str]) -> str:
    for wanted in block:
        if candidate.matches(wanted):
            return f"plugins.block names {wanted!r}"
    if allow and not candidate.builtin and not any(candidate.matches(wanted) for wanted in allow):
        return "plugins.allow does not name it"
    return ""


def _duplicate(candidate: Candidate, claimants: Sequence[Candidate], allow: Sequence[str]) -> str:
    if len(claimants) == 1:
        return ""
    entitled = [claimant for claimant in claimants if claimant.builtin] or [
        claimant for claimant in claimants if any(claimant.is_of(wanted) for wanted in allow)
    ]
    if len(entitled) == 1:
        owner = entitled[0]
        return "" if owner is candidate else f"the name {candidate.name!r} is that of {_origin(owner)}"
    origins = " and ".join(sorted(_origin(claimant) for claimant in claimants))
    return f"{origins} both claim the name {candidate.name!r}: name one distribution in plugins.allow, or block one"


def _origin(candidate: Candidate) -> str:
    return f"{candidate.distribution} {candidate.version}"
