"""Usage: a row per provider call, kept once. Programs only."""

from palaver.storage import Done, Owner, RecordUsage, UsageRow

from palaver_sql.program import Program
from palaver_sql.rows import USAGE_COLUMNS, marks, write_usage

__all__ = ["keep_usage", "record_usage"]

_INSERT = f"""
    INSERT INTO chat_usage ({USAGE_COLUMNS}, created_at) VALUES ({marks(USAGE_COLUMNS)}, palaver_now())
    ON CONFLICT (owner, call_id) DO NOTHING
"""


def keep_usage(owner: Owner, rows: tuple[UsageRow, ...], session_id: str | None) -> Program[None]:
    """Keep *rows*; those whose call id is known already are the same calls."""
    for row in rows:
        yield _INSERT, write_usage(owner, row, session_id)


def record_usage(op: RecordUsage) -> Program[Done]:
    """Keep usage of calls without a run."""
    yield from keep_usage(op.owner, op.rows, op.session_id)
    return Done()
