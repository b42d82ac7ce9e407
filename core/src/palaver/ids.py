"""Ids: made by us, before anything is written, so that every write can be repeated safely.

An id is opaque to clients. Its prefix only helps a person who reads a log.
"""

import os
import uuid
from typing import NewType, Protocol

__all__ = [
    "ApprovalId",
    "IdSource",
    "MessageId",
    "Owner",
    "RunId",
    "SessionId",
    "random_id",
]

#: Whose data it is: a user id from the trusted header, or the owner of a key. One namespace.
Owner = NewType("Owner", str)
SessionId = NewType("SessionId", str)
MessageId = NewType("MessageId", str)
RunId = NewType("RunId", str)
ApprovalId = NewType("ApprovalId", str)


class IdSource(Protocol):
    """Makes a new id; ``prefix`` is put in front with an underscore, unless empty."""

    def __call__(self, prefix: str = "") -> str: ...


def random_id(prefix: str = "") -> str:
    """Make an unguessable id: a random UUID (version 4), after *prefix* and an underscore if given."""
    unique = str(uuid.uuid4())
    return f"{prefix}_{unique}" if prefix else unique


class RandomIds:
    """An ``IdSource`` like ``random_id`` for those who need many: it asks the system for entropy in blocks."""

    def __init__(self) -> None:
        self._entropy = b""
        self._at = 0

    def __call__(self, prefix: str = "") -> str:
        at = self._at
        if at >= len(self._entropy):
            self._entropy, at = os.urandom(4096), 0
        self._at = at + 16
        block = self._entropy[at : at + 16]
        digits = block.hex()
        # The form of RFC 9562, section 5.4: version 4, variant 10.
        unique = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[block[8] & 3]}{digits[17:20]}-{digits[20:]}"
        return f"{prefix}_{unique}" if prefix else unique
