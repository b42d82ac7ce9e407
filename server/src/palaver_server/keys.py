"""Where things are kept on the application and on a request; typed, in one place."""

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from palaver_server.state import ServerState
    from palaver_server.visit import Visit

__all__ = ["STATE", "VISIT"]

STATE: "web.AppKey[ServerState]" = web.AppKey("palaver.state")
VISIT: "web.RequestKey[Visit]" = web.RequestKey("palaver.visit")
