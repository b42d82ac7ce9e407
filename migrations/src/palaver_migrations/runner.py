"""Applies and takes back the steps of a schema, one process at a time, a step and its mark in one transaction.

yoyo parses the files and keeps the ledger; its own lock survives a killed process and its own loop commits a step
apart from its mark, so locking and looping are done here. Blocking: call it in a thread.
"""

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from palaver_migrations.errors import SchemaEdited, SchemaTooNew, StepFailed
from palaver_migrations.steps import Step, read_steps

__all__ = ["Runner", "Target"]


class Target(Protocol):
    """A database whose schema is migrated."""

    driver_error: type[Exception]

    def applied(self) -> Mapping[str, str | None]:
        """Read the ids of the applied steps, in order, each with its checksum if it is known."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes away."""
        ...

    def backend(self) -> AbstractContextManager[Any]:
        """Open yoyo's backend with its ledger ready."""
        ...


class Runner:
    """The steps in *folders*, and *target* whose schema they are."""

    def __init__(self, target: Target, folders: Sequence[Path]) -> None:
        self._target = target
        self._folders = tuple(folders)

    def status(self) -> tuple[tuple[str, bool], ...]:
        """List the steps in order, each with whether it is applied; steps of a newer version come last."""
        steps = read_steps(self._folders)
        applied = self._target.applied()
        unknown = self._unknown(steps, applied)
        return (*((step.id, step.id in applied) for step in steps), *((id, True) for id in unknown))

    def pending(self) -> tuple[Step, ...]:
        """List the steps that are not applied, without importing yoyo.

        Raises:
            SchemaTooNew: the database has steps this version does not know.
            SchemaEdited: an applied step reads differently now.
        """
        steps = read_steps(self._folders)
        applied = self._target.applied()
        self._check(steps, applied)
        return tuple(step for step in steps if step.id not in applied)

    def up(self) -> tuple[str, ...]:
        """Apply what is missing; tell what was applied.

        Raises:
            MigrationError: each kind of it. A step that fails leaves nothing behind; earlier ones stay applied.
        """
        if not self.pending():
            return ()
        with self._target.lock():
            # Another process may have done it while this one waited.
            pending = self.pending()
            if pending:
                with self._target.backend() as backend:
                    for step in pending:
                        self._run(backend, step, "apply")
            return tuple(step.id for step in pending)

    def down(self, steps: int = 1) -> tuple[str, ...]:
        """Roll back the newest *steps* that are applied; tell what was rolled back.

        Raises:
            MigrationError: each kind of it.
        """
        with self._target.lock():
            known = read_steps(self._folders)
            applied = self._target.applied()
            self._check(known, applied)
            newest = [step for step in reversed(known) if step.id in applied][: max(steps, 0)]
            if newest:
                with self._target.backend() as backend:
                    for step in newest:
                        self._run(backend, step, "rollback")
            return tuple(step.id for step in newest)

    def _unknown(self, steps: Sequence[Step], applied: Mapping[str, str | None]) -> list[str]:
        """List applied steps of our families that we do not have; other families are other plugins' matter."""
        known = {step.id for step in steps}
        families = {step.family for step in steps}
        return [id for id in applied if id not in known and Step(id, Path()).family in families]

    def _check(self, steps: Sequence[Step], applied: Mapping[str, str | None]) -> None:
        unknown = self._unknown(steps, applied)
        if unknown:
            raise SchemaTooNew(
                f"{self._target}: the database has steps this version does not know: {', '.join(unknown)}; "
                "upgrade palaver, or roll them back with the version that applied them"
            )
        edited = [step.id for step in steps if applied.get(step.id) not in (None, step.checksum())]
        if edited:
            raise SchemaEdited(
                f"{self._target}: steps were changed after they were applied: {', '.join(edited)}; "
                "restore their files and put the change into a new step"
            )

    def _run(self, backend: Any, step: Step, direction: str) -> None:
        from yoyo.migrations import get_migration_hash, read_sql_migration

        apply = direction == "apply"
        # The statements are run here rather than by yoyo's steps, which print what a SELECT returns.
        directives, _, statements = read_sql_migration(str(step.path if apply else step.rollback_path))
        # `-- transactional: false` is for statements that refuse a transaction: they have to bear repetition.
        whole = directives.get("transactional", "true").lower() == "true"
        if not whole:
            self._execute(backend, step, statements)
        try:
            with backend.transaction():
                if whole:
                    self._execute(backend, step, statements)
                _mark(backend, step, get_migration_hash(step.id), apply)
        except self._target.driver_error as error:
            raise StepFailed(f"{self._target}: {direction} of {step.id} failed: {error}") from error

    def _execute(self, backend: Any, step: Step, statements: Sequence[str]) -> None:
        for number, statement in enumerate(statements, start=1):
            cursor = backend.cursor()
            try:
                cursor.execute(statement)
            except self._target.driver_error as error:
                raise StepFailed(f"{self._target}: {step.id}: statement {number} failed: {error}") from error
            finally:
                cursor.close()


def _mark(backend: Any, step: Step, digest: str, apply: bool) -> None:
    log = {
        "id": str(uuid.uuid4()),
        "migration_id": step.id,
        "migration_hash": digest,
        "operation": "apply" if apply else "rollback",
        # yoyo asks the user database, where a container's random uid is not, and the DNS, which may be slow.
        "username": os.environ.get("LOGNAME") or f"uid {os.getuid()}",
        "hostname": socket.gethostname(),
        "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
    }
    backend.execute(backend.format_sql(backend.log_migration_sql), log)
    backend.execute("DELETE FROM _palaver_checksum WHERE id = :id", {"id": step.id})
    if apply:
        mark = {"migration_hash": digest, "migration_id": step.id, "when": log["created_at_utc"]}
        backend.execute(backend.format_sql(backend.mark_migration_sql), mark)
        checksum = {"id": step.id, "sha256": step.checksum()}
        backend.execute("INSERT INTO _palaver_checksum (id, sha256) VALUES (:id, :sha256)", checksum)
    else:
        backend.execute(backend.format_sql(backend.unmark_migration_sql), {"migration_hash": digest})
