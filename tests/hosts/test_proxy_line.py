"""Who stands behind a load balancer: PROXY headers that curl and HAProxy send, and that nginx, HAProxy and nghttpx take. The
other end of a socket stays what it is; client.address is whom the header names."""
import socket
import struct
from contextlib import contextmanager

import pytest

from kit import both, exact, leaf_saw, listen, need
from lib.certificates import certificate
from lib.collector import find
from lib.loadgen import Connection, request_bytes
from lib.preload import wait_for_port
from webs import haproxy, nginx

V2 = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = struct.pack(">HH", 50000, 80)
# name: (header, client that it names)
SENT = {
    "v1": (b"PROXY TCP4 192.0.2.7 127.0.0.1 50000 80\r\n", "192.0.2.7"),
    "v1 tcp6": (b"PROXY TCP6 2001:db8::9 ::1 50000 80\r\n", "2001:db8::9"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v2": (V2 + b"\x21\x11\0\x0c" + socket.inet_aton("192.0.2.7") + socket.inet_aton("127.0.0.1") + PORTS, "192.0.2.7"),
    "v2 tcp6": (V2 + b"\x21\x21\0\x2b" + socket.inet_pton(socket.AF_INET6, "2001:db8::9") + bytes(16) + PORTS +
                b"\x04\0\x04abcd", "2001:db8::9"),
    "v2 local": (V2 + b"\x20\0\0\0", None),
}
TAKES = """server {
    listen 127.0.0.1:@PORT@ @TLS@ proxy_protocol; ssl_certificate @CERT@; ssl_certificate_key @KEY@;
    location / { proxy_pass http://127.0.0.1:@UP@; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }"""
CLIENT = "127.0.0.5"  # not the address that the balancer has


@contextmanager
def takes(way, up, tls=""):
    """An nginx that takes headers. gives (tree, port)"""
    cert, key = certificate()
    port = way.port()
    with nginx(way, TAKES, port=port, up=up, tls=tls, cert=cert, key=key) as (program, tree, root):
        yield tree, port


@contextmanager
def haproxy_takes(way, up):
    port = way.port()
    more = f"frontend proxied\n  mode http\n  bind 127.0.0.1:{port} accept-proxy\n  default_backend out\n"
    with haproxy(way, up, threads=1, more=more) as (program, tree, _):
        wait_for_port(port)
        tree.ports.add(port)
        yield tree, port


@contextmanager
def nghttpx_takes(way, up):
    port = way.port()
    argv = [need("nghttpx"), f"-f127.0.0.1,{port};no-tls;proxyproto", f"-b127.0.0.1,{up};;proto=http/1.1", "-n1", "--conf=/dev/null",
            "--errorlog-file=/dev/null"]
    with way.program(argv, service="nghttpx") as program:
        yield listen(program, port), port


def nothing_unseen(tree):
    metrics = tree.scrape()
    assert metrics.sum("otelauto_opaque_connections_total") == 0, metrics.text


def judge_clients(spans, client, peer="127.0.0.1"):
    for span in spans:
        assert span.attributes["client.address"] == client, span.attributes
        assert span.attributes["network.peer.address"] == peer, span.attributes
        assert span.attributes["network.peer.port"] not in (50000, 80), span.attributes


@pytest.mark.parametrize("server", [takes, haproxy_takes, nghttpx_takes], ids=["nginx", "haproxy", "nghttpx"])
@pytest.mark.parametrize("name", SENT)
def test_servers_take_a_header(ways, leaf, server, name):
    """In one piece with the first request, and before it. (In two, HAProxy and nginx refuse it.)"""
    header, client = SENT[name]

    def scenario(way):
        with server(way, leaf.port) as (tree, port):
            seen = []
            for together in (True, False):
                with Connection(port) as c:
                    c.send(header + request_bytes("/a") if together else header)
                    seen.append((c.answer() if together else c.request("/a"))[0])
                    seen.append(c.request("/b", "POST", body=b"p" * 1000)[0])
            assert seen == [200] * 4
            upstream = [body for _, body in leaf_saw(leaf, 4, way.ours)]
            if way.ours:
                spans = exact(way, tree, 4)
                judge_clients(spans, client or "127.0.0.1")
                parents = {s.span_id: s for s in spans}
                for call in exact(way, tree, 4, role="CLIENT"):
                    assert parents[call.parent_id].path == call.path
                nothing_unseen(tree)
            return seen, upstream
    both(ways, scenario)


def test_what_the_request_says_comes_first(ways, leaf):
    def scenario(way):
        with takes(way, leaf.port) as (tree, port):
            with Connection(port) as c:
                c.send(SENT["v1"][0])
                seen = c.request("/a", headers=[("X-Forwarded-For", "198.51.100.1, 192.0.2.7")])[0]
            leaf_saw(leaf, 1, way.ours)
            if way.ours:
                judge_clients(exact(way, tree, 1), "198.51.100.1")
            return seen
    both(ways, scenario)


@pytest.mark.parametrize("tls", ["", "ssl", "ssl http2"], ids=lambda v: v or "clear")
def test_curl_to_nginx_to_an_upstream(ways, leaf, tls):
    """curl sends a header and what follows by separate calls; inside TLS both know the socket that carries them."""
    scheme, count = "https" if tls else "http", 3

    def scenario(way):
        with takes(way, leaf.port, tls) as (tree, port):
            urls = [f"{scheme}://127.0.0.1:{port}/{i}" for i in range(count)]
            result = way.run([need("curl"), "-sSk", "--haproxy-protocol", "--interface", CLIENT, *urls], service="curl")
            assert result[0] == 0, result
            leaf_saw(leaf, count, way.ours)
            if way.ours:
                judge_clients(exact(way, tree, count, service="nginx"), CLIENT, peer=CLIENT)
                spans = way.collector.wait_count(3 * count)
                assert len(spans) == 3 * count, spans
                calls = {s.span_id: s for s in find(spans, kind="CLIENT")}
                servers = {s.span_id: s for s in find(spans, kind="SERVER")}
                for server in servers.values():
                    assert calls[server.parent_id].service == "curl" and calls[server.parent_id].path == server.path
                for call in find(spans, kind="CLIENT", service="nginx"):
                    assert servers[call.parent_id].path == call.path
                for call in find(spans, kind="CLIENT", service="curl"):
                    assert call.attributes["network.peer.address"] == "127.0.0.1", call.attributes
                    assert call.attributes["network.peer.port"] == port, call.attributes
                nothing_unseen(tree)
            return result
    both(ways, scenario)


@pytest.mark.parametrize("mode", ["http", "tcp"])
@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2", "send-proxy-v2 ssl verify none"])
def test_haproxy_to_nginx(ways, leaf, sends, mode):
    """Whole traces, and the client of HAProxy is nginx's. As a balancer of connections it hands on what it does not look at."""
    count = 6

    def scenario(way):
        with takes(way, leaf.port, "ssl" if "ssl" in sends else "") as (tree, port), \
                haproxy(way, f"{port} {sends}", threads=1, more=f"mode {mode}") as (program, front_tree, front):
            words = [need("curl"), "-sS", "--interface", CLIENT, *(f"http://127.0.0.1:{front}/{i}" for i in range(count))]
            result = way.run(words, service="curl")
            assert result[0] == 0, result
            leaf_saw(leaf, count, way.ours)
            if way.ours:
                judge_clients(exact(way, front_tree, count, service="haproxy"), CLIENT, peer=CLIENT)
                exact(way, front_tree, count, service="haproxy", role="CLIENT")
                judge_clients(exact(way, tree, count, service="nginx"), CLIENT)
                spans = way.collector.wait_count(5 * count)
                assert len(spans) == 5 * count, spans
                by_id = {s.span_id: s for s in spans}
                for end in find(spans, kind="CLIENT", service="nginx"):
                    line = [end]
                    while line[-1].parent_id:
                        line.append(by_id[line[-1].parent_id])
                    assert [s.service for s in line] == ["nginx", "nginx", "haproxy", "haproxy", "curl"], line
                    assert len({s.path for s in line}) == 1
                nothing_unseen(tree)
                nothing_unseen(front_tree)
            return result
    both(ways, scenario)
