"""Routes of plugins: behind the same door as ours, and never in their place."""

from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from palaver.assembly import Assembly, HookResult
from palaver.chat import ChatService
from palaver.config.schema import Config
from palaver.runtime import Runtime
from palaver.testing.memory_storage import MemoryStorage
from palaver_server.app import create_app
from palaver_server.hookspecs import PRINCIPAL, RUNTIME, RouteSpec
from palaver_server.routes import plugin_routes


class Plugins(Assembly):
    """An assembly whose plugins answer ``palaver_routes`` as told."""

    def call(self, hook: str, promised: Any = object, **_: Any) -> tuple[HookResult, ...]:
        assert ("palaver_routes", RouteSpec) == (hook, promised)
        return (
            HookResult(plugin="bad", reason="raised in palaver_routes(): RuntimeError: no"),
            HookResult(
                plugin="good",
                items=(
                    RouteSpec("GET", "/acme/who", who),
                    RouteSpec("get", "/acme/open", everybody, access="open"),
                    RouteSpec("GET", "/acme/broken", broken, access="open"),
                    RouteSpec("POST", "/v1/chat/send", everybody, access="open"),
                ),
            ),
        )


async def who(request: web.Request) -> web.StreamResponse:
    return web.json_response({"owner": request[PRINCIPAL].owner})


async def everybody(request: web.Request) -> web.StreamResponse:
    return web.json_response({"instances": len(request[RUNTIME].instances)})


async def broken(request: web.Request) -> web.StreamResponse:
    raise RuntimeError("hunter2")


async def test_a_plugin_brings_routes_behind_the_same_door(caplog: Any) -> None:
    assembly = Plugins()
    routes = plugin_routes(assembly)
    assert "bad" in caplog.text
    assert "POST /v1/chat/send is taken already" in caplog.text
    async with Runtime.open(Config(), assembly, storage=MemoryStorage()) as runtime:
        service = ChatService(runtime)
        app = create_app(runtime, service, routes=routes)
        async with TestClient(TestServer(app)) as client:
            assert 401 == (await client.get("/acme/who")).status
            answer = await client.get("/acme/who", headers={"X-User-ID": "ann"})
            assert {"owner": "ann"} == await answer.json()
            assert answer.headers["X-Request-ID"]
            assert {"instances": 0} == await (await client.get("/acme/open")).json()
            answer = await client.get("/acme/broken")
            assert (500, "internal_error") == (answer.status, (await answer.json())["code"])
            assert "hunter2" not in await answer.text()
        await service.aclose()
