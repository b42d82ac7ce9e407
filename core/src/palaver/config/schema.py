"""The configuration as core knows it: frozen, with defaults; how values get here is ``load``'s matter.

``providers``, ``tools``, ``middlewares`` and ``storage.options`` stay raw until discovery has found the
plugin whose own configuration class reads them (second phase).
"""

from collections.abc import Mapping
from typing import Any

import attrs

from palaver.config.origins import Origin
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

    #: Address to listen on. Any but loopback needs a way to identify callers.
    host: str = "127.0.0.1"
    #: Port to listen on; 0 takes any free one.
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
    #: Serve ``/metrics``.
    metrics: bool = True


@attrs.frozen(kw_only=True)
class LlmConfig:
    """The default provider and model, and what is asked of it unless a request says otherwise."""

    #: Instance that serves requests naming no model; empty picks the only configured one.
    provider: str = ""
    #: Model of requests that name none; empty picks the first the provider is known to have.
    model: str = ""
    #: Address of ``llm.provider``, for a server that speaks its dialect.
    base_url: str | None = None
    #: Key of ``llm.provider`` only, before the vendor's own variable.
    api_key: Secret | None = None
    #: Of conversations that bring none.
    system_prompt: str = ""
    #: From 0 to 2; unset leaves the vendor's default, as with the next two.
    temperature: float | None = None
    #: Tokens an answer may have.
    max_tokens: int | None = None
    #: From 0 to 1.
    top_p: float | None = None
    #: Seconds to connect to a vendor.
    connect_timeout: float = 5.0
    #: Seconds until the first byte of an answer.
    first_byte_timeout: float = 60.0
    #: Seconds between two pieces of content.
    idle_timeout: float = 60.0
    #: Seconds for a whole call, retries included.
    timeout: float = 600.0
    #: Further options of ``llm.provider``'s plugin, raw.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class ProviderEntry:
    """One configured instance: which plugin, which models it claims, and the plugin's own options, raw."""

    #: Name of the provider that a plugin offers; left out, the entry's own name.
    plugin: str
    #: Models this instance claims by name; then its plugin's prefixes no longer count for it.
    models: tuple[str, ...] = ()
    #: Beginnings of model names it claims, instead of its plugin's.
    model_prefixes: tuple[str, ...] = ()
    #: ``false`` keeps the entry without opening it.
    enabled: bool = True
    #: Every other key: the plugin's own settings.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


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
    #: Seconds before the second attempt at most; doubles with each further one, up to ``backoff_max``.
    backoff: float = 0.5
    #: Seconds between two attempts at most, unless the vendor says how long to wait.
    backoff_max: float = 20.0
    #: The breaker opens after this many failures among the last ``breaker_window`` calls; 0 means no breaker.
    breaker_failures: int = 5
    #: How many calls of a target the breaker remembers.
    breaker_window: int = 20
    #: Seconds until an open breaker lets one probe through.
    breaker_cooldown: float = 30.0
    #: Requests per minute of one principal; 0 means no limit. Counted per process.
    principal_requests_per_minute: int = 0


@attrs.frozen(kw_only=True)
class StorageConfig:
    """Where conversations live; the URL's scheme chooses the plugin."""

    #: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, or what an installed storage takes.
    url: Secret = Secret("sqlite:///.palaver/palaver.db")
    #: Further settings of the storage's plugin.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class PluginsConfig:
    """Which installed plugins load, by distribution or entry-point name, and how long they may take."""

    #: Only these are imported; empty means everything installed.
    allow: tuple[str, ...] = ()
    #: These are not imported, even when allowed.
    block: tuple[str, ...] = ()
    #: Seconds for the import and the hooks of one plugin.
    import_limit: float = 5.0
    #: Seconds for all of them.
    total_limit: float = 15.0


@attrs.frozen(kw_only=True)
class ChatConfig:
    """How conversations behave."""

    #: Text notices (tools running, denied) inside the answer's message events.
    notices: bool = True
    #: Ask the model for a title after the first answer of a session.
    titles: bool = True
    #: Newest messages sent to the model; older ones are left out whole turns at a time.
    history_limit: int = 200
    #: Seconds after its end during which a stream id still answers from memory.
    stream_retention: float = 600.0
    #: Seconds after which a run's events are flushed to storage, unless the next limit comes first.
    flush_seconds: float = 1.0
    #: Bytes after which they are: what a killed process loses at most.
    flush_bytes: int = 2048
    #: Bytes of a run's newest events kept in memory for watchers.
    window_bytes: int = 1_048_576
    #: Bytes of unflushed events at which a run gives up while storage is down.
    unflushed_bytes: int = 8_388_608
    #: Seconds after which a run whose server is silent counts as interrupted.
    lease_seconds: float = 20.0


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """Sizes in bytes and counts beyond which a request is refused."""

    #: Bytes of a request's body.
    body: int = 33_554_432
    #: Bytes of one message's text.
    message: int = 1_048_576
    #: Levels that JSON may nest.
    json_depth: int = 64
    #: Characters of a session's title.
    title: int = 255


@attrs.frozen(kw_only=True)
class LoggingConfig:
    """Log level (debug, info, warn, error) and whether lines are JSON."""

    #: ``debug``, ``info``, ``warn`` or ``error``.
    level: str = "info"
    #: One JSON object a line instead of text.
    json: bool = False


@attrs.frozen(kw_only=True)
class Config:
    """The whole configuration."""

    server: ServerConfig = attrs.field(factory=ServerConfig)
    llm: LlmConfig = attrs.field(factory=LlmConfig)
    #: Provider instances by name; the name is what stands before the slash in ``instance/model``.
    providers: Mapping[str, ProviderEntry] = attrs.field(factory=dict)
    routing: RoutingConfig = attrs.field(factory=RoutingConfig)
    resilience: ResilienceConfig = attrs.field(factory=ResilienceConfig)
    storage: StorageConfig = attrs.field(factory=StorageConfig)
    plugins: PluginsConfig = attrs.field(factory=PluginsConfig)
    #: Tool sources by name, raw.
    tools: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)
    #: Third-party middlewares in order, each a name or ``{name: options}``, raw.
    middlewares: tuple[Any, ...] = attrs.field(default=(), repr=False)
    #: Third-party authenticators in order, raw likewise.
    authenticators: tuple[Any, ...] = attrs.field(default=(), repr=False)
    #: Third-party observers by name, raw.
    observers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)
    chat: ChatConfig = attrs.field(factory=ChatConfig)
    limits: LimitsConfig = attrs.field(factory=LimitsConfig)
    logging: LoggingConfig = attrs.field(factory=LoggingConfig)
    #: Where each value came from, by path; not a setting.
    origins: Mapping[str, Origin] = attrs.field(factory=dict, repr=False, eq=False, metadata={"internal": True})
