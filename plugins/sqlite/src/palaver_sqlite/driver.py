"""Threads and connections: one writes, a few read. A transaction is one function on one thread.

So a cancelled caller leaves either nothing or the whole, never an open transaction. Waiting for a lock of another
process happens in a thread, not in the event loop. May touch: the database file.
"""

import asyncio
import functools
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, TypeVar

from palaver import Clock, StorageError, StorageFull, StorageUnavailable
from palaver_sql import Execute, Program, run

from palaver_sqlite.config import SqliteConfig

__all__ = ["SqliteDriver", "translate"]

T = TypeVar("T")

#: The first with ``RETURNING``.
_OLDEST = (3, 35)
_PROBE = """
    INSERT INTO palaver_probe (id, checked_at) VALUES (1, palaver_now())
    ON CONFLICT (id) DO UPDATE SET checked_at = excluded.checked_at
"""
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
}


def translate(error: sqlite3.Error, path: Path) -> StorageError:
    """Make an error of our tree; the type follows SQLite's result code."""
    # The low byte is the primary result code, the rest says more of the same.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    message = f"{path.name}: {error}"
    if code in _FULL:
        # A full disk shows as an I/O error when it is the write-ahead log that cannot grow.
        return StorageFull(f"{message}; is there space left?")
    if code in _AWAY:
        return StorageUnavailable(message, retry_after=1)
    return StorageError(message)


class SqliteDriver:
    """A ``palaver_sql.Driver`` over the file *path*.

    The database of an embedded storage has no clock of its own: *clock* of this process stands for it, read in the
    thread and at the moment a statement asks for the time. SQLite's own gives milliseconds only.
    """

    def __init__(self, path: Path, config: SqliteConfig, clock: Clock) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StorageError(
                f"SQLite {sqlite3.sqlite_version} is too old: at least {'.'.join(map(str, _OLDEST))} is needed; "
                "use a newer Python"
            )
        self._path = path
        self._config = config
        self._clock = clock
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._closed = False
        self._writer = self._connect()
        self._write_thread = ThreadPoolExecutor(1, "palaver-sqlite-write")
        self._read_threads = ThreadPoolExecutor(config.readers, "palaver-sqlite-read")

    async def commit(self, programs: Sequence[Program[Any]]) -> Sequence[Any]:
        """Run *programs* in one transaction on the writing thread."""
        return await self._call(self._write_thread, functools.partial(self._commit, programs))

    async def read(self, program: Program[T]) -> T:
        """Run *program* on a reading thread, on one snapshot."""
        return await self._call(self._read_threads, functools.partial(self._read, program))

    async def check(self, *, write: bool) -> None:
        """Ask for one row; with *write* write one."""
        if write:
            await self._call(self._write_thread, functools.partial(self._commit, [_probe()]))
        else:
            await self._call(self._read_threads, functools.partial(self._read, _look()))

    def close(self) -> None:
        """Wait for the threads and close every connection. Blocking; again does nothing."""
        self._closed = True
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        while self._open:
            self._open.pop().close()

    async def _call(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise StorageUnavailable(f"{self._path.name}: the storage is closed")
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    def _commit(self, programs: Sequence[Program[Any]]) -> list[Any]:
        connection = self._writer
        execute = _executor(connection)
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                results = [run(execute, program) for program in programs]
                connection.execute("COMMIT")
            except BaseException:
                # SQLite itself rolls back when the disk is full.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        return results

    def _read(self, program: Program[T]) -> T:
        try:
            connection = getattr(self._own, "connection", None)
            if connection is None:
                connection = self._own.connection = self._connect(read_only=True)
            connection.execute("BEGIN")
            try:
                return run(_executor(connection), program)
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translate(error, self._path) from error

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=self._config.busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            # Readers see the last commit while the writer writes.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._config.synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -16000")
            connection.execute(f"PRAGMA query_only = {int(read_only)}")
            connection.create_function("palaver_now", 0, self._now)
            connection.create_function("palaver_after", 1, self._after)
            connection.create_function("palaver_later", 2, max, deterministic=True)
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, self._path) from error
        self._open.append(connection)
        return connection

    def _now(self) -> str:
        return self._after(0)

    def _after(self, seconds: float) -> str:
        moment = self._clock.now().astimezone(UTC) + timedelta(seconds=seconds)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _executor(connection: sqlite3.Connection) -> Execute:
    return lambda sql, parameters: connection.execute(sql, parameters).fetchall()


def _look() -> Program[None]:
    yield "SELECT 1", ()


def _probe() -> Program[None]:
    yield _PROBE, ()
