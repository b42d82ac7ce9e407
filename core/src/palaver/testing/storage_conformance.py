"""Storage conformance: inherit the class, say how the storage opens, and pytest runs every rule.

::

    class TestAcmeStorage(StorageConformance):
        durable = True

        @asynccontextmanager
        async def open_storage(self, folder):
            async with open_acme(AcmeConfig(path=folder / "acme"), fake_context()) as storage:
                yield storage
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from palaver import Storage
from palaver.storage import Owner
from palaver.testing import storage_rules_messages as messages
from palaver.testing import storage_rules_owners as owners
from palaver.testing import storage_rules_runs as runs
from palaver.testing import storage_rules_sessions as sessions
from palaver.testing import storage_rules_tools as tools
from palaver.testing.storage_case import NotApplicable, StorageCase, StorageSuite

__all__ = ["STORAGE_RULES", "StorageConformance", "StorageRule", "run_storage_rule"]

#: A rule returns when it is kept and raises ``AssertionError`` when it is broken.
StorageRule = Callable[[StorageCase], Awaitable[None]]

#: Every rule by its name, which is also what ``skips`` names.
STORAGE_RULES: Mapping[str, StorageRule] = {
    "create": sessions.check_create,
    "rename": sessions.check_rename,
    "rename_default": sessions.check_rename_default,
    "list": sessions.check_list,
    "clear": sessions.check_clear,
    "clear_while_busy": sessions.check_clear_while_busy,
    "delete": sessions.check_delete,
    "delete_while_running": sessions.check_delete_while_running,
    "order": messages.check_order,
    "pages": messages.check_pages,
    "history": messages.check_history,
    "branches": messages.check_branches,
    "content": messages.check_content,
    "unstorable_text": messages.check_unstorable_text,
    "big_message": messages.check_big_message,
    "begin": runs.check_begin,
    "begin_again": runs.check_begin_again,
    "busy": runs.check_busy,
    "idempotency": runs.check_idempotency,
    "events": runs.check_events,
    "finish": runs.check_finish,
    "finish_again": runs.check_finish_again,
    "lease": runs.check_lease,
    "overtaken": runs.check_overtaken,
    "usage": runs.check_usage,
    "failure_is_alone": runs.check_failure_is_alone,
    "given_up": runs.check_given_up,
    "check": runs.check_check,
    "reopening": runs.check_reopening,
    "approval": tools.check_approval,
    "approval_once": tools.check_approval_once,
    "approval_expires": tools.check_approval_expires,
    "approval_survives": tools.check_approval_survives,
    "claim": tools.check_claim,
    "claim_of_ended_run": tools.check_claim_of_ended_run,
    "foreign_reads": owners.check_foreign_reads,
    "foreign_writes": owners.check_foreign_writes,
    "same_ids": owners.check_same_ids,
}
#: Seconds a rule may take in all: a storage that hangs fails.
_RULE_LIMIT = 60.0


class StorageConformance:
    """The rules every storage keeps. Inherit, name the class ``Test...``, fill in what is below."""

    #: Whether what was acknowledged outlives closing.
    durable: ClassVar[bool] = True
    #: Rules that cannot be kept, each with the reason.
    skips: ClassVar[Mapping[str, str]] = {}

    def open_storage(self, folder: Path) -> AbstractAsyncContextManager[Storage]:
        """Open the storage under test; a durable one keeps its data in *folder*, where it finds them again."""
        raise NotImplementedError(f"{type(self).__name__}.open_storage(folder): return an async context manager")

    async def usage_rows(self, storage: Any, owner: Owner) -> Sequence[str] | None:
        """List the call ids of the usage kept for *owner*; ``None`` when the test cannot look."""
        return None

    @pytest.mark.parametrize("rule", STORAGE_RULES)
    def test_conforms(self, rule: str, tmp_path: Path) -> None:
        """Keep the rule, or say in ``skips`` why not."""
        # No event loop of the test's own: authors need no async plugin, and every rule begins with a clean one.
        run_storage_rule(rule, self, tmp_path, self.skips)


def run_storage_rule(rule: str, suite: StorageSuite, folder: Path, skips: Mapping[str, str] | None = None) -> None:
    """Run one rule on *suite* in an event loop of its own, on data in *folder*.

    Raises:
        AssertionError: the rule is broken, or a reason for skipping is missing.
        pytest.skip.Exception: *skips* says why, or the rule does not apply.
    """
    skips = skips or {}
    unknown = sorted(set(skips) - set(STORAGE_RULES))
    assert not unknown, f"skips: unknown rule {unknown[0]!r}; known: {', '.join(STORAGE_RULES)}"
    if rule in skips:
        reason = skips[rule].strip()
        assert reason, f"skips[{rule!r}]: write down the reason"
        pytest.skip(reason)

    async def limited() -> None:
        async with asyncio.timeout(_RULE_LIMIT), StorageCase(suite, folder) as case:
            await STORAGE_RULES[rule](case)

    try:
        asyncio.run(limited())
    except NotApplicable as reason:
        pytest.skip(str(reason))
