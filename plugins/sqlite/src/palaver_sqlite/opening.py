"""Opens the storage: the file with its folder, missing migrations, connections. What is heavy is imported here.

May touch: the database file, its folder, and the files SQLite and the migrations keep beside it.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from palaver import ConfigError, Migrations, PluginContext, Storage

from palaver_sqlite.config import SqliteConfig

__all__ = ["migrations", "open_storage"]


@asynccontextmanager
async def open_storage(config: SqliteConfig, context: PluginContext) -> AsyncIterator[Storage]:
    """Open the file of *config*, made and migrated as needed.

    Raises:
        ConfigError: the address means no file that can be made.
        StorageError: the file is no database, or of a newer version.
    """
    import palaver_sql
    from palaver.codec import Codec

    from palaver_sqlite.driver import SqliteDriver

    path = config.path

    def prepare() -> SqliteDriver:
        make_file(path)
        driver = SqliteDriver(path, config, context.clock)
        try:
            migrations(config).up()
        except BaseException:
            driver.close()
            raise
        return driver

    driver = await asyncio.to_thread(prepare)
    try:
        async with palaver_sql.open_storage(driver, Codec(), queue_units=config.queue) as storage:
            yield storage
    finally:
        await asyncio.to_thread(driver.close)


def migrations(config: SqliteConfig) -> Migrations:
    """Give the schema steps of the configured file; errors come as ``StorageError``."""
    from palaver_sqlite.schema import SqliteSchema

    return SqliteSchema(config.path)


def make_file(path: Path) -> None:
    """Make the file and its folder, for our own user only, unless they are there: conversations are private.

    Raises:
        ConfigError: the operating system does not let us.
    """
    try:
        missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
        # A file that is there is not touched: to close it would drop the locks that SQLite, in this very process,
        # holds on it. SQLite gives the files beside it the same permissions.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if not os.access(path, os.R_OK | os.W_OK) or path.is_dir():
            raise PermissionError(errno.EACCES, "no file that can be read and written")
    except OSError as error:
        raise ConfigError(
            f"storage.url: cannot open {path}: {error.strerror}; name a file that this user may write"
        ) from error
