"""Finds the SQL files that are the steps of a schema. Pure, but for reading those files."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from palaver_migrations.errors import DuplicateStep, MigrationError

__all__ = ["Step", "read_steps", "shipped"]

# `palaver-0001-conversations`: whose step it is, its place, what it is about. yoyo knows a step by its file name
# alone, so without the first part two plugins' `0001-init.sql` would be one step, applied once.
_ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z][a-z0-9]*)*-\d{4}-[a-z0-9-]+")
_ROLLBACK = ".rollback.sql"


class Step(NamedTuple):
    """One step: a file of statements, and beside it the file that takes them back."""

    id: str
    path: Path

    @property
    def rollback_path(self) -> Path:
        """Where its way back is written."""
        return self.path.with_name(self.id + _ROLLBACK)

    @property
    def family(self) -> str:
        """Whose step it is: the id up to its number."""
        return re.split(r"-\d{4}-", self.id)[0]

    def checksum(self) -> str:
        """Hash what the step does; comments and blank lines may change."""
        lines = (line.strip() for line in self.path.read_text(encoding="utf-8").splitlines())
        kept = "\n".join(line for line in lines if line and not line.startswith("--"))
        return hashlib.sha256(kept.encode()).hexdigest()


def shipped(dialect: str) -> Path:
    """Tell the folder with Palaver's own steps for *dialect* (``sqlite``)."""
    return Path(__file__).parent / dialect


def read_steps(folders: Sequence[Path]) -> tuple[Step, ...]:
    """Read the steps of *folders*, folder by folder, each in the order of its ids.

    Raises:
        DuplicateStep: two folders have a step of one id.
        MigrationError: a folder without steps, an id without a family and number, a step without a way back.
    """
    steps: dict[str, Step] = {}
    for folder in folders:
        paths = sorted(path for path in folder.glob("*.sql") if not path.name.endswith(_ROLLBACK))
        if not paths:
            raise MigrationError(f"{folder} holds no steps: is the installation complete?")
        for path in paths:
            step = Step(path.stem, path)
            if not _ID.fullmatch(step.id):
                raise MigrationError(f"step {path.name!r}: expected a name like myplugin-0001-what-it-does.sql")
            if step.id in steps:
                raise DuplicateStep(f"step {step.id!r} is in {steps[step.id].path.parent} and in {folder}: rename one")
            if not step.rollback_path.exists():
                raise MigrationError(f"step {step.id!r} has no {step.rollback_path.name}: write its way back")
            steps[step.id] = step
    return tuple(steps.values())
