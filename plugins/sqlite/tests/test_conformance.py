"""SQLite keeps every rule of a storage."""

import sqlite3
from contextlib import asynccontextmanager, closing

from palaver import SystemClock
from palaver.testing import StorageConformance, fake_context
from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.opening import open_storage


class TestSqlite(StorageConformance):
    @asynccontextmanager
    async def open_storage(self, folder):
        self.path = folder / "palaver.db"
        config = SqliteConfig(url=f"sqlite:///{self.path}")
        async with open_storage(config, fake_context(clock=SystemClock())) as storage:
            yield storage

    async def usage_rows(self, storage, owner):
        with closing(sqlite3.connect(self.path)) as connection:
            return [row[0] for row in connection.execute("SELECT call_id FROM chat_usage WHERE owner = ?", (owner,))]
