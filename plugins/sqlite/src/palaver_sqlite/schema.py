"""The schema steps of a SQLite file, with errors of our own tree. Blocking; touches the database file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import palaver_migrations
from palaver import StorageError, StorageUnavailable

__all__ = ["SqliteSchema"]

T = TypeVar("T")


class SqliteSchema:
    """A ``palaver.Migrations`` over the file *path*."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runner = palaver_migrations.Runner(
            palaver_migrations.SqliteTarget(path), [palaver_migrations.shipped("sqlite")]
        )

    def status(self) -> tuple[tuple[str, bool], ...]:
        """List the steps in order, each with whether it is applied."""
        return _translated(self._runner.status)

    def up(self) -> tuple[str, ...]:
        """Apply what is missing, making the file if need be; tell what was applied."""
        from palaver_sqlite.opening import make_file

        make_file(self._path)
        return _translated(self._runner.up)

    def down(self, steps: int = 1) -> tuple[str, ...]:
        """Roll back the newest *steps*; tell what was rolled back."""
        return _translated(lambda: self._runner.down(steps)) if self._path.exists() else ()


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except palaver_migrations.LockTimeout as error:
        raise StorageUnavailable(str(error)) from error
    except palaver_migrations.MigrationError as error:
        raise StorageError(str(error)) from error
