"""What every request passes, once: host, request id, origin, identity; then errors, metrics and the log line.

One function around each handler instead of a tower of middlewares: all it needs is known when the route is
made, and each further layer would cost every request.
"""

import asyncio
import logging
import re
import time

from aiohttp import hdrs, web
from multidict import istr
from palaver.errors import Forbidden, PalaverError

from palaver_server.browser import refuse_cross_site
from palaver_server.failures import Failure, failure_of
from palaver_server.hookspecs import Access, Handler
from palaver_server.keys import VISIT
from palaver_server.state import ServerState
from palaver_server.surfaces import Surface
from palaver_server.visit import Visit, raw_answer

__all__ = ["admit"]

logger = logging.getLogger("palaver.server")

REQUEST_ID = istr("X-Request-ID")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
#: nginx's word for a client that left before its answer; only for metrics and the log.
_GONE = 499
#: What answers call this server; versions are nobody's business.
_SERVER = "palaver"


def admit(state: ServerState, surface: Surface, template: str, access: Access, handler: Handler) -> Handler:
    """Wrap *handler* of the route *template* so that it is called only with what it may trust."""
    identity, cors, hosts = state.identity, state.cors, state.hosts
    observe, log, new_id = state.metrics.request, state.log, state.runtime.new_id
    clock = time.perf_counter

    async def admitted(request: web.Request) -> web.StreamResponse:
        began = clock()
        headers = request.headers
        given = headers.get(REQUEST_ID)
        request_id = given if given is not None and _REQUEST_ID.fullmatch(given) else new_id("req")
        carried: dict[str, str] = {REQUEST_ID: request_id, hdrs.SERVER: _SERVER}
        if cors.enabled:
            carried.update(cors.headers(headers.get(hdrs.ORIGIN)))
        visit = request[VISIT] = Visit(request_id, carried)
        status = 500
        try:
            hosts.check(headers.get(hdrs.HOST))
            method = request.method
            if access == "user":
                visit.principal = await identity(request)
                if method != "GET":
                    refuse_cross_site(headers, cors)
            elif access == "operator" and not identity.is_trusted(request):
                raise Forbidden("this is for the operator: ask from this machine or from a trusted network")
            response = await handler(request)
            status = _GONE if visit.gone else response.status
            if not response.prepared and REQUEST_ID not in response.headers:
                response.headers.update(carried)
            return response
        except PalaverError as error:
            failure = failure_of(error)
            status = failure.status
            if status >= 500:
                logger.warning("%s %s: %s (%s)", request.method, template, error, request_id)
            return refuse(surface, visit, failure)
        except web.HTTPException as error:
            status = error.status
            return refuse(surface, visit, Failure(status, "http_error", error.reason, headers=_kept(error)))
        except asyncio.CancelledError:
            status = _GONE
            raise
        except Exception as error:
            logger.exception("%s %s failed (%s)", request.method, template, request_id)
            return refuse(surface, visit, failure_of(error))
        finally:
            seconds = clock() - began
            observe(template, request.method, status, seconds)
            if log is not None:
                log(request.method, template, status, seconds, request_id)

    return admitted


def refuse(surface: Surface, visit: Visit, failure: Failure) -> web.Response:
    """Answer with *failure* in the shape of *surface*."""
    headers = dict(failure.headers)
    if surface.tells_retry:
        headers["x-should-retry"] = "true" if failure.retryable else "false"
    if failure.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = surface.render_error(failure, visit.request_id)
    return raw_answer(visit, body, status=failure.status, headers=headers)


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name in (hdrs.LOCATION, hdrs.ALLOW)}
