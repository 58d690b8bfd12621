"""aiohttp_server.py PORT LEAF: aiohttp on both sides, with its connection pool."""
import sys

import aiohttp
from aiohttp import web

PORT, LEAF = int(sys.argv[1]), int(sys.argv[2])


async def handle(request):
    url = f"http://127.0.0.1:{LEAF}/leaf/" + request.path.rsplit("/", 1)[-1]
    async with request.app["client"].get(url, headers={"X-Truth": request.headers.get("X-Truth", "")}) as answer:
        return web.Response(body=await answer.read())


async def client(app):
    app["client"] = aiohttp.ClientSession()
    yield
    await app["client"].close()


app = web.Application()
app.cleanup_ctx.append(client)
app.router.add_get("/{tail:.*}", handle)
web.run_app(app, host="127.0.0.1", port=PORT, print=None, backlog=512)
