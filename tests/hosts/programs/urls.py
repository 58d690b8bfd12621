"""urls.py KIND BASE: one of Python's HTTP clients asks for a few things and prints what it got."""
import os
import sys

kind, base = sys.argv[1], sys.argv[2]
PATHS = [f"/c/{i}" for i in range(20)]


def with_urllib():
    import urllib.error
    import urllib.request
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in PATHS:
        yield opener.open(base + path, timeout=20).read()
    yield opener.open(urllib.request.Request(base + "/post", b"p" * 100000), timeout=20).read()
    try:
        opener.open(base + "/status/404", timeout=20)
    except urllib.error.HTTPError as error:
        yield error.code


def with_http_client():
    import http.client
    kind = http.client.HTTPSConnection if base.startswith("https:") else http.client.HTTPConnection
    connection = kind(base.partition("//")[2], timeout=20)
    for path in PATHS:
        connection.request("GET", path)
        yield connection.getresponse().read()
    connection.request("POST", "/post", body=iter([b"chunk " * 100] * 3), encode_chunked=True, headers={"Content-Length": "1800"})
    yield connection.getresponse().read()
    connection.request("GET", "/status/404")
    yield connection.getresponse().status


def with_requests():
    import requests
    session = requests.Session()
    session.trust_env = False
    session.verify = os.environ.get("SSL_CERT_FILE", True)
    for path in PATHS:
        yield session.get(base + path, timeout=20).content
    yield session.post(base + "/post", data=b"p" * 100000, timeout=20).content
    yield session.get(base + "/status/404", timeout=20).status_code


def with_aiohttp():
    import asyncio

    import aiohttp

    async def run():
        async with aiohttp.ClientSession() as session:
            async def one(path):
                async with session.get(base + path) as answer:
                    return await answer.read()
            found = list(await asyncio.gather(*[one(p) for p in PATHS]))
            async with session.post(base + "/post", data=b"p" * 100000) as answer:
                found.append(await answer.read())
            async with session.get(base + "/status/404") as answer:
                found.append(answer.status)
            return found
    yield from asyncio.run(run())


for result in {"urllib": with_urllib, "http.client": with_http_client, "requests": with_requests, "aiohttp": with_aiohttp}[kind]():
    print(result)
