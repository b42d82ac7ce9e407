"""Callers' keys as the operator writes them: ``owner=key``, or a bare key. Pure parsing.

Hashing for storage and comparing in constant time are the server's matter.
"""

import hashlib
import re

import attrs

from palaver.errors import ConfigError
from palaver.settings import Secret

__all__ = ["KEY_LENGTH", "OWNER", "CallerKey", "bare_owner", "parse_key"]

#: Characters a key has at least.
KEY_LENGTH = 16
#: What an owner may look like, wherever it comes from.
OWNER = re.compile(r"[A-Za-z0-9_.@:-]{1,255}")


@attrs.frozen
class CallerKey:
    """A key, and whose data its bearer sees."""

    owner: str
    key: Secret
    #: The item named no owner, so the owner follows from the key and is lost when the key changes.
    bare: bool = False


def parse_key(item: Secret | str) -> CallerKey:
    """Read one item of ``server.api_keys``.

    The item is split at its first ``=`` only if at least 16 characters follow, for a key may itself end in ``=``.

    Raises:
        ConfigError: the key is too short or has odd characters, or the owner is no owner; never shows the item.
    """
    text = (item.reveal() if isinstance(item, Secret) else item).strip()
    owner, equals, key = text.partition("=")
    if not equals or len(key) < KEY_LENGTH:
        return CallerKey(bare_owner(_checked(text)), Secret(text), bare=True)
    if not OWNER.fullmatch(owner):
        raise ConfigError("the owner before '=' has to be 1 to 255 characters of A–Z a–z 0–9 . _ @ : -")
    return CallerKey(owner, Secret(_checked(key)))


def bare_owner(key: str) -> str:
    """Name the owner of a key that came without one: ``key-`` and 12 hexadecimal digits of its SHA-256."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _checked(key: str) -> str:
    if len(key) < KEY_LENGTH:
        raise ConfigError(f"the key has {len(key)} characters, and at least {KEY_LENGTH} are needed")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("the key has characters that an Authorization header cannot carry")
    return key
