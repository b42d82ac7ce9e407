"""What protects people's browsers: the hosts we answer to, the origins that may call, requests of foreign pages.

Pure over headers; may touch: nothing.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs
from multidict import istr
from palaver.config.checks import is_loopback
from palaver.config.schema import ServerConfig
from palaver.errors import Forbidden

from palaver_server.failures import Misdirected

__all__ = ["Cors", "Hosts", "refuse_cross_site"]

FETCH_SITE = istr("Sec-Fetch-Site")
_METHODS = "GET, POST, PUT, DELETE, OPTIONS"
_HEADERS = "Origin, Content-Type, Accept, Authorization, X-Requested-With, X-Request-ID, Idempotency-Key, Last-Event-ID"
_EXPOSED = "X-Request-ID, Retry-After"


class Cors:
    """An exact list of origins; what is not on it gets no header at all, and nothing is reflected."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins) - {"*", "null"}
        #: The operator wants every page to call; then none of them may use the browser's own credentials.
        self._anyone = "*" in origins
        self.enabled = bool(self._origins) or self._anyone

    def headers(self, origin: str | None) -> dict[str, str]:
        """Give the headers of an answer to *origin*; none that allow, unless it is allowed."""
        if origin is not None and origin in self._origins:
            return {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Expose-Headers": _EXPOSED,
                "Vary": "Origin",
            }
        # The answer differs by origin, so a cache in between must not mix them up.
        headers = {"Vary": "Origin"} if self._origins else {}
        if self._anyone and origin is not None and origin != "null":
            headers.update({"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _EXPOSED})
        return headers

    def allows(self, origin: str | None) -> bool:
        """Tell whether *origin* is on the list; ``null`` is nobody's."""
        return origin is not None and origin != "null" and (self._anyone or origin in self._origins)

    def preflight(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Answer a browser that asks before it sends.

        Raises:
            Forbidden: the origin is not on the list.
        """
        origin = headers.get(hdrs.ORIGIN)
        if not self.allows(origin):
            raise Forbidden("this origin is not on the list: add it to server.cors_origins")
        return {
            **self.headers(origin),
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _HEADERS,
            "Access-Control-Max-Age": "600",
        }


class Hosts:
    """On a loopback bind, only names of this machine: a page that rebinds its own name to 127.0.0.1 stays out."""

    def __init__(self, config: ServerConfig) -> None:
        self.checked = is_loopback(config.host)
        self._allowed = {"localhost", config.host.lower().strip("[]"), *(host.lower() for host in config.allowed_hosts)}

    def check(self, host: str | None) -> None:
        """Refuse a ``Host`` that is not ours.

        Raises:
            Misdirected: it is another's.
        """
        if not self.checked or host is None:
            return
        name = _without_port(host).lower()
        if name in self._allowed or is_loopback(name):
            return
        raise Misdirected(f"host {name[:80]!r} is not served here: use localhost, or add it to server.allowed_hosts")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def refuse_cross_site(headers: Mapping[str, Any], cors: Cors) -> None:
    """Refuse what a browser says another site's page has sent, unless that origin is allowed.

    Raises:
        Forbidden: it is such a request.
    """
    if headers.get(FETCH_SITE) == "cross-site" and not cors.allows(headers.get(hdrs.ORIGIN)):
        raise Forbidden("a page of another site may not do this: add its origin to server.cors_origins")
