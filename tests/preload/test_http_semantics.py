"""Spans and metrics of every kind of exchange, as the stable HTTP conventions want them; servers and clients."""
import socket
import tempfile

import pytest

from lib.collector import find, in_order
from lib.loadgen import Broken, Connection, request_bytes
from lib.metrics import scrape
from lib.preload import Program, app, free_port, run, wait_until
from preload.test_counts import metrics_port

HANDSHAKE = [("Connection", "Upgrade"), ("Upgrade", "echo")]


@pytest.fixture
def server(collector):
    with Program([app("shape_server")], endpoint=collector.endpoint, service="shapes") as program:
        yield program


def one(collector, **wanted):
    spans = collector.wait_count(1, **wanted)
    assert len(spans) == 1, spans
    return spans[0]


def scrape_of(program):
    """Metrics of a program under test, whose endpoint is on the port that is not its own."""
    return scrape(metrics_port(program))


# -- server side --

@pytest.mark.parametrize("path,status", [("/length", 200), ("/chunked", 200), ("/chunked-cut", 200), ("/close", 200),
                                         ("/204", 204), ("/304", 304), ("/hints", 200), ("/http10", 200),
                                         ("/slow-head", 200), ("/status/201", 201), ("/status/302", 302)])
def test_served_without_error(server, collector, path, status):
    with Connection(server.port) as c:
        assert c.request(path)[0] == status
    span = one(collector, kind="SERVER")
    assert span.status == "unset" and "error.type" not in span.attributes
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["http.request.method"] == "GET"
    assert span.attributes["url.path"] == path and span.attributes["url.scheme"] == "http"
    assert span.attributes["server.address"] == "test"
    assert span.attributes["network.peer.address"] == "127.0.0.1"
    assert span.parent_id == "" and span.name.startswith("GET")


@pytest.mark.parametrize("status,failed", [(400, False), (404, False), (499, False), (500, True), (503, True)])
def test_server_errors_are_5xx_only(server, collector, status, failed):
    with Connection(server.port) as c:
        assert c.request(f"/status/{status}")[0] == status
    span = one(collector, kind="SERVER")
    assert span.status == ("error" if failed else "unset")
    assert span.attributes.get("error.type") == (str(status) if failed else None)


def test_head_has_no_body_and_the_next_request_is_found(server, collector):
    with Connection(server.port) as c:
        for method, path in [("HEAD", "/length"), ("HEAD", "/chunked"), ("HEAD", "/status/200"), ("GET", "/length")]:
            assert c.request(path, method)[0] == 200
    collector.wait_count(4, kind="SERVER")
    assert sorted(s.attributes["http.request.method"] for s in collector.spans) == ["GET", "HEAD", "HEAD", "HEAD"]


@pytest.mark.parametrize("method,name", [("POST", "POST"), ("PUT", "PUT"), ("DELETE", "DELETE"), ("PATCH", "PATCH"),
                                         ("OPTIONS", "OPTIONS"), ("TRACE", "TRACE"), ("BREW", "_OTHER"),
                                         ("get", "_OTHER")])
def test_methods(server, collector, method, name):
    with Connection(server.port) as c:
        assert c.request("/length", method, body=b"x=1" if method in ("POST", "PUT", "PATCH") else b"")[0] == 200
    span = one(collector, kind="SERVER")
    assert span.attributes["http.request.method"] == name
    assert span.attributes.get("http.request.method_original") == (method if name == "_OTHER" else None)
    assert span.name.split()[0] == ("HTTP" if name == "_OTHER" else method)


def test_keep_alive_is_a_span_each(server, collector):
    with Connection(server.port) as c:
        for _ in range(20):
            c.request("/length")
    spans = collector.wait_count(20, kind="SERVER")
    assert len({s.trace_id for s in spans}) == 20


def test_pipelined_requests_are_answered_in_order(server, collector):
    paths = ["/length", "/chunked", "/status/404", "/204", "/status/500", "/hints"]
    with Connection(server.port) as c:
        c.send(b"".join(request_bytes(p) for p in paths))
        statuses = [c.answer()[0] for _ in paths]
    collector.wait_count(len(paths), kind="SERVER")
    by_path = {s.path: s.attributes["http.response.status_code"] for s in collector.spans}
    assert [by_path[p] for p in paths] == statuses


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 17])
def test_requests_that_arrive_in_pieces(server, collector, cut):
    data = request_bytes("/length", "POST", body=b"0123456789") + request_bytes("/chunked")
    with Connection(server.port) as c:
        for i in range(0, len(data), cut):
            c.send(data[i:i + cut])
        assert c.answer()[0] == 200 and c.answer()[0] == 200
    spans = collector.wait_count(2, kind="SERVER")
    assert [s.attributes["http.request.method"] for s in in_order(spans)] == ["POST", "GET"]


def test_chunked_request_body_with_trailers(server, collector):
    with Connection(server.port) as c:
        c.send(b"POST /length HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"5;a=b\r\nGET /\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert c.answer()[0] == 200
        assert c.request("/chunked")[0] == 200
    spans = collector.wait_count(2, kind="SERVER")
    assert [s.path for s in in_order(spans)] == ["/length", "/chunked"]


def test_expect_continue(server, collector):
    with Connection(server.port) as c:
        c.send(b"POST /continue HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert c.head()[0] == 100
        c.send(b"hello")
        assert c.answer()[0] == 200
    assert one(collector, kind="SERVER").attributes["http.response.status_code"] == 200


def test_answer_before_the_request_body(server, collector):
    with Connection(server.port) as c:
        c.send(b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n")
        assert c.answer()[0] == 200
        c.send(b"hello")
        assert c.request("/length")[0] == 200
    collector.wait_count(2, kind="SERVER")


def test_upgrade_ends_the_exchange_and_starts_a_session(server, collector):
    with Connection(server.port) as c:
        assert c.request("/upgrade", headers=HANDSHAKE)[0] == 101
        http = one(collector, kind="SERVER", name="GET /upgrade")
        c.send(b"GET /not/http HTTP/1.1\r\n\r\n")
        assert c._take(26).startswith(b"GET /not")
    session = one(collector, kind="SERVER", name="echo")
    assert http.attributes["http.response.status_code"] == 101 and http.status == "unset"
    assert session.parent_id == http.span_id and session.trace_id == http.trace_id
    assert session.attributes["otelauto.tunnel.client_bytes"] == 26
    assert session.attributes["otelauto.tunnel.server_bytes"] == 26
    assert len(collector.spans) == 2


def test_connect_opens_a_tunnel(server, collector):
    with Connection(server.port) as c:
        c.send(b"CONNECT upstream:443 HTTP/1.1\r\nHost: upstream:443\r\n\r\n")
        assert c.answer("CONNECT")[0] == 200
        c.send(b"0123456789")
        assert c._take(10) == b"0123456789"
    spans = collector.wait_count(2, kind="SERVER")
    http = find(spans, http__request__method="CONNECT")[0]
    session = next(s for s in spans if s is not http)
    assert http.attributes["http.response.status_code"] == 200
    assert session.parent_id == http.span_id
    assert session.attributes["otelauto.tunnel.client_bytes"] == 10


def test_client_that_leaves_before_the_answer(server, collector):
    with Connection(server.port) as c:
        c.send(request_bytes("/hang"))
        server.wait_sockets(2)
        c.sock.shutdown(socket.SHUT_WR)
    span = one(collector, kind="SERVER")
    assert span.status == "error" and span.attributes["error.type"]
    assert "http.response.status_code" not in span.attributes


def test_client_that_leaves_in_the_middle_of_its_body(server, collector):
    with Connection(server.port) as c:
        c.send(b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 500\r\n\r\nhalf")
    span = one(collector, kind="SERVER")
    assert span.status == "error" and span.attributes["error.type"]


def test_client_that_leaves_in_the_middle_of_its_header_was_no_request(server, collector):
    with Connection(server.port) as c:
        c.send(b"GET /length HTTP/1.1\r\nHost: te")
    with Connection(server.port) as c:
        c.request("/length")
    collector.wait_count(1, kind="SERVER")
    server.stop()
    assert len(collector.spans) == 1


@pytest.mark.parametrize("path", ["/silent", "/truncate", "/reset"])
def test_server_that_leaves_early(server, collector, path):
    with Connection(server.port) as c:
        with pytest.raises((Broken, OSError)):
            c.request(path)
    span = one(collector, kind="SERVER")
    assert span.status == "error" and span.attributes["error.type"], span.attributes


@pytest.mark.parametrize("target,path,query", [
    ("/a/b?x=1&y=2", "/a/b", "x=1&y=2"), ("/a?", "/a", None), ("http://other.example/abs?z=1", "/abs", "z=1"),
    ("*", "*", None), ("/?", "/", None), ("/%41?token=secret&k=v", "/%41", "token=REDACTED&k=v"),
])
def test_targets(server, collector, target, path, query):
    method = "OPTIONS" if target == "*" else "GET"
    with Connection(server.port) as c:
        c.request(target, method)
    span = one(collector, kind="SERVER")
    assert span.attributes["url.path"] == path
    assert span.attributes.get("url.query") == query


def test_who_asked_and_whom(server, collector):
    with Connection(server.port) as c:
        c.send(b"GET /length HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: test/1\r\n"
               b"X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n")
        c.answer()
    a = one(collector, kind="SERVER").attributes
    assert (a["server.address"], a["server.port"]) == ("shop.example", 8080)
    assert a["client.address"] == "203.0.113.7" and a["url.scheme"] == "https"
    assert a["user_agent.original"] == "test/1" and a["network.peer.address"] == "127.0.0.1"
    assert a["network.protocol.version"] == "1.1"


def test_http10(server, collector):
    with Connection(server.port) as c:
        c.send(b"GET /http10 HTTP/1.0\r\n\r\n")
        assert c.answer()[2] == b"old"
    assert one(collector, kind="SERVER").attributes["network.protocol.version"] == "1.0"


def test_headers_are_captured_by_name_only(collector):
    settings = {"OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS": "X-Wanted,x-many",
                "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS": "Content-Length"}
    with Program([app("shape_server")], endpoint=collector.endpoint, settings=settings) as program:
        with Connection(program.port) as c:
            c.request("/length", headers=[("x-wanted", "yes"), ("X-Secret", "no"), ("X-Many", "a"), ("X-Many", "b")])
        a = one(collector, kind="SERVER").attributes
    assert a["http.request.header.x-wanted"] == ["yes"]
    assert a["http.request.header.x-many"] == ["a", "b"]
    assert a["http.response.header.content-length"] == ["5"]
    assert "http.request.header.x-secret" not in a and "no" not in str(a)


def test_bytes_that_are_not_http_make_no_span(server, collector):
    for first in (b"\x16\x03\x01\x02\x00\x01\x00", b"PING\r\n", b"\0\0\0\0", b"HELO x\r\n"):
        with Connection(server.port) as c:
            c.send(first + b"GET /length HTTP/1.1\r\nHost: x\r\n\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            c.sock.settimeout(10)
            try:
                while c.sock.recv(4096):
                    pass
            except OSError:
                pass
    with Connection(server.port) as c:
        c.request("/length")
    collector.wait_count(1, kind="SERVER")
    server.stop()
    assert len(collector.spans) == 1


def test_metrics_of_a_server(server, collector):
    with Connection(server.port) as c:
        for path in ["/length"] * 5 + ["/status/404"] * 2 + ["/status/500"]:
            c.request(path)
    collector.wait_count(8, kind="SERVER")
    m = scrape_of(server)
    name = "http_server_request_duration_seconds_count"
    assert m.sum(name) == 8
    assert m.sum(name, http_response_status_code=404) == 2
    assert m.sum(name, error_type="500") == 1
    assert m.sum(name, error_type="") == 7
    assert m.sum("http_server_request_duration_seconds_bucket", le="+Inf") == 8
    assert m.sum("http_server_active_requests") == 0
    assert m.types["http_server_request_duration_seconds"] == "histogram"


def test_active_requests_are_seen_while_they_last(server, collector):
    with Connection(server.port) as c:
        c.send(request_bytes("/hang"))
        wait_until(lambda: scrape_of(server).sum("http_server_active_requests") == 1, what="one active request")
    wait_until(lambda: scrape_of(server).sum("http_server_active_requests") == 0, what="no active request")


# -- client side --

def get(collector, port, path):
    return run([app("http_get"), port, path], endpoint=collector.endpoint, service="client",
               until=lambda: collector.wait_count(1, kind="CLIENT"))


@pytest.fixture
def upstream(library):
    """The same server, bare: only the client's side is observed."""
    with Program([app("shape_server")], preload=False) as program:
        yield program


@pytest.mark.parametrize("status,failed", [(200, False), (302, False), (404, True), (500, True)])
def test_client_errors_are_4xx_and_5xx(upstream, collector, status, failed):
    get(collector, upstream.port, f"/status/{status}")
    span = one(collector, kind="CLIENT")
    assert span.status == ("error" if failed else "unset") and span.name == "GET"
    assert span.attributes.get("error.type") == (str(status) if failed else None)
    assert span.attributes["url.full"] == f"http://127.0.0.1:{upstream.port}/status/{status}"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("127.0.0.1", upstream.port)
    assert "url.path" not in span.attributes and "http.route" not in span.attributes


@pytest.mark.parametrize("path", ["/length", "/chunked", "/close", "/204", "/304", "/hints", "/http10", "/slow-head"])
def test_client_of_every_framing(upstream, collector, path):
    get(collector, upstream.port, path)
    assert one(collector, kind="CLIENT").status == "unset"


def test_connection_refused(collector):
    port = free_port()
    assert get(collector, port, "/nobody").status == 1
    span = one(collector, kind="CLIENT")
    assert span.status == "error" and span.attributes["error.type"] == "ECONNREFUSED"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("127.0.0.1", port)
    assert "http.response.status_code" not in span.attributes


@pytest.mark.parametrize("path,errors", [("/silent", {"connection_closed"}), ("/garbage", {"malformed_message"}),
                                         ("/truncate", {"connection_closed"}),
                                         ("/reset", {"ECONNRESET", "connection_closed"})])
def test_answers_that_fail(upstream, collector, path, errors):
    get(collector, upstream.port, path)
    span = one(collector, kind="CLIENT")
    assert span.status == "error" and span.attributes["error.type"] in errors, span.attributes


def test_client_that_gives_up(upstream, collector):
    """The program closes the connection while the answer is outstanding."""
    script = "connect {port}\nwrite {n}\nclose\n"
    data = b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n"
    result = drive(collector, upstream.port, script, data)
    assert result.status == 0, result.stdout
    span = one(collector, kind="CLIENT")
    assert "http.response.status_code" not in span.attributes
    assert span.attributes.get("error.type") in (None, "abandoned")


def drive(collector, port, script, data, spans=1):
    with tempfile.TemporaryDirectory(prefix="otelauto-test-") as folder:
        with open(f"{folder}/script", "w") as f:
            f.write(script.format(port=port, n=len(data)))
        with open(f"{folder}/stream", "wb") as f:
            f.write(data)
        return run([app("inject_driver"), f"{folder}/script", f"{folder}/stream"], endpoint=collector.endpoint,
                   until=lambda: collector.wait_count(spans, kind="CLIENT"))


def test_client_upgrade(upstream, collector):
    data = b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + b"e" * 30
    script = f"connect {{port}}\nwrite {len(data) - 30}\nanswer\nwrite 30\nrecv 30\nclose\n"
    result = drive(collector, upstream.port, script, data, spans=2)
    assert result.status == 0, result.stdout
    spans = collector.wait_count(2, kind="CLIENT")
    http = find(spans, http__response__status_code=101)[0]
    session = next(s for s in spans if s is not http)
    assert session.name == "echo" and session.parent_id == http.span_id
    assert session.attributes["otelauto.tunnel.client_bytes"] == 30
    assert session.attributes["otelauto.tunnel.server_bytes"] == 30


def test_connect_time_is_an_event_of_the_first_exchange(upstream, collector):
    data = b"GET /length HTTP/1.1\r\nHost: x\r\n\r\n" * 2
    one_request = len(data) // 2
    script = f"connect {{port}}\nwrite {one_request}\nanswer\nwrite {one_request}\nanswer\nclose\n"
    assert drive(collector, upstream.port, script, data, spans=2).status == 0
    first, second = in_order(collector.wait_count(2, kind="CLIENT"))
    assert [name for name, _ in first.events] in ([], ["connect"])
    assert not second.events


def test_url_credentials_and_secrets_are_redacted(upstream, collector):
    data = (b"GET http://user:pass@shop.example/a?sig=abc&x=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    assert drive(collector, upstream.port, "connect {port}\nwrite {n}\nanswer\nclose\n", data).status == 0
    url = one(collector, kind="CLIENT").attributes["url.full"]
    assert url == "http://REDACTED:REDACTED@shop.example/a?sig=REDACTED&x=1"


def test_curl_program(upstream, collector):
    """A stock client; also its proxy settings must not reach our exporter."""
    url = f"http://127.0.0.1:{upstream.port}/chunked"
    result = run(["curl", "-sS", "--noproxy", "*", url], endpoint=collector.endpoint, service="curl")
    bare = run(["curl", "-sS", "--noproxy", "*", url], preload=False)
    assert (result.stdout, result.stderr, result.status) == (bare.stdout, bare.stderr, bare.status)
    assert one(collector, kind="CLIENT").attributes["url.full"] == url


def test_our_own_export_is_no_span_of_anybody(collector):
    """Two levels of programs under the preload, and the collector's port is a port like any other."""
    with Program([app("thread_server"), collector.port], endpoint=collector.endpoint) as program:
        with Connection(program.port) as c:
            c.request("/x")
        collector.wait_count(1, kind="SERVER")
    spans = [s for s in collector.spans if "/v1/traces" in s.path]
    assert not spans
