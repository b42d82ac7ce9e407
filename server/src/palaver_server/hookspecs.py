"""The hooks that only the server knows: routes and commands.

Plugins mark theirs ``@hookimpl(optionalhook=True)``, so that they load where there is no server.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, TypeAlias

import attrs
import click
from aiohttp import web
from palaver import Principal
from palaver.hookspecs import hookspec
from palaver.runtime import Runtime

__all__ = ["PRINCIPAL", "RUNTIME", "Access", "Handler", "RouteSpec", "palaver_commands", "palaver_routes"]

#: Who calls, on the request of a plugin's route that asks for a user.
PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("palaver.principal")
#: The running whole, on every request of a plugin's route.
RUNTIME: web.RequestKey[Runtime] = web.RequestKey("palaver.runtime")

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Who may call: anybody; whoever has an identity; only a trusted peer (loopback, or the operator's networks).
Access: TypeAlias = Literal["open", "user", "operator"]


@attrs.frozen
class RouteSpec:
    """An HTTP route of a plugin. *path* may hold ``{name}`` fields; errors take the shape of the chat API."""

    method: str
    path: str
    #: Finds the caller as ``request[PRINCIPAL]`` (where there is one) and the runtime as ``request[RUNTIME]``.
    handler: Handler
    access: Access = "user"


@hookspec
def palaver_routes() -> Iterable[RouteSpec]:  # type: ignore[empty-body]
    """Offer HTTP routes.

    Called once, when the server starts. Return one ``RouteSpec`` per method and path; a path that the server
    has already is refused. An exception leaves out this plugin's routes only.
    """


@hookspec
def palaver_commands() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Offer commands for ``palaver``.

    Called once, when the command line starts. Return click commands; a name that exists already is refused.
    An exception leaves out this plugin's commands only.
    """
