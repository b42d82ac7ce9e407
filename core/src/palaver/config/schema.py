"""The configuration as core knows it: frozen, with defaults; how values get here is ``load``'s matter.

``providers``, ``tools``, ``middlewares`` and ``storage.options`` stay raw until discovery has found the
plugin whose own configuration class reads them (second phase).
"""

from collections.abc import Mapping
from typing import Any

import attrs

from palaver.settings import Secret

__all__ = [
    "ChatConfig",
    "Config",
    "LimitsConfig",
    "LlmConfig",
    "LoggingConfig",
    "PluginsConfig",
    "ProviderEntry",
    "ResilienceConfig",
    "RoutingConfig",
    "ServerConfig",
    "StorageConfig",
]


@attrs.frozen(kw_only=True)
class ServerConfig:
    """Where and for whom the server listens."""

    host: str = "127.0.0.1"
    port: int = 3001
    #: Origins that browsers may call from; empty means none.
    cors_origins: tuple[str, ...] = ()
    #: Networks (CIDR) whose ``X-User-ID`` is believed; loopback and unix sockets always are.
    trusted_peers: tuple[str, ...] = ()
    #: A value the proxy must send as ``X-Proxy-Secret`` for its identity header to count.
    proxy_secret: Secret | None = None
    #: Callers' keys: ``owner=key`` or a bare key.
    api_keys: tuple[Secret, ...] = ()
    #: Everybody without credentials is this user; loopback binds only.
    dev_user: str | None = None
    #: Host names accepted on a loopback bind beside localhost and loopback addresses.
    allowed_hosts: tuple[str, ...] = ()
    #: Seconds that running streams get to finish after SIGTERM.
    drain: float = 30.0
    #: Seconds between keep-alive comments, at most 15.
    keepalive: float = 10.0
    metrics: bool = True


@attrs.frozen(kw_only=True)
class LlmConfig:
    """The default provider and model, and what is asked of it unless a request says otherwise."""

    #: Instance that serves requests naming no model; empty picks the only configured one.
    provider: str = ""
    model: str = ""
    base_url: str | None = None
    #: Key of ``llm.provider`` only, before the vendor's own variable.
    api_key: Secret | None = None
    system_prompt: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    connect_timeout: float = 5.0
    first_byte_timeout: float = 60.0
    idle_timeout: float = 60.0
    timeout: float = 600.0


@attrs.frozen(kw_only=True)
class ProviderEntry:
    """One configured instance: which plugin, which models it claims, and the plugin's own options, raw."""

    plugin: str
    models: tuple[str, ...] = ()
    model_prefixes: tuple[str, ...] = ()
    enabled: bool = True
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RoutingConfig:
    """Which instance wins, and where to go when a target fails."""

    #: Instance names in order of preference when several claim a model.
    prefer: tuple[str, ...] = ()
    #: Model name → further ``instance/model`` targets, tried in order.
    fallback: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ResilienceConfig:
    """Retry and circuit breaker of each target."""

    #: Times a target is asked in all, the first included.
    attempts: int = 3
    backoff: float = 0.5
    backoff_max: float = 20.0
    #: The breaker opens after this many failures among the last *breaker_window* calls.
    breaker_failures: int = 5
    breaker_window: int = 20
    #: Seconds until an open breaker lets one probe through.
    breaker_cooldown: float = 30.0
    #: Requests per minute of one principal; 0 means no limit. Counted per process.
    principal_requests_per_minute: int = 0


@attrs.frozen(kw_only=True)
class StorageConfig:
    """Where conversations live; the URL's scheme chooses the plugin."""

    url: Secret = Secret("sqlite:///.palaver/palaver.db")
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class PluginsConfig:
    """Which installed plugins load, by distribution or entry-point name, and how long they may take."""

    allow: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    import_limit: float = 5.0
    total_limit: float = 15.0


@attrs.frozen(kw_only=True)
class ChatConfig:
    """How conversations behave."""

    #: Text notices (tools running, denied) inside the answer's message events.
    notices: bool = True
    titles: bool = True
    #: Newest messages sent to the model; older ones are left out whole turns at a time.
    history_limit: int = 200
    #: Seconds after its end during which a stream id still answers from memory.
    stream_retention: float = 600.0
    #: Seconds and bytes after which a run's events are flushed to storage, whichever comes first.
    flush_seconds: float = 1.0
    flush_bytes: int = 2048
    #: Bytes of a run's newest events kept in memory for watchers.
    window_bytes: int = 1_048_576
    #: Bytes of unflushed events at which a run gives up while storage is down.
    unflushed_bytes: int = 8_388_608
    lease_seconds: float = 30.0


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """Sizes in bytes and counts beyond which a request is refused."""

    body: int = 33_554_432
    message: int = 1_048_576
    json_depth: int = 64
    title: int = 255


@attrs.frozen(kw_only=True)
class LoggingConfig:
    """Log level (debug, info, warn, error) and whether lines are JSON."""

    level: str = "info"
    json: bool = False


@attrs.frozen(kw_only=True)
class Config:
    """The whole configuration."""

    server: ServerConfig = attrs.field(factory=ServerConfig)
    llm: LlmConfig = attrs.field(factory=LlmConfig)
    providers: Mapping[str, ProviderEntry] = attrs.field(factory=dict)
    routing: RoutingConfig = attrs.field(factory=RoutingConfig)
    resilience: ResilienceConfig = attrs.field(factory=ResilienceConfig)
    storage: StorageConfig = attrs.field(factory=StorageConfig)
    plugins: PluginsConfig = attrs.field(factory=PluginsConfig)
    #: Tool sources by name, raw.
    tools: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    #: Third-party middlewares in order, each a name or ``{name: options}``, raw.
    middlewares: tuple[Any, ...] = ()
    #: Third-party authenticators in order, raw likewise.
    authenticators: tuple[Any, ...] = ()
    observers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    chat: ChatConfig = attrs.field(factory=ChatConfig)
    limits: LimitsConfig = attrs.field(factory=LimitsConfig)
    logging: LoggingConfig = attrs.field(factory=LoggingConfig)
