"""The one table of names: which variable and which flag set which path, and other spellings in the file.

Several variables of one path: the first that is set wins. An empty variable counts as unset.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

__all__ = ["DATABASE_PARTS", "IGNORED", "NAMES", "SPELLINGS", "Name", "known_variables"]


@attrs.frozen
class Name:
    """One path and what sets it from outside the file."""

    path: str
    #: Environment variables, strongest first.
    variables: tuple[str, ...] = ()
    #: Flag of ``palaver serve``.
    flag: str = ""
    #: Further variables that count only for programs that use the client library.
    library: tuple[str, ...] = ()
    #: Turns the text of a library variable into what the path means.
    translate: Callable[[str], Any] | None = None


def _attempts(text: str) -> Any:
    # The library's variable counts retries, ours counts attempts, the first included.
    return str(int(text) + 1) if text.isdecimal() else text


#: Every name of the command line and the environment.
NAMES: tuple[Name, ...] = (
    Name("server.host", ("AICHAT_HOST",), "--host"),
    Name("server.port", ("AICHAT_PORT", "PORT"), "--port"),
    Name("server.cors_origins", ("AICHAT_CORS_ORIGINS", "CORS_ORIGINS")),
    Name("server.trusted_peers", ("AICHAT_TRUSTED_PEERS",)),
    Name("server.proxy_secret", ("AICHAT_PROXY_SECRET",)),
    Name("server.api_keys", ("AICHAT_API_KEYS", "API_KEYS")),
    Name("server.allowed_hosts", ("AICHAT_ALLOWED_HOSTS",)),
    Name("server.dev_user", (), "--dev-user"),
    Name("server.drain", ("AICHAT_DRAIN_TIMEOUT",)),
    Name("server.keepalive", ("AICHAT_KEEPALIVE",)),
    Name("server.metrics", ("AICHAT_METRICS",)),
    Name("llm.provider", ("AICHAT_LLM_PROVIDER",), "--llm-provider", library=("AI_PROVIDER",)),
    Name("llm.model", ("AICHAT_LLM_MODEL",), "--llm-model", library=("AI_DEFAULT_MODEL",)),
    Name("llm.api_key", ("AICHAT_API_KEY",), "--api-key", library=("AI_API_KEY",)),
    Name("llm.base_url", ("AICHAT_LLM_BASE_URL",), "--base-url", library=("AI_BASE_URL",)),
    Name("llm.system_prompt", ("AICHAT_SYSTEM_PROMPT",), "--system-prompt"),
    Name("llm.temperature", ("AICHAT_LLM_TEMPERATURE", "TEMPERATURE")),
    Name("llm.max_tokens", ("AICHAT_LLM_MAX_TOKENS", "MAX_TOKENS")),
    Name("llm.top_p", ("AICHAT_LLM_TOP_P",)),
    Name("llm.connect_timeout", ("AICHAT_LLM_CONNECT_TIMEOUT",)),
    Name("llm.first_byte_timeout", ("AICHAT_LLM_FIRST_BYTE_TIMEOUT",)),
    Name("llm.idle_timeout", ("AICHAT_LLM_IDLE_TIMEOUT",)),
    Name("llm.timeout", ("AICHAT_LLM_TIMEOUT",), library=("AI_TIMEOUT",)),
    Name("resilience.attempts", ("AICHAT_LLM_ATTEMPTS",), library=("AI_MAX_RETRIES",), translate=_attempts),
    Name("resilience.backoff", ("AICHAT_LLM_BACKOFF",), library=("AI_RETRY_BACKOFF",)),
    Name("resilience.breaker_failures", ("AICHAT_BREAKER_FAILURES",), library=("AI_CIRCUIT_BREAKER_THRESHOLD",)),
    Name("resilience.principal_requests_per_minute", ("AICHAT_REQUESTS_PER_MINUTE",)),
    Name("storage.url", ("AICHAT_DATABASE_URL",), "--database-url"),
    Name("plugins.allow", ("AICHAT_PLUGINS_ALLOW",)),
    Name("plugins.block", ("AICHAT_PLUGINS_BLOCK",)),
    Name("tools.mcp.servers_file", ("AICHAT_MCP_SERVERS_FILE",), "--mcp-servers-file"),
    Name("chat.notices", ("AICHAT_CHAT_NOTICES",)),
    Name("chat.titles", ("AICHAT_CHAT_TITLES",)),
    Name("limits.body", ("AICHAT_LIMIT_BODY",)),
    Name("limits.message", ("AICHAT_LIMIT_MESSAGE",)),
    Name("logging.level", ("AICHAT_LOG_LEVEL",), "--log-level"),
    Name("logging.json", ("AICHAT_LOG_JSON",), "--log-json"),
)

#: What makes up ``storage.url`` when no ``AICHAT_DATABASE_URL`` is set, with the part's default.
DATABASE_PARTS: Mapping[str, str] = {
    "AICHAT_DB_HOST": "127.0.0.1",
    "AICHAT_DB_PORT": "5432",
    "AICHAT_DB_NAME": "ai_chat",
    "AICHAT_DB_USERNAME": "ai_chat_user",
    "AICHAT_DB_PASSWORD": "ai_chat_secure_password",
    "AICHAT_DB_SSL_MODE": "disable",
}

#: Variables that say how to load rather than what; the command line reads them.
LOADING = ("AICHAT_CONFIG", "AICHAT_ENV_ONLY")

#: Variables of the older server that are understood to mean nothing here.
IGNORED = ("AICHAT_VERSION", "GIN_MODE")

#: Other spellings in the file → ours.
SPELLINGS: Mapping[str, str] = {
    "database.dsn": "storage.url",
    "mcp.servers_file": "tools.mcp.servers_file",
    "llm.timeout_seconds": "llm.timeout",
}


def known_variables() -> Iterator[str]:
    """List every variable this table gives a meaning."""
    for name in NAMES:
        yield from name.variables
    yield from DATABASE_PARTS
    yield from LOADING
    yield from IGNORED
