"""The database schema of Palaver as yoyo steps, and the runner that applies them safely.

Knows nothing of Palaver's core. ``yoyo`` is imported only when there is something to apply or to roll back.
"""

from palaver_migrations.errors import (
    DuplicateStep,
    LockTimeout,
    MigrationError,
    SchemaEdited,
    SchemaTooNew,
    StepFailed,
)
from palaver_migrations.runner import Runner
from palaver_migrations.sqlite_target import SqliteTarget
from palaver_migrations.steps import Step, read_steps, shipped

__all__ = [
    "DuplicateStep",
    "LockTimeout",
    "MigrationError",
    "Runner",
    "SchemaEdited",
    "SchemaTooNew",
    "SqliteTarget",
    "Step",
    "StepFailed",
    "read_steps",
    "shipped",
]
