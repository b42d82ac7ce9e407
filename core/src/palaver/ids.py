"""Ids: made by us, before anything is written, so that every write can be repeated safely.

An id is opaque to clients. Its prefix only helps a person who reads a log.
"""

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
