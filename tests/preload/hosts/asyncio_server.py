"""asyncio_server.py PORT LEAF: asyncio streams, a call to the leaf for each request."""
import asyncio
import sys

PORT, LEAF = int(sys.argv[1]), int(sys.argv[2])


async def call(target, truth):
    reader, writer = await asyncio.open_connection("127.0.0.1", LEAF)
    path = "/leaf/" + target.rsplit("/", 1)[-1]
    writer.write(f"GET {path} HTTP/1.1\r\nHost: leaf\r\nX-Truth: {truth}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.split(b"\r\n\r\n", 1)[1]


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            body = await call(lines[0].split()[1], headers.get("x-truth", ""))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=512)
    async with server:
        await server.serve_forever()


asyncio.run(main())
