"""Who is asking."""

import attrs

from palaver.ids import Owner

__all__ = ["Principal"]


@attrs.frozen
class Principal:
    """An authenticated caller: whose data it may touch, and how it proved itself."""

    owner: Owner
    #: ``header``, ``key``, ``dev`` or a plugin's own word.
    via: str = "header"
    scopes: frozenset[str] = frozenset()
