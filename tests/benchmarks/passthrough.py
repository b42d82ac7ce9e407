"""The yardstick: a bare aiohttp proxy that forwards bytes and does nothing else.

usage: passthrough.py PORT UPSTREAM_PORT
"""

import asyncio
import sys

import aiohttp
from aiohttp import web


async def main(port: int, upstream: int) -> None:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
    ) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
            url = f"http://127.0.0.1:{upstream}{request.path}"
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.content_type != "text/event-stream":
                    return web.Response(body=await answer.read(), content_type="application/json")
                response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
                await response.prepare(request)
                async for block in answer.content.iter_any():
                    await response.write(block)
                await response.write_eof()
                return response

        app = web.Application()
        app.router.add_post("/v1/chat/completions", forward)
        app.router.add_get("/livez", lambda _: web.Response(text="ok"))  # type: ignore[arg-type,return-value]
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
    except ImportError:
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
