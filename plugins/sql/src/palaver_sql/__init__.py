"""What the SQL storages of Palaver share: statements, rows and the write queue; no driver.

A driver gives a ``Driver``, and ``open_storage`` makes a ``palaver.Storage`` of it.
"""

from palaver_sql.program import Execute, Parameters, Program, Row, Rows, cleaned, run
from palaver_sql.storage import Driver, SqlStorage, open_storage
from palaver_sql.writer import GroupWriter

__all__ = [
    "Driver",
    "Execute",
    "GroupWriter",
    "Parameters",
    "Program",
    "Row",
    "Rows",
    "SqlStorage",
    "cleaned",
    "open_storage",
    "run",
]
