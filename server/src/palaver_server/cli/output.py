"""What the commands print: errors on stderr in one form, columns on stdout, nothing that steers a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

import click

__all__ = ["columns", "fail", "note", "printable"]


def fail(message: str, status: int = 1) -> NoReturn:
    """Print what is wrong, a line each, and end with *status*."""
    for line in message.splitlines() or [""]:
        note(f"error: {line}")
    sys.exit(status)


def note(message: str) -> None:
    """Print a line about the program itself to stderr."""
    click.echo(f"palaver: {printable(message)}", err=True)


def columns(rows: Iterable[Sequence[str]], *, indent: str = "") -> str:
    """Align *rows* in columns, two spaces apart; the last column is as long as it is."""
    table = [[printable(cell) for cell in row] for row in rows]
    if not table:
        return ""
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]) - 1)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in table
    )
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def printable(text: str) -> str:
    """Replace what a terminal would obey, escape sequences above all; line ends and tabs stay."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in text)
