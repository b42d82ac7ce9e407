"""Who is asking: the contract of authenticators."""

from collections.abc import Sequence
from typing import Protocol

import attrs

from palaver.domain import Principal

__all__ = ["Authenticator", "Credentials"]


@attrs.frozen
class Credentials:
    """What a request brings: its headers in order (names lower case, doubled ones kept), peer and path."""

    headers: Sequence[tuple[str, str]]
    #: Peer address, ``None`` for a unix socket.
    peer: str | None
    path: str
    method: str = "GET"

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of header *name* (lower case)."""
        return tuple(value for key, value in self.headers if key == name)


class Authenticator(Protocol):
    """Recognises callers."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Name the caller; ``None`` when these credentials are not this authenticator's business.

        Raises:
            Unauthenticated: they are, and they are wrong.
        """
        ...
