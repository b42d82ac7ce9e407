"""The embedded storage of Palaver: one SQLite file. Only the hook; see ``opening`` for what it opens."""

from collections.abc import Iterable
from typing import Any

from palaver import StorageSpec, hookimpl

from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.opening import migrations, open_storage

PALAVER_HOOK_API = 1


@hookimpl
def palaver_storages() -> Iterable[StorageSpec[Any]]:
    """Offer SQLite for ``sqlite:`` addresses."""
    yield StorageSpec("sqlite", schemes=("sqlite",), config=SqliteConfig, open=open_storage, migrations=migrations)
