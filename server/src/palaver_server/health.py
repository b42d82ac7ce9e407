"""Probes and metrics: is the process alive, can it work, what has it done."""

from aiohttp import web

from palaver_server.keys import STATE, VISIT
from palaver_server.visit import json_answer

__all__ = ["livez", "metrics", "readyz"]


async def livez(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /livez``: the loop turns. Touches nothing."""
    return json_answer(request[VISIT], {"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /readyz``: 200 when requests can be served, else 503."""
    ready, report = await request.app[STATE].readiness.report()
    return json_answer(request[VISIT], report, status=200 if ready else 503)


async def metrics(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /metrics`` in the text format of Prometheus."""
    body = request.app[STATE].metrics.render()
    headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", **request[VISIT].headers}
    return web.Response(body=body, headers=headers)
