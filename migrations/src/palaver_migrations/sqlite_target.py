"""A SQLite file whose schema is migrated: what is applied, the lock beside it, its yoyo backend.

May touch: the database file and ``<file>.migrate.lock``. Blocking.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from palaver_migrations.errors import LockTimeout, MigrationError

__all__ = ["SqliteTarget"]

#: Seconds between two looks at a lock that another process holds.
_POLL = 0.05

_APPLIED = """
    SELECT migration_id, sha256 FROM _yoyo_migration
    LEFT JOIN _palaver_checksum ON id = migration_id
    ORDER BY applied_at_utc, migration_id
"""


class SqliteTarget:
    """The database file *path*.

    Args:
        lock_timeout: Seconds to wait while another process migrates the same file.
    """

    driver_error: type[Exception] = sqlite3.Error
    #: Keeps what each applied step read like; yoyo's own ledger knows only names.
    create_checksums = (
        "CREATE TABLE IF NOT EXISTS _palaver_checksum (id TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL)"
    )

    def __init__(self, path: Path, *, lock_timeout: float = 120.0) -> None:
        self._path = path
        self._lock_timeout = lock_timeout

    def __str__(self) -> str:
        return str(self._path)

    def applied(self) -> Mapping[str, str | None]:
        """Read the ids of the applied steps, in order, each with its checksum if it is known."""
        if not self._path.exists():
            return {}
        try:
            with contextlib.closing(sqlite3.connect(self._path)) as connection:
                tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                if "_yoyo_migration" not in tables:
                    return {}
                if "_palaver_checksum" not in tables:
                    return {row[0]: None for row in connection.execute("SELECT migration_id FROM _yoyo_migration")}
                return dict(connection.execute(_APPLIED).fetchall())
        except sqlite3.Error as error:
            raise MigrationError(f"{self}: the schema cannot be read: {error}") from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock beside the file; it dies with the process, so it can never be left behind.

        Raises:
            LockTimeout: another process held it for all of *lock_timeout*.
        """
        import fcntl

        # Beside the file and not in a temporary folder: processes may have different ones.
        path = self._path.with_name(self._path.name + ".migrate.lock")
        deadline = time.monotonic() + self._lock_timeout
        with path.open("a") as file:
            path.chmod(0o600)
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LockTimeout(
                            f"{self}: another process has been migrating for {self._lock_timeout:g} s: "
                            f"find who holds {path.name}"
                        ) from None
                    time.sleep(_POLL)
            yield

    @contextlib.contextmanager
    def backend(self) -> Iterator[Any]:
        """Open yoyo's backend with its ledger ready; call it under the lock."""
        from yoyo.backends import get_backend_class
        from yoyo.connections import DatabaseURI
        from yoyo.migrations import default_migration_table

        # yoyo puts the path into a `file:` address, where `%`, `?` and `#` would have a meaning.
        uri = DatabaseURI("sqlite", None, None, None, None, quote(str(self._path)), {})
        backend = get_backend_class("sqlite")(uri, default_migration_table)
        try:
            # Entering registers yoyo's own adapters; the standard library's are deprecated since Python 3.12.
            with backend:
                # A handful of small transactions: a power cut may undo the last of them, which the next start repeats.
                backend.execute("PRAGMA journal_mode = WAL")
                backend.execute("PRAGMA synchronous = NORMAL")
                backend.create_lock_table()
                # The row of a killed process: the lock that counts is ours.
                backend.break_lock()
                backend.ensure_internal_schema_updated()
                backend.execute(self.create_checksums)
                yield backend
        finally:
            backend.connection.close()
