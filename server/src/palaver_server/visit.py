"""What is known of one request while it is served, and the plain answers to it."""

from typing import Any

import orjson
from aiohttp import web
from multidict import istr
from palaver.domain import Principal
from palaver.errors import Unauthenticated

__all__ = ["Visit", "json_answer"]

CONTENT_TYPE = istr("Content-Type")
JSON = "application/json"


class Visit:
    """One request: its id, who asks, and the headers that every answer to it carries."""

    __slots__ = ("_principal", "gone", "headers", "request_id")

    def __init__(self, request_id: str, headers: dict[str, str]) -> None:
        self.request_id = request_id
        self.headers = headers
        #: Whether the client left before its answer was whole.
        self.gone = False
        self._principal: Principal | None = None

    @property
    def principal(self) -> Principal:
        """Who asks.

        Raises:
            Unauthenticated: nobody was identified (the route is open to anybody).
        """
        if self._principal is None:
            raise Unauthenticated("this route needs an identity")
        return self._principal

    @principal.setter
    def principal(self, principal: Principal) -> None:
        self._principal = principal


def json_answer(visit: Visit, data: Any, *, status: int = 200) -> web.Response:
    """Answer with *data* as JSON."""
    return raw_answer(visit, orjson.dumps(data), status=status)


def raw_answer(visit: Visit, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with *body*, which is JSON already."""
    merged = {CONTENT_TYPE: JSON, **visit.headers}
    if headers:
        merged.update(headers)
    return web.Response(body=body, status=status, headers=merged)
