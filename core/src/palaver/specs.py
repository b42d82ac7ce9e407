"""What plugins return from their hooks: frozen descriptions that open nothing by being made.

A spec names itself, shows its configuration class (built of ``palaver.setting()`` fields), and knows how
to open: ``open(config, context)`` is an async context manager. So configuration is checked before anything
opens, one plugin can be opened twice for two accounts, and closing is in one place.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import attrs

from palaver.contracts import (
    Authenticator,
    Middleware,
    Observer,
    PluginContext,
    Storage,
    ToolSource,
)
from palaver.domain import ModelInfo

__all__ = [
    "AuthenticatorSpec",
    "MiddlewareSpec",
    "Migrations",
    "NoConfig",
    "ObserverSpec",
    "ProviderSpec",
    "StorageSpec",
    "ToolSourceSpec",
]

C = TypeVar("C")
#: ``open(config, context)``: an async context manager that yields the opened thing.
Open: TypeAlias = Callable[[Any, PluginContext], AbstractAsyncContextManager[Any]]


@attrs.frozen
class NoConfig:
    """For a plugin with nothing to configure."""


@attrs.frozen
class ProviderSpec(Generic[C]):
    """A provider of models.

    ``open`` yields one object that implements any of ``Provider``, ``Embedder``, ``ModelLister``,
    ``TokenCounter``, ``HealthProbe``.
    """

    name: str
    config: type[C]
    open: Open
    #: Other names of the same provider (``claude``, ``gemini``).
    aliases: tuple[str, ...] = ()
    #: Model names that are this vendor's (``gpt-``, ``claude-``); the longest prefix wins.
    model_prefixes: tuple[str, ...] = ()
    #: Models known without asking the vendor.
    catalog: tuple[ModelInfo, ...] = ()
    #: Whether an instance of the plugin's own name is made when its required settings are present.
    automatic: bool = True
    #: Which vendor fields of a request it understands (the keys of ``ChatRequest.vendor``).
    dialect: str = ""


@attrs.frozen
class ToolSourceSpec(Generic[C]):
    """A source of tools; ``open`` yields a ``ToolSource``."""

    name: str
    config: type[C]
    open: Callable[[Any, PluginContext], AbstractAsyncContextManager[ToolSource]]


class Migrations(Protocol):
    """A storage's schema steps, blocking; call them in a thread."""

    def status(self) -> tuple[tuple[str, bool], ...]:
        """List the steps in order, each with whether it is applied."""
        ...

    def up(self) -> tuple[str, ...]:
        """Apply what is missing, under a lock; tell what was applied."""
        ...

    def down(self, steps: int = 1) -> tuple[str, ...]:
        """Roll back the newest *steps*; tell what was rolled back."""
        ...


@attrs.frozen
class StorageSpec(Generic[C]):
    """A storage, chosen by the URL's scheme; the URL arrives as ``config.url``.

    ``open`` applies missing migrations, then yields a ``Storage``.
    """

    name: str
    schemes: tuple[str, ...]
    config: type[C]
    open: Callable[[Any, PluginContext], AbstractAsyncContextManager[Storage]]
    #: Gives the schema steps of a configuration, ``None`` when there is no schema.
    migrations: Callable[[Any], Migrations] | None = None


@attrs.frozen
class MiddlewareSpec(Generic[C]):
    """A middleware: around the whole call, or around each target it is tried on."""

    name: str
    config: type[C]
    open: Callable[[Any, PluginContext], AbstractAsyncContextManager[Middleware]]
    place: Literal["call", "target"] = "call"


@attrs.frozen
class AuthenticatorSpec(Generic[C]):
    """A way to recognise callers."""

    name: str
    config: type[C]
    open: Callable[[Any, PluginContext], AbstractAsyncContextManager[Authenticator]]


@attrs.frozen
class ObserverSpec(Generic[C]):
    """Somebody who looks on: logs, metrics, traces."""

    name: str
    config: type[C]
    open: Callable[[Any, PluginContext], AbstractAsyncContextManager[Observer]]
