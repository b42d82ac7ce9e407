"""The storage in memory keeps every rule, and the rules have teeth: storages that break one are caught by it."""

from contextlib import asynccontextmanager

from palaver.testing import MemoryStorage, StorageConformance


class TestMemoryStorage(StorageConformance):
    durable = False

    @asynccontextmanager
    async def open_storage(self, folder):
        yield MemoryStorage()

    async def usage_rows(self, storage, owner):
        return [row.call_id for row in storage.usage_rows(owner)]
