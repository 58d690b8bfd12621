"""One trace through everything: curl, HTTP/2 inside TLS to nginx, HTTP/1 inside TLS to a Python server, gRPC to a C++ greeter."""
import re
import sys
from contextlib import contextmanager

from kit import HERE, both, command, exact, listen, need
from lib.certificates import certificate
from lib.collector import find
from test_http2 import greeter  # noqa: F401
from webs import nginx

PROXY = """server { listen 127.0.0.1:@PORT@ ssl http2; ssl_certificate @CERT@; ssl_certificate_key @KEY@;
  location / { proxy_pass https://127.0.0.1:@UP@; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_ssl_trusted_certificate @CERT@; proxy_ssl_verify on; proxy_ssl_name localhost; } }"""


CAPTURE = {"OTEL_INSTRUMENTATION_HTTP_CLIENT_CAPTURE_REQUEST_HEADERS": "x-path"}  # tells whom a call is made for


@contextmanager
def services(way, greeter):  # noqa: F811
    """gives the port of the proxy, and the trees of proxy, app and greeter"""
    cert, key = certificate()
    front, middle, back = way.port(), way.port(), way.port()
    argv = [sys.executable, HERE / "programs" / "https_app.py", middle, back, cert, key]
    with way.program([greeter, "serve", back], service="greeter") as last, \
            way.program(argv, service="app", settings=CAPTURE) as app:
        trees = [listen(last, back), listen(app, middle)]
        with nginx(way, PROXY, port=front, up=middle, cert=cert, key=key, service="proxy") as (program, tree, root):
            yield front, tree, trees[1], trees[0]


def hops(spans, span):
    """[(service, kind), ...] from a span to its root."""
    by_id = {s.span_id: s for s in spans}
    found = []
    while span:
        found.append((span.service, span.kind))
        parent = by_id.get(span.parent_id)
        assert bool(parent) == bool(span.parent_id) and (not parent or parent.trace_id == span.trace_id), span
        span = parent
    return found


CHAIN = [("greeter", "SERVER"), ("app", "CLIENT"), ("app", "SERVER"), ("proxy", "CLIENT"), ("proxy", "SERVER")]


def test_a_request_at_a_time_is_one_trace(ways, greeter):  # noqa: F811
    count = 20

    def scenario(way):
        with services(way, greeter) as (port, *trees):
            result = way.run([need("curl"), "-sSk", "--http2", f"https://127.0.0.1:{port}/n/[1-{count}]"], service="curl")
            assert result[1].splitlines() == [f"hello /n/{i}" for i in range(1, count + 1)]
            if way.ours:
                for tree in trees[:2]:
                    exact(way, tree, count, service="proxy" if tree is trees[0] else "app")
                spans = way.collector.wait_count(6 * count)
                ends = find(spans, kind="SERVER", service="greeter")
                assert len(spans) == 6 * count and len(ends) == count
                for end in ends:
                    assert hops(spans, end) == CHAIN + [("curl", "CLIENT")]
                assert len({s.trace_id for s in spans}) == count
            return result
    both(ways, scenario)


def test_many_requests_at_a_time(ways, greeter):  # noqa: F811
    """By a client without a context: right parents, or none and links. nginx reads several streams at once, and the channel that
    the app's threads share is written to by whichever of them is in it."""
    count = 200

    def scenario(way):
        with services(way, greeter) as (port, *trees):
            uris = way.write("uris", "".join(f"https://127.0.0.1:{port}/n/{i}\n" for i in range(count)))
            result = command(need("h2load"), f"-n{count}", "-c1", "-m8", "-i", uris).decode()
            if way.ours:
                for role, tree, service in [("SERVER", trees[0], "proxy"), ("CLIENT", trees[0], "proxy"), ("SERVER", trees[1], "app"),
                                            ("CLIENT", trees[1], "app"), ("SERVER", trees[2], "greeter")]:
                    way.collector.wait_count(count, kind=role, service=service)
                spans = way.collector.spans
                assert len(spans) == 5 * count
                by_id = {s.span_id: s for s in spans}
                for span in find(spans, where=lambda s: (s.kind, s.service) in (("SERVER", "greeter"), ("SERVER", "app"))):
                    assert by_id[span.parent_id].trace_id == span.trace_id and by_id[span.parent_id].kind == "CLIENT"
                calls = find(spans, kind="CLIENT")
                assert all(c.parent_id or c.links for c in calls)
                known = [c for c in calls if c.parent_id]
                assert len({c.parent_id for c in known}) == len(known), "two calls for one request"
                for call in known:
                    parent = by_id[call.parent_id]
                    assert (parent.kind, parent.service) == ("SERVER", call.service) and parent.trace_id == call.trace_id
                    assert (call.path or call.attributes["http.request.header.x-path"][0]) == parent.path, "a wrong parent"
                print("CALLS", [sum(c.service == n for c in known) for n in ("proxy", "app")])
            return re.findall(r"^(?:requests|status codes): .*", result, re.M)
    both(ways, scenario)
