"""HTTP inside TLS, with real clients and servers: as many spans as requests, right parents, the same results. OpenSSL through
sockets, own BIOs and memory BIOs, GnuTLS; what is not seen is counted."""
import os
import socket
import sys
import threading
from contextlib import contextmanager

import pytest

from kit import COUNT, HERE, OTHER_HOSTS, both, exact, leaf_saw, listen, need, wait_until
from lib.certificates import certificate, client_context, node_shares_openssl, server_context
from lib.collector import find
from lib.leaf import Leaf
from lib.loadgen import Connection, Load
from test_python_servers import HEADERS, python_with
from webs import VISIT, access_log, apache, haproxy, make_files, nginx, visit

FILES_ONLY = [r for r in VISIT if r[1] != "/away"]


@pytest.fixture
def secret_leaf():
    with Leaf(tls=server_context()) as server:
        yield server


def inside_tls(spans):
    for span in spans:
        assert span.attributes["tls.protocol.version"] in ("1.2", "1.3"), span.attributes
        assert span.attributes["tls.cipher"].startswith("TLS_"), span.attributes
        assert span.attributes.get("url.scheme", "https") == "https"
        assert span.attributes.get("url.full", "https://").startswith("https://")
        assert span.attributes["network.peer.address"] == "127.0.0.1", span.attributes
        assert span.attributes["network.peer.port"] > 0, span.attributes
    return spans


def nothing_unseen(tree):
    metrics = tree.scrape()
    assert metrics.sum("otelauto_opaque_connections_total") == 0, metrics.text


# -- clients --

CA = {"SSL_CERT_FILE": "{cert}"}
PHP = r"""
$context = stream_context_create(["ssl" => ["cafile" => "{cert}"], "http" => ["header" => "Connection: close\r\n"]]);
foreach (["/a", "/b"] as $path) echo file_get_contents("{base}$path", false, $context), "\n";
$s = stream_socket_client("tls://127.0.0.1:{port}", $code, $text, 20, STREAM_CLIENT_CONNECT, $context);
fwrite($s, "GET /c HTTP/1.1\r\nHost: leaf\r\nConnection: close\r\n\r\n");
$answer = stream_get_contents($s);
echo substr($answer, strpos($answer, "\r\n\r\n") + 4);
"""
S_CLIENT = "printf 'GET /a HTTP/1.1\\r\\nHost: leaf\\r\\nConnection: close\\r\\n\\r\\n' | " \
           "exec openssl s_client -quiet -verify_quiet -ign_eof -CAfile {cert} -connect 127.0.0.1:{port} 2>/dev/null"
# name: (words, requests, settings)
CLIENTS = {
    "curl": (lambda: [need("curl"), "-sS", "--cacert", "{cert}", "{base}/a", "{base}/b", "{base}/c?d=e"], 3, {}),
    "curl tls 1.2": (lambda: [need("curl"), "-sS", "--tls-max", "1.2", "--cacert", "{cert}", "{base}/a", "{base}/b"], 2, {}),
    "curl post": (lambda: [need("curl"), "-sS", "--cacert", "{cert}", "-d", "x=1", "{base}/post"], 1, {}),
    "curl upload": (lambda: [need("curl"), "-sS", "--cacert", "{cert}", "-T", "{folder}/www/big.bin", "{base}/up"], 1, {}),
    "curl parallel": (lambda: [need("curl"), "-sS", "--cacert", "{cert}", "-Z", "--no-progress-meter", "--parallel-max", "4",
                               "-o", "{folder}/got.#1", "{base}/p/[0-11]"], 12, {}),
    "wget": (lambda: [need("wget"), "--no-config", "--no-proxy", "--ca-certificate={cert}", "-qO-", "{base}/a", "{base}/b"], 2, {}),
    "wget post": (lambda: [need("wget"), "--no-config", "--no-proxy", "--ca-certificate={cert}", "-qO-", "--post-data=x=1",
                           "{base}/post"], 1, {}),
    "urllib": (lambda: [sys.executable, HERE / "programs" / "urls.py", "urllib", "{base}"], 22, CA),
    "http.client": (lambda: [sys.executable, HERE / "programs" / "urls.py", "http.client", "{base}"], 22, CA),
    "requests": (lambda: [sys.executable, HERE / "programs" / "urls.py", "requests", "{base}"], 22, CA),
    "aiohttp": (lambda: [sys.executable, HERE / "programs" / "urls.py", "aiohttp", "{base}"], 22, CA),
    "php": (lambda: [need("php"), "-r", PHP], 3, {}),
    "openssl s_client": (lambda: ["sh", "-c", S_CLIENT], 1, {}),
}


def words_for(argv, way, leaf):
    values = {"cert": certificate()[0], "base": f"https://127.0.0.1:{leaf.port}", "port": leaf.port, "folder": way.folder}

    def fill(word):
        word = str(word)
        for key, value in values.items():
            word = word.replace(f"{{{key}}}", str(value))
        return word
    return [fill(w) for w in argv], fill


@pytest.mark.parametrize("name", CLIENTS)
def test_clients(ways, secret_leaf, name):
    argv, count, settings = CLIENTS[name]

    def scenario(way):
        make_files(way.folder)
        way.ports[:] = [secret_leaf.port]
        words, fill = words_for(argv(), way, secret_leaf)
        before = secret_leaf.connections
        result = way.run(words, service="client", settings={k: fill(v) for k, v in settings.items()})
        assert result[0] == 0, result
        upstream = sorted(leaf_saw(secret_leaf, count, way.ours))
        if way.ours:
            spans = inside_tls(way.collector.wait_count(count, kind="CLIENT", service="client"))
            assert len(way.collector.spans) == len(spans) == count, way.collector.spans
            first = [s for s in spans if any(name == "tls.handshake" for name, _ in s.events)]
            assert len(first) == (secret_leaf.connections - before if name != "openssl s_client" else 0), "each explicit handshake is told once"
        files = {p.name: p.read_bytes() for p in way.folder.iterdir() if p.is_file()}
        return result, upstream, files
    both(ways, scenario)


@pytest.mark.parametrize("argv,error", [
    ((lambda: [need("curl"), "-sS", "{base}/a"]), "tls_certificate"),
    ((lambda: [need("wget"), "--no-config", "--no-proxy", "-t", "1", "-qO-", "{base}/a"]), None),
    ((lambda: [need("curl"), "-sS", "--tls-max", "1.1", "--cacert", "{cert}", "{base}/a"]), "tls_handshake"),
], ids=["curl distrusts", "wget distrusts", "no common version"])
def test_a_handshake_that_fails_is_a_span(ways, secret_leaf, argv, error):
    """GnuTLS leaves it to the program to distrust a certificate, when the handshake is over: no request, no span."""
    def scenario(way):
        way.ports[:] = [secret_leaf.port]
        words, _ = words_for(argv(), way, secret_leaf)
        result = way.run(words, service="client")
        assert result[0] != 0
        if way.ours and error:
            span, = way.collector.wait_count(1)
            assert (span.kind, span.name, span.status) == ("CLIENT", "connect", "error"), span
            assert span.attributes["error.type"] == error
            assert span.attributes["server.port"] == secret_leaf.port
        elif way.ours:
            assert not way.collector.spans
        return result
    both(ways, scenario)


def test_git_over_https(ways):
    """libcurl on GnuTLS; a repository served as plain files by nginx inside TLS."""
    cert, key = certificate()
    text = "server { listen 127.0.0.1:@PORT@ ssl; ssl_certificate @CERT@; ssl_certificate_key @KEY@; root @FOLDER@; }"
    git = [need("git"), "-c", "init.defaultBranch=main", "-c", "user.name=n", "-c", "user.email=e@x"]

    def scenario(way):
        port = way.port()
        script = f"set -e; {' '.join(git)} init -q work; cd work; echo hello >file; {' '.join(git)} add file; " \
                 f"GIT_AUTHOR_DATE=2000-01-01T00:00:00Z GIT_COMMITTER_DATE=2000-01-01T00:00:00Z {' '.join(git)} commit -qm one; " \
                 f"{' '.join(git)} clone -q --bare . ../bare.git; cd ../bare.git; {' '.join(git)} update-server-info"
        os.chmod(way.folder, 0o755)
        made = way.run(["sh", "-c", script])
        assert made[0] == 0, made
        with nginx(way, text, port=port, cert=cert, key=key) as (program, tree, root):
            result = way.run([*git, "clone", "-q", f"https://localhost:{port}/bare.git", "got"], service="git",
                             settings={"GIT_SSL_CAINFO": str(cert)})
            assert (way.folder / "got" / "file").read_text() == "hello\n"
            requests = access_log(root)
            if way.ours:
                exact(way, tree, len(requests))
                spans = way.collector.wait_count(len(requests), kind="CLIENT")
                assert chain_of(way.collector.spans) == len(requests) == len(inside_tls(spans))
            return result, requests
    both(ways, scenario)


def chain_of(spans):
    calls = {s.span_id: s for s in find(spans, kind="CLIENT")}
    return sum(calls[s.parent_id].trace_id == s.trace_id for s in find(spans, kind="SERVER"))


# -- servers --

SERVER_TLS = "listen 127.0.0.1:@PORT@ ssl backlog=512; ssl_certificate @CERT@; ssl_certificate_key @KEY@;"


@contextmanager
def nginx_tls(way, inside, **values):
    cert, key = certificate()
    port = way.port()
    with nginx(way, f"server {{ {SERVER_TLS} {inside} }}", port=port, cert=cert, key=key, **values) as (program, tree, root):
        yield program, tree, port


@pytest.mark.parametrize("more", ["", "sendfile off;", "ssl_protocols TLSv1.2;", "ssl_buffer_size 1k;", "ssl_conf_command Options KTLS;"],
                         ids=lambda v: v.strip(";") or "default")
def test_nginx_files(ways, more):
    def scenario(way):
        with nginx_tls(way, f"root @WWW@; {more}", workers=2) as (program, tree, port):
            seen = visit(port, FILES_ONLY, tls=client_context())
            load = Load(port, 300, 8, path=lambda _: "/small.txt", tls=client_context()).run()
            if way.ours:
                spans = inside_tls(exact(way, tree, len(FILES_ONLY) + 300))
                statuses = sorted(s.attributes["http.response.status_code"] for s in spans)
                assert statuses == sorted([s for s, _, _ in seen] + [200] * 300)
                for span in find(spans, where=lambda s: s.attributes["http.response.status_code"] == 200 and s.path == "/big.bin"):
                    assert span.attributes["http.response.body.size"] == 256 * 8192
                nothing_unseen(tree)
            way.same_fds(tree)
            return seen, load.statuses(), way.seen(program)
    both(ways, scenario)


def test_nginx_closes_connections(ways):
    def scenario(way):
        with nginx_tls(way, "location / { return 200 ok; }", workers=2) as (program, tree, port):
            load = Load(port, 100, 8, keep_alive=False, tls=client_context()).run()
            if way.ours:
                inside_tls(exact(way, tree, 100))
                nothing_unseen(tree)
            return load.statuses(), way.seen(program)
    both(ways, scenario)


def test_nginx_with_a_tls_upstream(ways, secret_leaf):
    inside = """location / { proxy_pass https://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_ssl_trusted_certificate @CERT@; proxy_ssl_verify on; proxy_ssl_name localhost; }"""

    def scenario(way):
        cert, key = certificate()
        port = way.port()
        text = f"upstream up {{ server 127.0.0.1:@UP@; keepalive 8; }} server {{ {SERVER_TLS} {inside} }}"
        with nginx(way, text, port=port, cert=cert, key=key, up=secret_leaf.port) as (program, tree, root):
            seen = visit(port, [("GET", "/a", [], b""), ("HEAD", "/b", [], b""), ("POST", "/c", [], b"p" * 200000),
                                ("GET", "/status/500", [], b"")], tls=client_context())
            upstream = leaf_saw(secret_leaf, 4, way.ours)
            load = Load(port, 300, 8, tls=client_context()).run()
            leaf_saw(secret_leaf, 300, way.ours)
            if way.ours:
                inside_tls(exact(way, tree, 304))
                inside_tls(exact(way, tree, 304, role="CLIENT"))
                parents = {s.span_id: s for s in find(way.collector.spans, kind="SERVER")}
                for call in find(way.collector.spans, kind="CLIENT"):
                    assert call.parent_id in parents and parents[call.parent_id].path == call.path, call
                nothing_unseen(tree)
            return seen, upstream, load.statuses(), way.seen(program)
    both(ways, scenario)


def test_a_chain_of_tls_proxy_and_tls_server_is_one_trace(ways, secret_leaf):
    inside = """location / { proxy_pass https://127.0.0.1:@UP@; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_ssl_trusted_certificate @CERT@; proxy_ssl_verify on; proxy_ssl_name localhost; }"""

    def scenario(way):
        cert, key = certificate()
        with nginx_tls(way, "root @WWW@;", service="files", name="files") as (files, files_tree, up), \
                nginx_tls(way, inside, service="proxy", name="proxy", up=up) as (proxy, tree, port):
            words, _ = words_for([need("curl"), "-sS", "--cacert", "{cert}"] + [f"https://localhost:{port}/small.txt?{i}"
                                                                                 for i in range(5)], way, secret_leaf)
            result = way.run(words, service="curl")
            assert result[0] == 0, result
            if way.ours:
                exact(way, files_tree, 5, service="files")
                exact(way, tree, 5, service="proxy")
                spans = way.collector.wait_count(20)
                assert len(spans) == 20
                by_id = {s.span_id: s for s in inside_tls(spans)}
                for end in find(spans, kind="SERVER", service="files"):
                    call = by_id[end.parent_id]
                    server = by_id[call.parent_id]
                    first = by_id[server.parent_id]
                    assert (call.service, server.service, first.service) == ("proxy", "proxy", "curl")
                    assert not first.parent_id and len({s.trace_id for s in (end, call, server, first)}) == 1
            return result, way.seen(proxy), way.seen(files)
    both(ways, scenario)


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_apache_mod_ssl(ways, leaf, mpm):
    def scenario(way):
        cert, key = certificate()
        port = way.port()
        more = f"""LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
  SSLEngine on
  SSLCertificateFile {cert}
  SSLCertificateKeyFile {key}
  ProxyPass /up/ http://127.0.0.1:{leaf.port}/up/
</VirtualHost>"""
        with apache(way, mpm, up=leaf.port, more=more) as (program, tree, plain_port):
            listen(program, port)
            tree.ports.add(port)
            seen = visit(port, FILES_ONLY + [("GET", "/up/a", [], b""), ("POST", "/up/c", [], b"p" * 100000)], tls=client_context())
            upstream = leaf_saw(leaf, 2, way.ours)
            load = Load(port, 300, 8, path=lambda _: "/small.txt", tls=client_context()).run()
            if way.ours:
                inside_tls(exact(way, tree, len(seen) + 300))
                parents = {s.span_id: s for s in find(way.collector.spans, kind="SERVER")}
                for call in way.collector.wait_count(2, kind="CLIENT"):
                    assert parents[call.parent_id].path == call.path
                nothing_unseen(tree)
            return seen, upstream, load.statuses()
    both(ways, scenario)


def test_haproxy_ends_tls(ways, leaf):
    """Its own BIOs: no descriptor behind the session."""
    cert, key = certificate()

    def scenario(way):
        port = way.port()
        pem = way.write("both.pem", cert.read_text() + key.read_text())
        more = f"frontend secret\n  mode http\n  bind 127.0.0.1:{port} ssl crt {pem}\n  default_backend out\n"
        with haproxy(way, leaf.port, more=more) as (program, tree, plain_port):
            listen(program, port)
            tree.ports.add(port)
            seen = visit(port, [("GET", "/up/a", [], b""), ("POST", "/up/c", [], b"p" * 100000)], tls=client_context())
            leaf_saw(leaf, 2, way.ours)
            load = Load(port, 200, 4, tls=client_context()).run()
            leaf_saw(leaf, 200, way.ours)
            if way.ours:
                inside_tls(exact(way, tree, 202))
                exact(way, tree, 202, role="CLIENT")
                nothing_unseen(tree)
            return seen, load.statuses()
    both(ways, scenario)


PYTHON = {
    "gunicorn sync": (lambda: [python_with("gunicorn"), "-m", "gunicorn", "-b", "127.0.0.1:{port}", "--certfile", "{cert}", "--keyfile",
                               "{key}", "--log-level", "error", "-w", "2", "wsgi:app"], False),
    "gunicorn threads": (lambda: [python_with("gunicorn"), "-m", "gunicorn", "-b", "127.0.0.1:{port}", "--certfile", "{cert}",
                                  "--keyfile", "{key}", "--log-level", "error", "-w", "2", "--threads", "4", "wsgi:app"], True),
    "uvicorn": (lambda: [python_with("uvicorn"), "-m", "uvicorn", "--port", "{port}", "--ssl-certfile", "{cert}", "--ssl-keyfile",
                         "{key}", "--log-level", "error", "asgi:app"], True),
}


@pytest.mark.parametrize("name", PYTHON)
def test_python_servers(ways, leaf, name):
    argv, keep_alive = PYTHON[name]
    cert, key = certificate()

    def scenario(way):
        port = way.port()
        words = [str(w).format(port=port, cert=cert, key=key) for w in argv()]
        with way.program(words, service="app", settings={"LEAF": str(leaf.port), **HEADERS}, cwd=str(OTHER_HOSTS)) as program:
            tree = listen(program, port)
            with Connection(port, tls=client_context()) as c:
                first = c.request("/x/one")[::2]
            load = Load(port, 150, 4, keep_alive=keep_alive, tls=client_context()).run()
            leaf_saw(leaf, 151, way.ours)
            if way.ours:
                inside_tls(exact(way, tree, 151))
                exact(way, tree, 151, role="CLIENT")
                nothing_unseen(tree)
            return first, load.statuses()
    both(ways, scenario)


def test_what_goes_through_a_bio_of_the_library_is_counted(ways):
    """`openssl s_server -WWW` reads and writes through BIO_f_ssl: inside the library, past the functions that we see."""
    cert, key = certificate()

    def scenario(way):
        port = way.port()
        make_files(way.folder)
        argv = [need("openssl"), "s_server", "-quiet", "-WWW", "-cert", cert, "-key", key, "-accept", f"127.0.0.1:{port}"]
        with way.program(argv, service="s_server", cwd=str(way.folder / "www")) as program:
            tree = listen(program, port)
            seen = []
            for name in ("small.txt", "big.bin"):
                with Connection(port, tls=client_context()) as c:
                    c.send(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
                    while data := c.sock.recv(65536):
                        c.buffer += data
                    seen.append(c.buffer)
            if way.ours:
                tree.wait_sum("otelauto_opaque_connections_total", 2, reason="tls")
                assert tree.scrape().sum("otelauto_opaque_connections_total") == 2
                assert not way.collector.spans
            return seen
    both(ways, scenario)


def test_what_is_not_seen_is_counted(ways, secret_leaf):
    """Node has an OpenSSL of its own inside, of which no function passes our names; or is seen, when it takes the system's."""
    script = """require("https").createServer({cert: require("fs").readFileSync(process.argv[1]), key: require("fs").readFileSync(
process.argv[2])}, (q, s) => s.end("ok")).listen(+process.argv[3], "127.0.0.1")"""
    cert, key = certificate()
    told = (1, 0) if node_shares_openssl() else (0, 1)

    def scenario(way):
        port = way.port()

        def counts():
            return tree.scrape().sum(COUNT), tree.scrape().sum("otelauto_opaque_connections_total", reason="tls")
        with way.program([need("node"), "-e", script, cert, key, port], service="node") as program:
            tree = listen(program, port)
            with Connection(port, tls=client_context()) as c:
                seen = c.request("/x")[::2]
                if way.ours:  # while the connection is still open
                    wait_until(lambda: counts() == told, what=f"exchanges and opaque connections: {told}")
            if way.ours:
                assert counts() == told and tree.scrape().sum("otelauto_opaque_connections_total") == told[1]
                assert len(way.collector.spans) <= told[0]
            return seen
    both(ways, scenario)


# -- through proxies --

class ConnectProxy:
    """Takes CONNECT and hands bytes on, itself in clear text or inside TLS. port; count of tunnels."""

    def __init__(self, tls=None):
        self.tls, self.count = tls, 0

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(sock,), daemon=True).start()

    @staticmethod
    def _pump(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _tunnel(self, sock):
        sock = self.tls.wrap_socket(sock, server_side=True) if self.tls else sock
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(1)
        port = int(head.split()[1].rpartition(b":")[2])
        up = socket.create_connection(("127.0.0.1", port))
        self.count += 1
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self._pump, args=(up, sock), daemon=True).start()
        self._pump(sock, up)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_inside_a_tunnel(ways, secret_leaf, scheme):
    """curl -x: CONNECT, the tunnel's session, and the request inside TLS inside it, which knows its socket; with an https proxy
    that is TLS inside TLS."""
    with ConnectProxy(server_context() if scheme == "https" else None) as proxy:
        def scenario(way):
            way.ports[:] = [secret_leaf.port, proxy.port]
            words, _ = words_for([need("curl"), "-sS", "-x", f"{scheme}://127.0.0.1:{proxy.port}", "--proxy-cacert", "{cert}",
                                  "--cacert", "{cert}", "{base}/a", "{base}/b"], way, secret_leaf)
            result = way.run(words, service="client")
            assert result[0] == 0, result
            upstream = leaf_saw(secret_leaf, 2, way.ours)
            if way.ours:
                spans = way.collector.wait_count(4, kind="CLIENT")
                assert len(spans) == 4, spans
                inner = find(spans, where=lambda s: s.attributes.get("http.request.method") == "GET")
                assert len(inside_tls(inner)) == 2
                assert {s.attributes["network.peer.port"] for s in inner} == {proxy.port}
                connect, = find(spans, where=lambda s: s.attributes.get("http.request.method") == "CONNECT")
                tunnel, = find(spans, where=lambda s: s.parent_id == connect.span_id)
                assert ("tls.cipher" in connect.attributes) == (scheme == "https")
            return result, upstream
        both(ways, scenario)
