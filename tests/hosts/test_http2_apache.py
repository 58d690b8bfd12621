"""HTTP/2 with Apache: mod_http2 reads a connection on one thread and handles its requests on others. By prior knowledge, by the
upgrade, by ALPN inside TLS; files, and a proxy to an HTTP/1 upstream."""
import re
from contextlib import contextmanager

import pytest

from kit import both, command, exact, leaf_saw, listen, need
from lib.certificates import certificate
from webs import APACHE_MODULES, apache

TLS = """LoadModule ssl_module {modules}/mod_ssl.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
  SSLEngine on
  SSLCertificateFile {cert}
  SSLCertificateKeyFile {key}
  ProxyPass /up/ http://127.0.0.1:{up}/up/
</VirtualHost>
"""


@contextmanager
def apache2(way, up, settings=None):
    """gives (program, tree, plain port, port inside TLS)"""
    cert, key = certificate()
    port = way.port()
    more = f"LoadModule http2_module {APACHE_MODULES}/mod_http2.so\nProtocols h2 h2c http/1.1\n"
    more += TLS.format(modules=APACHE_MODULES, port=port, cert=cert, key=key, up=up)
    with apache(way, "event", up=up, more=more, settings=settings) as (program, tree, plain_port):
        listen(program, port)
        tree.ports.add(port)
        yield program, tree, plain_port, port


def asked(way, leaf, count):
    """What the upstream got, in any order."""
    return sorted(way.clean(raw.decode()) for raw, body in leaf_saw(leaf, count, way.ours))


HOW = {"prior knowledge": ([["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_code} %{http_version}\n"]], "http"),
       "upgrade": ([["nghttp", "-u"]], "http"),
       "alpn": ([["curl", "-sSk", "--http2", "-w", "%{http_code} %{http_version}\n"]], "https")}


@pytest.mark.parametrize("how", HOW)
def test_files_and_an_upstream(ways, leaf, how):
    """Requests one after another: each is one span of Apache's, child of the client's; what goes to the upstream is its child."""
    (words,), scheme = HOW[how]
    paths = ["/small.txt", "/big.bin", "/missing", "/small.txt?a=b", "/", "/up/one", "/up/two?x=1"]
    if how == "upgrade":
        paths.remove("/big.bin")  # after an upgrade Apache mostly says goodbye when the first window is used up, bare too

    def scenario(way):
        with apache2(way, leaf.port) as (program, tree, plain, secret):
            port = plain if scheme == "http" else secret
            results = [way.run([need(words[0]), *words[1:], f"{scheme}://127.0.0.1:{port}{path}"], service="client")[::2]
                       for path in paths]
            upstream = asked(way, leaf, 2)
            if way.ours:
                served = exact(way, tree, len(paths), service="apache")
                calls = {s.span_id: s for s in way.collector.wait_count(len(paths), kind="CLIENT", service="client")}
                assert {s.parent_id for s in served} == set(calls)
                for span in served:
                    assert calls[span.parent_id].path == span.path
                    assert (span.attributes["network.protocol.version"], span.attributes["url.scheme"]) == ("2", scheme)
                by_id = {s.span_id: s for s in served}
                passed = way.collector.wait_count(2, kind="CLIENT", service="apache")
                assert sorted(s.path for s in passed) == ["/up/one", "/up/two"]
                assert all(by_id[s.parent_id].path == s.path for s in passed)
                assert len(way.collector.spans) == 2 * len(paths) + 2
                assert tree.scrape().sum("otelauto_opaque_connections_total") == 0
            return results, upstream
    both(ways, scenario)


def lines(result):
    return re.findall(r"^(?:requests|status codes): .*", result[1], re.M)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_h2load(ways, leaf, scheme):
    """Many streams at a time: exact counts, every server span a child of the client span it was made for."""
    def scenario(way):
        with apache2(way, leaf.port) as (program, tree, plain, secret):
            url = f"{scheme}://127.0.0.1:{plain if scheme == 'http' else secret}"
            result = way.run([need("h2load"), "-n1000", "-c4", "-m20", f"{url}/small.txt", f"{url}/missing", f"{url}/index.html"],
                             service="client")
            if way.ours:
                served = exact(way, tree, 1000, service="apache")
                calls = {s.span_id: s for s in way.collector.wait_count(1000, kind="CLIENT", service="client")}
                assert len(calls) == len({s.parent_id for s in served}) == 1000
                assert all(calls[s.parent_id].path == s.path for s in served)
                assert len(way.collector.spans) == 2000
            return lines(result)
    both(ways, scenario)


@pytest.mark.parametrize("traced", [True, False], ids=["client with context", "client without"])
def test_a_proxy_under_load(ways, leaf, traced):
    """What Apache's worker threads ask the upstream has the right parent; without a context from the client the right one or none."""
    count = 300

    def scenario(way):
        with apache2(way, leaf.port) as (program, tree, plain, secret):
            uris = way.write("uris", "".join(f"http://127.0.0.1:{plain}/up/{i}\n" for i in range(count)))
            argv = [need("h2load"), f"-n{count}", "-c1", "-m20", "-i", uris]
            result = way.run(argv, service="client") if traced else (0, command(*argv).decode(), "")
            upstream = asked(way, leaf, count)
            if way.ours:
                served = {s.span_id: s for s in exact(way, tree, count, service="apache")}
                passed = exact(way, tree, count, service="apache", role="CLIENT") if not traced else \
                    way.collector.wait_count(count, kind="CLIENT", service="apache")
                with_parent = [s for s in passed if s.parent_id]
                assert all(served[s.parent_id].path == s.path for s in with_parent), "a wrong parent"
                assert len({s.parent_id for s in with_parent}) == len(with_parent)
                assert len(with_parent) == count if traced else len(with_parent) > count / 2
                assert len(way.collector.spans) == count * (3 if traced else 2)
            return lines(result), upstream
    both(ways, scenario)


def test_a_proxy_asked_by_a_client_without_context(ways, leaf):
    """A request at a time. The worker may call before the thread that read the request waits for more: it has a link then, until
    the process is known as a proxy (rule 5)."""
    count = 150

    def scenario(way):
        with apache2(way, leaf.port) as (program, tree, plain, secret):
            result = command("curl", "-sSk", "--http2", f"https://127.0.0.1:{secret}/up/[1-{count}]")
            upstream = asked(way, leaf, count)
            if way.ours:
                served = {s.path: s for s in exact(way, tree, count, service="apache")}
                passed = {s.path: s for s in exact(way, tree, count, service="apache", role="CLIENT")}
                for path, call in passed.items():
                    server = served[path]
                    assert call.parent_id == server.span_id or call.links == [(server.trace_id, server.span_id)], call
                assert sum(bool(call.parent_id) for call in passed.values()) > count / 2
            return result, upstream
    both(ways, scenario)
