"""The hooks a plugin implements. All are synchronous, take no arguments and run once, at assembly.

A hook returns specs and opens nothing. Each plugin is called alone: an exception, or a result that is not
made of the promised specs, disables that plugin and is shown by ``palaver plugins``.
"""

from collections.abc import Iterable
from typing import Any

import pluggy

from palaver.specs import (
    AuthenticatorSpec,
    MiddlewareSpec,
    ObserverSpec,
    ProviderSpec,
    StorageSpec,
    ToolSourceSpec,
)

__all__ = ["HOOK_API_VERSION", "PROJECT", "hookimpl", "hookspec"]

#: The pluggy project name, which is also the entry-point group.
PROJECT = "palaver"
#: The version of this page. A plugin states the one it was built for as ``PALAVER_HOOK_API``.
HOOK_API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a function of a plugin module as the implementation of the hook it is named after.
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def palaver_providers() -> Iterable[ProviderSpec[Any]]:  # type: ignore[empty-body]
    """Offer providers of models.

    Called once, at assembly, before anything is opened. Return one ``ProviderSpec`` per provider. The
    configuration class is checked and an instance opened only where the operator configured one, or where
    all its required settings are in the environment. An exception disables this plugin only.
    """


@hookspec
def palaver_tool_sources() -> Iterable[ToolSourceSpec[Any]]:  # type: ignore[empty-body]
    """Offer sources of tools.

    Called once, at assembly, before anything is opened. Return one ``ToolSourceSpec`` per source; tools
    themselves are listed later, by the opened source. An exception disables this plugin only.
    """


@hookspec
def palaver_storages() -> Iterable[StorageSpec[Any]]:  # type: ignore[empty-body]
    """Offer storages.

    Called once, at assembly. Return one ``StorageSpec`` per storage; the one whose scheme the configured
    URL has is opened, migrations first. An exception disables this plugin only.
    """


@hookspec
def palaver_middlewares() -> Iterable[MiddlewareSpec[Any]]:  # type: ignore[empty-body]
    """Offer middlewares.

    Called once, at assembly. Return one ``MiddlewareSpec`` per middleware; only those the configuration
    lists are opened, in the order of that list. An exception disables this plugin only.
    """


@hookspec
def palaver_authenticators() -> Iterable[AuthenticatorSpec[Any]]:  # type: ignore[empty-body]
    """Offer ways to recognise callers.

    Called once, at assembly. Return one ``AuthenticatorSpec`` per way; those that the configuration lists
    are asked in its order, after the built-in ones. An exception disables this plugin only.
    """


@hookspec
def palaver_observers() -> Iterable[ObserverSpec[Any]]:  # type: ignore[empty-body]
    """Offer observers.

    Called once, at assembly. Return one ``ObserverSpec`` per observer; all whose configuration is complete
    are opened. An exception disables this plugin only.
    """
