"""Query strings: typed, bounded, each value once. Paging outside its range takes the default, nonsense is refused."""

import re

import attrs
from aiohttp import web
from palaver.errors import InvalidRequest

__all__ = ["Paging", "flag", "one", "paging"]

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")
#: No list is that long; a database need not be asked.
_MAX_OFFSET = 10**12


@attrs.frozen
class Paging:
    """A page: its number from 1, its size, and how many items are before it."""

    number: int
    limit: int
    offset: int


def one(request: web.Request, name: str) -> str | None:
    """Give the value of *name*, ``None`` when absent.

    Raises:
        InvalidRequest: it came more than once.
    """
    values = request.query.getall(name, ())
    if len(values) > 1:
        raise InvalidRequest(f"query: {name} came more than once", param=name)
    return values[0] if values else None


def flag(request: web.Request, name: str) -> bool:
    """Give a yes or no; absent is no."""
    value = (one(request, name) or "").lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise InvalidRequest(f"query: {name}: expected true or false, got {value[:40]!r}", param=name)


def paging(request: web.Request, *, default: int) -> Paging:
    """Read ``page``, ``limit`` and ``offset``; an offset that is given wins over the page."""
    limit = _number(request, "limit", default, 1, 100)
    page = _number(request, "page", 1, 1, _MAX_OFFSET // 100)
    offset = _number(request, "offset", -1, 0, _MAX_OFFSET)
    if offset < 0:
        offset = (page - 1) * limit
    else:
        page = offset // limit + 1
    return Paging(page, limit, offset)


def _number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    text = one(request, name)
    if text is None or text == "":
        return default
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest(f"query: {name}: expected a whole number, got {text[:40]!r}", param=name)
    value = int(text)
    return value if low <= value <= high else default
