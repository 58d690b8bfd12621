"""HTTP/2 inside TLS: nghttpx, hypercorn (memory BIOs of asyncio), libcurl on GnuTLS."""
import re
import sys

import pytest

from kit import HERE, both, exact, leaf_saw, listen, need
from lib.certificates import certificate
from lib.collector import find
from test_http2 import nghttpd
from test_tls import inside_tls, nothing_unseen
from test_web_servers import right_parents
from webs import nginx


def lines(result):
    return re.findall(r"^(?:requests|status codes): .*", result[1], re.M)


def served_for(way, served, count, version="2"):
    """Each server span hangs on a client span of its own, for the same path."""
    calls = {s.span_id: s for s in way.collector.wait_count(count, kind="CLIENT", service="client")}
    assert len(calls) == len(served) == len({s.parent_id for s in served}) == count
    for span in inside_tls(served):
        assert calls[span.parent_id].path == span.path
        assert (span.attributes["network.protocol.version"], span.attributes["url.scheme"]) == (version, "https")


@pytest.mark.parametrize("back", ["http/1", "h2"])
def test_nghttpx(ways, leaf, back):
    """HTTP/2 inside TLS in front; HTTP/1 or HTTP/2 in clear text behind."""
    cert, key = certificate()

    def scenario(way):
        port, up = way.port(), way.port() if back == "h2" else leaf.port
        argv = [need("nghttpx"), f"-f127.0.0.1,{port}", f"-b127.0.0.1,{up}" + (";;proto=h2" if back == "h2" else ""), "-n1",
                "--conf=/dev/null", "--errorlog-file=/dev/null", "--no-ocsp", key, cert]
        with nghttpd(way, way.port() if back != "h2" else up) as files, way.program(argv, service="nghttpx") as proxy:
            if back == "h2":
                listen(files, up)
            tree = listen(proxy, port)
            one = way.run([need("curl"), "-sSk", "--http2", f"https://127.0.0.1:{port}/index.html",
                           f"https://127.0.0.1:{port}/nothere"], service="client")
            load = way.run([need("h2load"), "-n200", "-c2", "-m10", f"https://127.0.0.1:{port}/index.html"], service="client")
            if back != "h2":
                leaf_saw(leaf, 202, way.ours)
            if way.ours:
                served_for(way, exact(way, tree, 202, service="nghttpx"), 202)
                inner = {s.span_id: s for s in find(way.collector.spans, kind="SERVER", service="nghttpx")}
                passed = [s for s in way.collector.wait_count(202, kind="CLIENT", service="nghttpx") if s.path]
                assert len(passed) == 202 and all(inner[s.parent_id].path == s.path for s in passed)
                nothing_unseen(tree)
            return one, lines(load)
    both(ways, scenario)


def test_hypercorn(ways):
    cert, key = certificate()

    def scenario(way):
        port = way.port()
        argv = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "--workers", "0", "--certfile", cert, "--keyfile",
                key, "asgi_app:app"]
        with way.program(argv, service="hypercorn", cwd=str(HERE / "programs")) as server:
            tree = listen(server, port)
            one = way.run([need("curl"), "-sSk", "--http2", "-d", "some=form", f"https://127.0.0.1:{port}/form",
                           f"https://127.0.0.1:{port}/more"], service="client")
            load = way.run([need("h2load"), "-n200", "-c2", "-m10", f"https://127.0.0.1:{port}/x"], service="client")
            if way.ours:
                served_for(way, exact(way, tree, 202, service="hypercorn"), 202)
                nothing_unseen(tree)
            return one, lines(load)
    both(ways, scenario)


PROXY = """upstream up { server 127.0.0.1:@UP@; keepalive 16; }
  server { listen 127.0.0.1:@PORT@ ssl http2; ssl_certificate @CERT@; ssl_certificate_key @KEY@;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; } }"""


def test_nginx_in_front_of_http1(ways, leaf):
    """By clients that send a context, which nginx hands on: every parent is right, also of requests that came in one read."""
    cert, key = certificate()

    def scenario(way):
        port = way.port()
        with nginx(way, PROXY, service="nginx", port=port, up=leaf.port, cert=cert, key=key) as (_, tree, _):
            base = f"https://127.0.0.1:{port}"
            one = way.run([need("curl"), "-sSk", "--http2", "-d", "some=form", f"{base}/form", f"{base}/more"], service="client")
            sent = leaf_saw(leaf, 2, way.ours)
            uris = way.write("uris", "".join(f"{base}/n/{i}\n" for i in range(200)))
            load = way.run([need("h2load"), "-n200", "-c2", "-m10", "-i", uris], service="client")
            leaf_saw(leaf, 200, way.ours)
            if way.ours:
                served_for(way, exact(way, tree, 202, service="nginx"), 202)
                exact(way, tree, 202, service="nginx", role="CLIENT")
                right_parents(find(way.collector.spans, service="nginx"))
                nothing_unseen(tree)
            return one, sent, lines(load)
    both(ways, scenario)


GNUTLS = "server { listen 127.0.0.1:@PORT@ ssl@MORE@; ssl_certificate @CERT@; ssl_certificate_key @KEY@; root @WWW@; }"


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl_on_gnutls(ways, version):
    cert, key = certificate()

    def scenario(way):
        port = way.port()
        with nginx(way, GNUTLS.replace("@MORE@", " http2" if version == "2" else ""), port=port, cert=cert, key=key) as (_, tree, _):
            result = way.run([sys.executable, HERE / "programs" / "gnutls_curl.py", cert] +
                             [f"https://localhost:{port}/{name}" for name in ("small.txt", "big.bin", "missing", "small.txt?a=b")],
                             service="client")
            assert result[0] == 0, result
            if way.ours:
                served_for(way, exact(way, tree, 4), 4, version)
                nothing_unseen(tree)
            return result
    both(ways, scenario)
