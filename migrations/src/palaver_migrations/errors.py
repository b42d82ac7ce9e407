"""What can go wrong with a schema; each message names the step, the database and the way out."""

__all__ = [
    "DuplicateStep",
    "LockTimeout",
    "MigrationError",
    "SchemaEdited",
    "SchemaTooNew",
    "StepFailed",
]


class MigrationError(Exception):
    """Root of the errors of this package."""


class DuplicateStep(MigrationError):
    """Two steps have one id: yoyo would skip the second without a word."""


class SchemaTooNew(MigrationError):
    """The database was brought further by a newer version than this one."""


class SchemaEdited(MigrationError):
    """A step that was applied reads differently now."""


class StepFailed(MigrationError):
    """A statement failed; the whole step was rolled back."""


class LockTimeout(MigrationError):
    """Another process has been migrating for too long."""
