"""Usage: a row per provider call, kept once. Programs only."""

from palaver.storage import Done, Owner, RecordUsage, UsageRow

from palaver_sql.program import Program
from palaver_sql.rows import USAGE_COLUMNS, marks, write_usage

__all__ = ["keep_usage", "record_usage"]

#: Rows of one statement: a thousand stateless calls a second must not be a thousand statements. As many as stay
#: below the 999 parameters that older SQLite takes.
_TOGETHER = 50
_INSERT = f"INSERT INTO chat_usage ({USAGE_COLUMNS}, created_at) VALUES "
_ROW = f"({marks(USAGE_COLUMNS)}, ?)"
_ONCE = " ON CONFLICT (owner, call_id) DO NOTHING"


def keep_usage(owner: Owner, rows: tuple[UsageRow, ...], session_id: str | None) -> Program[None]:
    """Keep *rows*; those whose call id is known already are the same calls."""
    if not rows:
        return
    ((now,),) = yield "SELECT palaver_now()", ()
    for start in range(0, len(rows), _TOGETHER):
        few = rows[start : start + _TOGETHER]
        values = [value for row in few for value in (*write_usage(owner, row, session_id), now)]
        yield _INSERT + ", ".join([_ROW] * len(few)) + _ONCE, tuple(values)


def record_usage(op: RecordUsage) -> Program[Done]:
    """Keep usage of calls without a run."""
    yield from keep_usage(op.owner, op.rows, op.session_id)
    return Done()
