"""OTELAUTO_RESPONSE_HEADERS: responses of real servers, plain and inside TLS, name their own span; nothing else changes."""
import re
import sys

import pytest

from kit import HERE, OTHER_HOSTS, both, exact, listen, need
from lib.certificates import certificate, client_context
from lib.collector import find
from lib.h2_client import get_all
from lib.loadgen import Connection
from test_python_servers import HEADERS, python_with
from webs import VISIT, apache, make_files, nginx

ON = {"OTELAUTO_RESPONSE_HEADERS": "traceresponse,server-timing"}
ASK = [r for r in VISIT if r[1] != "/away" and "bytes=0-9,100-109" not in str(r)]


def ask(port, tls, requests=ASK):
    """Status, body and headers but for ours and the date; and ours: [(path, traceresponse, server-timing)]"""
    seen, ours = [], []
    with Connection(port, tls=tls) as connection:
        for method, path, headers, body in requests:
            status, got, content = connection.request(path, method, headers, body)
            for name in ("date", "last-modified", "etag"):
                got.pop(name, None)
            ours.append((path.partition("?")[0], got.pop("traceresponse", None), got.pop("server-timing", None)))
            seen.append((status, got, content))
            if got.get("connection", "").lower() == "close":
                break
    return seen, ours


def check(way, ours, spans):
    """Each response names a span of its own, for its path."""
    if not way.ours:
        assert all(a is None and b is None for _, a, b in ours)
        return
    by_id = {s.span_id: s for s in spans}
    for path, response, timing in ours:
        version, trace, span, flags = response.split("-")
        assert (version, flags[1] in "13") == ("00", True) and by_id[span].trace_id == trace and by_id[span].path == path
        assert timing == f'traceparent;desc="{response}"'
    assert len({response for _, response, _ in ours}) == len(ours)


@pytest.mark.parametrize("secret", [False, True], ids=["plain", "tls"])
def test_nginx(ways, secret):
    cert, key = certificate()
    tls = "ssl; ssl_certificate @CERT@; ssl_certificate_key @KEY@" if secret else ""

    def scenario(way):
        port = way.port()
        with nginx(way, f"server {{ listen 127.0.0.1:@PORT@ {tls}; root @WWW@; }}", port=port, cert=cert, key=key,
                   settings=ON) as (program, tree, root):
            seen, ours = ask(port, client_context() if secret else None)
            check(way, ours, exact(way, tree, len(seen)) if way.ours else [])
            return seen
    both(ways, scenario)


def test_apache(ways, leaf):
    def scenario(way):
        with apache(way, "event", up=leaf.port, settings=ON) as (program, tree, port):
            seen, ours = ask(port, None)
            check(way, ours, exact(way, tree, len(seen)) if way.ours else [])
            return seen
    both(ways, scenario)


@pytest.mark.parametrize("secret", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("words", [("gunicorn", "-b", "127.0.0.1:{port}", "--threads", "2", "wsgi:app"),
                                   ("uvicorn", "--port", "{port}", "asgi:app")], ids=["gunicorn", "uvicorn"])
def test_python(ways, leaf, words, secret):
    cert, key = certificate()
    options = {"gunicorn": ["--certfile", cert, "--keyfile", key], "uvicorn": ["--ssl-certfile", cert, "--ssl-keyfile", key]}

    def scenario(way):
        port = way.port()
        argv = [python_with(words[0]), "-m", words[0], "--log-level", "error", *(options[words[0]] if secret else []),
                *[w.format(port=port) for w in words[1:]]]
        with way.program(argv, settings={"LEAF": str(leaf.port), **HEADERS, **ON}, cwd=str(OTHER_HOSTS)) as program:
            tree = listen(program, port)
            seen, ours = ask(port, client_context() if secret else None, [("GET", f"/x/{i}", [], b"") for i in range(5)])
            check(way, ours, exact(way, tree, 5) if way.ours else [])
            assert not find(way.collector.spans, kind="CLIENT", where=lambda s: not s.parent_id)
            return seen
    both(ways, scenario)


# -- HTTP/2 --

PAGES = ["/", "/small.txt", "/small.txt?again", "/empty.txt", "/big.bin", "/missing"]


def ask_http2(way, port, tls=None, pages=PAGES):
    """As ask(), all at once on one connection; then by h2load, whose decoder must understand all answers."""
    seen, ours = [], []
    for path, (status, got, body) in zip(pages, get_all(port, pages, tls)):
        for name in ("date", "last-modified", "etag"):
            got.pop(name, None)
        ours.append((path.partition("?")[0], got.pop("traceresponse", None), got.pop("server-timing", None)))
        seen.append((status, got, body))
    load = way.run([need("h2load"), "-n1000", "-c2", "-m50", *[f"http{'s' if tls else ''}://127.0.0.1:{port}{page}" for page in pages]],
                   service="h2load", settings={"OTELAUTO_DISABLED": "true"})
    seen.append(re.findall(r"^(?:requests|status codes): .*", load[1], re.M))
    return seen, ours


@pytest.mark.parametrize("secret", [False, True], ids=["plain", "tls"])
def test_nginx_http2(ways, secret):
    cert, key = certificate()
    tls = "ssl http2; ssl_certificate @CERT@; ssl_certificate_key @KEY@" if secret else "http2"

    def scenario(way):
        port = way.port()
        with nginx(way, f"server {{ listen 127.0.0.1:@PORT@ {tls}; root @WWW@; }}", port=port, cert=cert, key=key,
                   settings=ON) as (program, tree, root):
            seen, ours = ask_http2(way, port, client_context() if secret else None)
            check(way, ours, exact(way, tree, len(ours) + 1000) if way.ours else [])
            return seen
    both(ways, scenario)


def test_nghttpd(ways):
    def scenario(way):
        port = way.port()
        with way.program([need("nghttpd"), "--no-tls", port, "-d", make_files(way.folder)], service="nghttpd", settings=ON) as server:
            tree = listen(server, port)
            seen, ours = ask_http2(way, port, pages=PAGES[:-1])
            check(way, ours, exact(way, tree, len(ours) + 1000) if way.ours else [])
            return seen
    both(ways, scenario)


def test_hypercorn(ways):
    def scenario(way):
        port = way.port()
        argv = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "--workers", "0", "asgi_app:app"]
        with way.program(argv, service="hypercorn", cwd=str(HERE / "programs"), settings=ON) as server:
            tree = listen(server, port)
            seen, ours = ask_http2(way, port, pages=["/a", "/b", "/c"])
            check(way, ours, exact(way, tree, len(ours) + 1000) if way.ours else [])
            return seen
    both(ways, scenario)
