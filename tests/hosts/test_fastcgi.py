"""Web servers that hand requests on to PHP-FPM: nginx, Apache, lighttpd. A request is one trace: theirs, their call, what PHP
serves, the queries PHP makes; and PHP sees the context as a parameter."""
import socket
import threading
from contextlib import contextmanager, nullcontext

import pytest

from kit import both, exact, listen, need, need_root, wait_until
from lib.collector import find
from lib.loadgen import Connection, Load
from test_mysql import made, mariadb  # noqa: F401 pylint: disable=unused-import
from test_php import fpm
from webs import APACHE_MODULES, apache, make_files, nginx

PAGE = """<?php
$given = $_SERVER['HTTP_TRACEPARENT'] ?? '-';
$list = $_SERVER['HTTP_BAGGAGE'] ?? '-';
$rows = '-';
if (isset($_GET['db'])) {
    $c = new PDO("mysql:host=127.0.0.1;port=@MYSQL@;dbname=shop", "app", "pw");
    $rows = $c->query("SELECT 40 + 2")->fetchColumn();
}
http_response_code((int)($_GET['status'] ?? 200));
$body = strlen(file_get_contents('php://input'));
echo "$given|$list|$rows|$body|", $_SERVER['REQUEST_METHOD'];
"""
NGINX = """upstream php { server @PHP@; @KEEP@ }
server {
    listen 127.0.0.1:@PORT@ backlog=512;
    client_max_body_size 8m;
    location / {
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME @SCRIPT@;
      fastcgi_pass php;
      @MORE@
    }
  }"""
# A worker's first call under load may be links: whether it waits for what it calls has not been seen yet. Hence few workers.
APACHE = """StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
LoadModule proxy_fcgi_module @MODULES@/mod_proxy_fcgi.so
ProxyPassMatch "^/(.*\\.php)$" "@PHP@/$1"
"""
LIGHTTPD = """server.modules = ( "mod_fastcgi" )
server.document-root = "@WWW@"
server.bind = "127.0.0.1"
server.port = @PORT@
server.errorlog = "@FOLDER@/error.log"
fastcgi.server = ( ".php" => (( @PHP@ )) )
"""
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# So many certain pairs that a proxy is known as one (docs/context.md, rule 5).
MORE = 10
SERVERS = [("nginx", True), ("nginx", False), ("nginx-keep", True), ("nginx-keep", False), ("apache", True), ("apache", False),
           ("lighttpd", True), ("lighttpd", False)]


@contextmanager
def php(way, mysql_port, unix, where):
    """PHP-FPM. gives its script"""
    www = make_files(way.folder)
    script = way.write("www/page.php", PAGE, mysql=mysql_port)
    script.chmod(0o644)
    conf = way.conf("php-fpm.conf", listen=where if unix else f"127.0.0.1:{where}")
    conf.write_text(conf.read_text() + "user = root\ngroup = root\n")
    argv = [fpm(), "-R", "-n", "-d", "extension=mysqlnd", "-d", "extension=pdo", "-d", "extension=pdo_mysql", "-y", conf]
    with way.program(argv, service="php") as program:
        wait_until(lambda: (way.folder / "php.pid").exists() and len(listen(program).workers()) == 4, what="php's children")
        yield www / "page.php"


@contextmanager
def web(way, name, where, unix):
    """gives (tree, port)"""
    if name.startswith("nginx"):
        port, keep = way.port(), name == "nginx-keep"
        with nginx(way, NGINX, service="web", port=port, script=way.folder / "www/page.php",
                   php=f"unix:{where}" if unix else f"127.0.0.1:{where}", keep="keepalive 4;" if keep else "",
                   more="fastcgi_keep_conn on;" if keep else "") as (_, tree, _root):
            yield tree, port
    elif name == "apache":
        target = f"unix:{where}|fcgi://localhost" if unix else f"fcgi://127.0.0.1:{where}"
        more = APACHE.replace("@MODULES@", APACHE_MODULES).replace("@PHP@", f"{target}{way.folder}/www")
        with apache(way, "event", more=more, settings={"OTEL_SERVICE_NAME": "web"}) as (_, tree, port):
            yield tree, port
    else:
        port = way.port()
        target = f'"socket" => "{where}"' if unix else f'"host" => "127.0.0.1", "port" => {where}'
        conf = way.write("lighttpd.conf", LIGHTTPD, www=way.folder / "www", port=port, php=target)
        with way.program([need("lighttpd"), "-D", "-f", conf], service="web") as program:
            yield listen(program, port), port


def asked(port, query="", method="GET", body=b"", headers=()):
    """returns (status, the trace context PHP saw, the rest of what it said)"""
    with Connection(port) as c:
        status, _, text = c.request(f"/page.php?{query}", method, list(headers), body)
    context, _, rest = text.decode().partition("|")
    return status, context, rest


@pytest.mark.parametrize("name,unix", SERVERS, ids=[f"{n}-{'unix' if u else 'tcp'}" for n, u in SERVERS])
def test_a_request_is_one_trace(ways, made, name, unix):  # noqa: F811 pylint: disable=redefined-outer-name
    need_root()

    def scenario(way):
        where = way.folder / "php.sock" if unix else way.port()
        with php(way, mysql_port, unix, where), web(way, name, where, unix) as (tree, port):
            answers = [asked(port, "db=1" if unix else "x=1"), asked(port, "status=404"),
                       asked(port, "status=500", "POST", b"x" * 300000),
                       asked(port, "a", headers=[("traceparent", f"00-{TRACE}-{SPAN}-01"), ("baggage", "k=v")])]
            for i in range(MORE):
                assert asked(port, f"more={i}")[0] == 200
            load = Load(port, 200, 3, path=lambda i: f"/page.php?{i}").run()
            if way.ours:
                judge(way, tree, answers, 204 + MORE, f"{where}" if unix else "127.0.0.1")
            return [(status, rest) for status, _, rest in answers], load.statuses()
    # What does not differ between sockets need not be asked twice.
    with mariadb(ways[0], made) if unix else nullcontext((0, None, None)) as (mysql_port, _, _server):
        answers, statuses = both(ways, scenario)
    assert [status for status, _ in answers] == [200, 404, 500, 200]
    assert [rest for _, rest in answers] == ["-|42|0|GET" if unix else "-|-|0|GET", "-|-|0|GET", "-|-|300000|POST", "k=v|-|0|GET"]
    assert statuses == {200: 200}


def judge(way, tree, answers, count, address):
    exact(way, tree, count, service="web")
    calls = exact(way, tree, count, service="web", role="CLIENT")
    served = way.collector.wait_count(count, kind="SERVER", service="php")
    queries = way.collector.wait_count(1, kind="CLIENT", service="php") if address.endswith("php.sock") else []
    by_id = {s.span_id: s for s in way.collector.spans}
    linked = []
    for s in served:
        call = by_id[s.parent_id]
        first = by_id.get(call.parent_id)
        if not call.parent_id:  # read in one turn with others, and nothing told which it was: links, the right one among them
            linked.append(call)
            assert [f for _, i in call.links if (f := by_id.get(i)) and f.attributes["url.query"] == s.attributes["url.query"]]
            assert call.trace_id == s.trace_id
            continue
        assert call.kind == "CLIENT" and call.service == first.service == "web" and first.kind == "SERVER", (s, call, first)
        assert {s.trace_id} == {call.trace_id, first.trace_id}
        assert s.attributes["url.query"] == first.attributes["url.query"], (s, first)
        assert call.attributes["http.response.status_code"] == s.attributes["http.response.status_code"]
        assert call.attributes["server.address"] == address
        assert call.attributes["url.full"] == f"http://test/page.php?{s.attributes['url.query']}"
    assert len({s.parent_id for s in served}) == len(calls) == count and len(linked) <= 12
    for query in queries:
        assert by_id[query.parent_id].attributes["url.query"] == "db=1" and query.trace_id == by_id[query.parent_id].trace_id
    assert len(way.collector.spans) == 3 * count + len(queries)
    for status, context, _ in answers:
        assert status in (200, 404, 500)
        call, = [c for c in calls if context == f"00-{c.trace_id}-{c.span_id}-{context[-2:]}"]
        assert (call.trace_id == TRACE) == (answers[3][1] == context)
        assert (call.status == "error") == (status >= 400)
    metrics = tree.scrape()
    assert metrics.sum("otelauto_injections_total", result="injected") == count - 1
    assert metrics.sum("otelauto_injections_total", result="rewritten") == 1
    assert not [v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v]


class Application:
    """Speaks FastCGI as badly as it is told: reads a request to its end, then says `answer` and closes. None: nobody
    is there."""

    def __init__(self, answer):
        self.answer, self.listener = answer, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.listener.settimeout(20)

    def __enter__(self):
        if self.answer is None:
            self.listener.close()
            return self
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def serve(self):
        sock, _ = self.listener.accept()
        with sock:
            sock.settimeout(20)
            data = b""
            while not data.endswith(b"\1\5\0\1\0\0\0\0"):
                data += sock.recv(65536)
            sock.sendall(self.answer)

    def __exit__(self, *_):
        if self.answer is not None:
            self.thread.join(20)
        self.listener.close()


def end(status):
    return b"\1\3\0\1\0\x08\0\0" + bytes([0, 0, 0, 0, status, 0, 0, 0])


@pytest.mark.parametrize("answer,error", [(end(2), "fastcgi_overloaded"), (end(1), "fastcgi_cant_mpx_conn"), (end(0), "malformed_message"),
                                          (b"", "connection_closed"), (None, "ECONNREFUSED")],
                         ids=["overloaded", "multiplex", "nothing", "closed", "refused"])
def test_what_goes_wrong_is_said(ways, answer, error):
    def scenario(way):
        way.folder.chmod(0o755)
        with Application(answer) as application:
            port = way.port()
            with nginx(way, NGINX, service="web", port=port, script="/x.php", php=f"127.0.0.1:{application.port}", keep="",
                       more="") as (_, _tree, _root):
                status = asked(port, "x")[0]
                if way.ours:
                    call, = way.collector.wait_count(1, kind="CLIENT", service="web")
                    first, = way.collector.wait_count(1, kind="SERVER", service="web")
                    assert call.attributes["error.type"] == error and "http.response.status_code" not in call.attributes
                    assert call.status == "error" and call.parent_id == first.span_id
                    assert find([first], http__response__status_code=502)
        return status
    assert both(ways, scenario) == 502
