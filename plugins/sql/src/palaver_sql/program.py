"""Programs: SQL work written once, without a driver.

A program is a generator: it yields ``(sql, parameters)`` and is sent the rows. A blocking driver runs it with
``run()``, one that awaits does the same with awaits. Pure; nothing here imports a database.

The SQL is what SQLite and PostgreSQL share (``?`` for a parameter, ``ON CONFLICT``, ``RETURNING``), and three
functions that each database must offer, because its clock is the one that counts:

- ``palaver_now()`` gives the time, ``palaver_after(seconds)`` the time so many seconds from now;
- ``palaver_later(a, b)`` gives the later of two times.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

from palaver_sql.text import clean

__all__ = ["Execute", "Parameters", "Program", "Row", "Rows", "cleaned", "run"]

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]
Rows: TypeAlias = Sequence[Row]
Parameters: TypeAlias = tuple[Any, ...]
Program: TypeAlias = Generator[tuple[str, Parameters], Rows, T]
#: Runs one statement and gives all its rows.
Execute: TypeAlias = Callable[[str, Parameters], Rows]


def cleaned(parameters: Parameters) -> Parameters:
    """Make *parameters* storable: the one place where text enters a database. See ``palaver_sql.text``."""
    return tuple([clean(item) if item.__class__ is str else item for item in parameters])


def run(execute: Execute, program: Program[T]) -> T:
    """Run *program* to its end and give what it returns. Errors of *execute* are the caller's."""
    try:
        sql, parameters = next(program)
        while True:
            sql, parameters = program.send(execute(sql, cleaned(parameters)))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        program.close()
