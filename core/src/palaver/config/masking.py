"""How configuration values are shown: secrets as ``***``, addresses without their passwords. Pure.

Everything that prints a value, to a terminal, into an error or into a dump, goes through here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from palaver.settings import Secret

__all__ = ["MASK", "is_secret_name", "looks_like_key", "quoted", "reveal_all", "scrub", "show", "show_raw", "show_url"]

MASK = "***"
#: Longest value repeated in an error message.
_QUOTED = 40
#: Texts that are keys by their look: a vendor's prefix, or long and without a gap.
_KEY_LIKE = re.compile(
    r"(?:(?:sk|pk|rk|gsk|xai|ghp|hf|key|pal)[-_].*|AIza.*|[^\s/\\:]{20,})", re.IGNORECASE | re.DOTALL
)
#: Names of settings that hold secrets, for options whose plugin is not there to say so.
_SECRET_NAME = re.compile(
    r"key|token|secret|passw|credential|dsn|auth|cookie|header|private|salt|sign|cert", re.IGNORECASE
)
#: Query parameters of an address that may be shown.
_PLAIN_QUERY = frozenset({"sslmode", "connect_timeout", "application_name", "mode", "cache"})


def show(value: Any) -> str:
    """Show one value on one line; every ``Secret`` inside it is masked."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, str):
        text = show_url(value) if "://" in value else value
        return text if text.isprintable() and text.strip() == text and text else repr(text)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_by_name(str(key), item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "-"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return scrub(str(value), reveal_all(value))


def is_secret_name(name: str) -> bool:
    """Tell whether a setting or a variable of this *name* is likely to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def looks_like_key(text: str) -> bool:
    """Tell whether *text* may be a key by its look."""
    return _KEY_LIKE.fullmatch(text) is not None


def show_raw(name: str, value: Any) -> str:
    """Show an option that no configuration class explains: a name that sounds secret masks it."""
    return _by_name(name, value)


def _by_name(name: str, value: Any) -> str:
    if is_secret_name(name) or (isinstance(value, str) and looks_like_key(value)):
        return MASK
    return show(value)


def show_url(url: str) -> str:
    """Show an address without what could be secret in it; what cannot be told apart is masked whole."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        scheme = url.partition(":")[0] if ":" in url else ""
        return f"{scheme}:{MASK}" if scheme else MASK
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"{scheme}://{MASK}"
    # An unquoted / ? or # inside a password moves the rest of it, and the @, out of the place for passwords.
    if "@" in parts.path or "@" in parts.query or "@" in parts.fragment:
        return f"{scheme}://{MASK}"
    user, at, _ = parts.netloc.rpartition("@")
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    where = f"{host}:{port}" if port is not None else host
    # A user name alone may be a token; one that has a password beside it is a name.
    name = user.partition(":")[0] if ":" in user else ""
    login = f"{name}:{MASK}@" if name else f"{MASK}@" if at else ""
    shown = [(key, value if key in _PLAIN_QUERY else MASK) for key, value in parse_qsl(parts.query)]
    query = f"?{urlencode(shown, safe='*')}" if shown else ""
    return f"{scheme}://{login}{where}{parts.path}{query}"


def quoted(value: Any) -> str:
    """Show a wrong value inside a message, unless it could be a secret that went astray."""
    if isinstance(value, str):
        if len(value) > _QUOTED or looks_like_key(value) or "@" in value:
            return f"text of {len(value)} characters"
        return repr(value)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return show(value)
    if isinstance(value, int | float):
        return repr(value) if abs(value) < 1e20 or value != value else "a number beyond all use"
    if isinstance(value, Mapping):
        return "settings"
    if isinstance(value, list | tuple):
        return "a list"
    return type(value).__name__


def reveal_all(value: Any) -> tuple[str, ...]:
    """List every secret text inside *value*."""
    if isinstance(value, Secret):
        return (value.reveal(),)
    if isinstance(value, Mapping):
        return tuple(found for item in value.values() for found in reveal_all(item))
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(found for item in value for found in reveal_all(item))
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        return tuple(found for field in fields for found in reveal_all(getattr(value, field.name)))
    return ()


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in *text*; for texts that others wrote."""
    for secret in sorted(secrets, key=len, reverse=True):
        # Fewer characters are nobody's secret, and would blot out ordinary words.
        if len(secret) >= 4:
            text = text.replace(secret, MASK)
    return text
