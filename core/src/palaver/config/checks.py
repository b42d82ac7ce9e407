"""What single values cannot show: settings that contradict each other, are unsafe, or look swapped. Pure."""

import ipaddress
import re
from collections.abc import Mapping

from palaver.config.keys import parse_key
from palaver.config.origins import Origin, Problem, origin_of
from palaver.config.schema import Config, ServerConfig
from palaver.errors import ConfigError

__all__ = ["bind_problems", "is_loopback", "look_closer"]

#: How the keys of vendors begin.
_VENDOR_KEY = re.compile(r"(?:sk-|sk_|gsk_|xai-|AIza|hf_|pplx-|r8_)")


def look_closer(config: Config, origins: Mapping[str, Origin]) -> tuple[list[Problem], list[Problem]]:
    """List problems and warnings that only the whole configuration shows."""
    problems = [Problem(path, text, origin_of(path, origins)) for path, text in bind_problems(config.server)]
    warnings = [Problem(path, text, origin_of(path, origins)) for path, text in _doubts(config)]
    return problems, warnings


def bind_problems(server: ServerConfig) -> list[tuple[str, str]]:
    """List, as path and text, why it is not safe to listen where the configuration says."""
    if is_loopback(server.host):
        return []
    if server.dev_user is not None:
        return [
            ("server.dev_user", f"only a loopback bind may serve everybody as one user, and {server.host!r} is none")
        ]
    if not (server.trusted_peers or server.proxy_secret or server.api_keys):
        text = (
            f"{server.host!r} is reachable from elsewhere: set server.trusted_peers or server.proxy_secret for a proxy "
            "that sends X-User-ID, or server.api_keys"
        )
        return [("server.host", text)]
    return []


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach *host*; a unix socket counts."""
    if host in ("localhost", "") or host.startswith(("unix:", "/")):
        return host != ""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _doubts(config: Config) -> list[tuple[str, str]]:
    found = []
    vendor = config.llm.api_key.reveal() if config.llm.api_key else ""
    if "," in vendor or re.match(r"[\w.@:-]+=.{16,}", vendor):
        text = "looks like callers' keys, and is the vendor's: are AICHAT_API_KEY and AICHAT_API_KEYS swapped?"
        found.append(("llm.api_key", text))
    if not config.llm.provider:
        for name in ("api_key", "base_url"):
            if getattr(config.llm, name):
                found.append((f"llm.{name}", "is nobody's, because llm.provider is not set"))
    bare = 0
    for item in config.server.api_keys:
        try:
            key = parse_key(item)
        except ConfigError:
            continue
        if _VENDOR_KEY.match(key.key.reveal()):
            text = "looks like a vendor's key, and is a caller's: are AICHAT_API_KEY and AICHAT_API_KEYS swapped?"
            found.append(("server.api_keys", text))
        bare += key.bare
    if bare:
        text = f"{bare} without an owner: a new key sees nothing of what the old one stored; write owner=key"
        found.append(("server.api_keys", text))
    if config.server.cors_origins and "*" in config.server.cors_origins:
        found.append(("server.cors_origins", "'*' lets every web page call; list the origins"))
    if config.llm.base_url and config.llm.base_url.startswith("http://") and config.llm.api_key:
        host = re.sub(r"^http://(?:[^/]*@)?([^/:]*).*", r"\1", config.llm.base_url)
        if not is_loopback(host):
            found.append(("llm.base_url", "sends the key over plain http"))
    return found
