"""An ASGI application that calls the leaf in $LEAF with asyncio streams."""
import asyncio
import os

LEAF = int(os.environ["LEAF"])


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    truth = dict(scope["headers"]).get(b"x-truth", b"").decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", LEAF)
    path = "/leaf/" + scope["path"].rsplit("/", 1)[-1]
    writer.write(f"GET {path} HTTP/1.1\r\nHost: leaf\r\nX-Truth: {truth}\r\nConnection: close\r\n\r\n".encode())
    body = (await reader.read()).split(b"\r\n\r\n", 1)[1]
    writer.close()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
