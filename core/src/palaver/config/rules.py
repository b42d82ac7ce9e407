"""What a value of the right type may still not be: ranges, words, networks, origins, keys. Pure data and tests."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from palaver.config.keys import OWNER, parse_key
from palaver.config.masking import quoted
from palaver.errors import ConfigError

__all__ = ["SECONDS_PATHS", "complaint"]

#: Fields that hold seconds, so that ``30s`` is understood and asked for.
SECONDS_PATHS = frozenset(
    {
        "server.drain",
        "server.keepalive",
        "llm.connect_timeout",
        "llm.first_byte_timeout",
        "llm.idle_timeout",
        "llm.timeout",
        "resilience.backoff",
        "resilience.backoff_max",
        "resilience.breaker_cooldown",
        "plugins.import_limit",
        "plugins.total_limit",
        "chat.stream_retention",
        "chat.flush_seconds",
        "chat.lease_seconds",
    }
)
_LEVELS = ("debug", "info", "warn", "warning", "error")
_ORIGIN = re.compile(r"https?://[^\s/?#@]+")
_HEADER = re.compile(r"[!-~]+")


def complaint(path: str, value: Any) -> str | None:
    """Say what is wrong with the *value* of *path*, or ``None``; a secret is never repeated."""
    rule = _RULES.get(path)
    if rule is None or value is None:
        return None
    return rule(value)


def _between(low: float, high: float | None = None, above: bool = False) -> Callable[[Any], str | None]:
    def rule(value: Any) -> str | None:
        if (value <= low if above else value < low) or (high is not None and value > high):
            if high is not None:
                expected = f"from {low:g} to {high:g}"
            else:
                expected = f"above {low:g}" if above else f"of at least {low:g}"
            return f"expected a number {expected}, got {value:g}"
        return None

    return rule


def _each(check: Callable[[str], str | None]) -> Callable[[Any], str | None]:
    return lambda values: next((found for value in values if (found := check(value)) is not None), None)


def _level(value: str) -> str | None:
    return None if value.lower() in _LEVELS else f"expected debug, info, warn or error, got {quoted(value)}"


def _network(value: str) -> str | None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"expected an address or a network such as 10.0.0.0/8, got {quoted(value)}"
    return None


def _cors_origin(value: str) -> str | None:
    if value == "*" or _ORIGIN.fullmatch(value):
        return None
    return f"expected an origin such as https://chat.example.org, without a path, got {quoted(value)}"


def _address(value: str) -> str | None:
    return (
        None if re.match(r"https?://[^\s/]", value) else f"expected an http:// or https:// address, got {quoted(value)}"
    )


def _owner(value: str) -> str | None:
    if OWNER.fullmatch(value):
        return None
    return f"expected 1 to 255 characters of A–Z a–z 0–9 . _ @ : -, got {quoted(value)}"


def _keys(values: Any) -> str | None:
    owners: dict[str, str] = {}
    for number, item in enumerate(values, 1):
        try:
            key = parse_key(item)
        except ConfigError as error:
            return f"key {number} of {len(values)}: {error}"
        if owners.setdefault(key.key.reveal(), key.owner) != key.owner:
            return f"key {number} of {len(values)}: the same key is given to two owners"
    return None


def _proxy_secret(value: Any) -> str | None:
    text = value.reveal()
    if len(text) < 16 or not _HEADER.fullmatch(text):
        return "expected at least 16 characters that a header can carry, without spaces"
    return None


def _storage_url(value: Any) -> str | None:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:.", value.reveal()):
        return None
    return "expected an address such as sqlite:///.palaver/palaver.db or postgresql://user:password@host/name"


_positive = _between(0, above=True)
_RULES: Mapping[str, Callable[[Any], str | None]] = {
    **dict.fromkeys(SECONDS_PATHS, _positive),
    "server.port": _between(0, 65535),
    "server.host": lambda value: None if value.strip() else "expected an address to listen on, got nothing",
    "server.keepalive": lambda value: _positive(value) or _between(0, 15)(value),
    "server.drain": _between(0),
    "server.trusted_peers": _each(_network),
    "server.cors_origins": _each(_cors_origin),
    "server.api_keys": _keys,
    "server.proxy_secret": _proxy_secret,
    "server.dev_user": _owner,
    "llm.base_url": _address,
    "llm.temperature": _between(0, 2),
    "llm.top_p": _between(0, 1),
    "llm.max_tokens": _between(1),
    "resilience.attempts": _between(1, 20),
    "resilience.backoff": _between(0),
    "resilience.breaker_failures": _between(0),
    "resilience.breaker_window": _between(1),
    "resilience.principal_requests_per_minute": _between(0),
    "storage.url": _storage_url,
    "chat.history_limit": _between(1),
    "chat.stream_retention": _between(0),
    "chat.flush_bytes": _between(1),
    "chat.window_bytes": _between(1),
    "chat.unflushed_bytes": _between(1),
    "limits.body": _between(1),
    "limits.message": _between(1),
    "limits.json_depth": _between(1, 1000),
    "limits.title": _between(1),
    "logging.level": _level,
}
