"""Programs that ask MariaDB, the protocol of MySQL: as many spans as the server's general log has commands, with what they were and
how they went; and no literal of a statement anywhere."""
import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit import HERE, command, environment, free_port, need, need_root, scrape, wait_until
from lib import app_server, registry
from lib.collector import find, in_order
from lib.loadgen import Connection
from lib.preload import Program, wait_for_port

SECRET = "hunter2"
BIG = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
DURATION = "db_client_operation_duration_seconds_count"
# Commands in the general log that are a question and an answer; and those that are one and not in it.
LOGGED = re.compile(r"(?m)^(?:\d{6} [ \d]\d:\d\d:\d\d)?\t+ *\d+ (Query|Prepare|Execute|Init DB|Statistics|Fetch|Field List|Reset stmt|Change user)\b")
UNLOGGED = ("PING", "SET_OPTION", "RESET_CONNECTION")

CLI = f"""use shop;
CREATE TABLE t (id int PRIMARY KEY auto_increment, name text);
INSERT INTO t (name) VALUES ('it\\'s {SECRET}'), ("{SECRET}");
BEGIN; UPDATE t SET name = '{SECRET}3' WHERE id = 1; ROLLBACK;
SELECT name FROM t WHERE name = "it's \\"{SECRET}" OR id = -1;
SELECT nope FROM t;
SELECT count(*) FROM t a, t b; -- {SECRET}
use mysql;
SELECT count(*) > 0 FROM user;
DROP TABLE shop.t;
"""

PYMYSQL = """
import sys, pymysql
more = {"ssl": {"check_hostname": False, "verify_mode": "none"}} if sys.argv[2] == "tls" else {"ssl_disabled": True}
c = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app", password="pw", database="shop", **more)
k = c.cursor()
k.execute("CREATE TEMPORARY TABLE t (id int, name text)")
k.executemany("INSERT INTO t VALUES (%s, %s)", [(i, "hunter2") for i in range(50)])
k.execute("SELECT count(*) FROM t WHERE name = %s", ("hunter2's",))
print(k.fetchall())
try:
    k.execute("SELECT nope FROM t")
except pymysql.Error as e:
    print(e.args[0])
k.execute("SELECT REPEAT('x', 3000000), id FROM t LIMIT 3")
print([len(r[0]) for r in k.fetchall()])
c.select_db("mysql")
k.execute("SELECT count(*) > 0 FROM user")
print(k.fetchall())
c.ping()
c.close()
"""

PHP = """<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$c = mysqli_init();
$c->real_connect("127.0.0.1", "app", "pw", "shop", (int)$argv[1], null, $argv[2] == "tls" ? MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT : 0);
$c->query("CREATE TEMPORARY TABLE t (id int, name text)");
$s = $c->prepare("INSERT INTO t VALUES (?, concat(?, 'hunter2', 4711))");
for ($i = 0; $i < 3; $i++) { $n = "hunter2"; $s->bind_param("is", $i, $n); $s->execute(); }
$s->close();
$s = $c->prepare("SELECT name FROM t WHERE id > ?");
$i = 0; $s->bind_param("i", $i); $s->execute();
echo count($s->get_result()->fetch_all()), "\\n";
$c->multi_query("SELECT 'hunter2'; SELECT 2");
do { if ($r = $c->store_result()) echo count($r->fetch_all()), "\\n"; } while ($c->next_result());
try { $c->query("SELECT nope FROM t"); } catch (mysqli_sql_exception $e) { echo $e->getCode(), "\\n"; }
$p = new PDO("mysql:host=127.0.0.1;port=$argv[1];dbname=mysql", "app", "pw", [PDO::ATTR_EMULATE_PREPARES => false]);
$s = $p->prepare("SELECT count(*) > 0 FROM user WHERE user <> ?");
foreach (["hunter2", "b"] as $n) { $s->execute([$n]); echo $s->fetchColumn(), "\\n"; }
"""


@pytest.fixture(scope="module")
def made():
    """A fresh data folder that the mysql user owns, and a certificate."""
    need_root()
    install = need("mariadb-install-db")
    folder = Path(tempfile.mkdtemp(prefix="otelauto-host-"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir()
    shutil.chown(data, "mysql", "mysql")
    command(install, "--no-defaults", f"--datadir={data}", "--user=mysql", "--auth-root-authentication-method=normal")
    command(need("openssl"), "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost", "-out", data / "server.crt",
            "-keyout", data / "server.key")
    for name in ("server.crt", "server.key"):
        shutil.chown(data / name, "mysql", "mysql")
    yield data
    shutil.rmtree(folder)


@contextmanager
def mariadb(way, made, **options):
    """A server that writes down what it is asked."""
    port = way.port()
    data, log, socket = way.folder / "data", way.folder / "general.log", way.folder / "mysql.sock"
    command("cp", "-a", made, data)
    shutil.chown(way.folder, "mysql", "mysql")
    argv = [need("mariadbd"), "--no-defaults", f"--datadir={data}", "--user=mysql", f"--socket={socket}", f"--port={port}",
            "--bind-address=127.0.0.1", "--general-log=1", f"--general-log-file={log}", "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M", f"--ssl-cert={data}/server.crt", f"--ssl-key={data}/server.key", "--skip-name-resolve"]
    with way.program(argv, **options) as program:
        wait_for_port(port, 40)
        root = [need("mariadb"), "--no-defaults", "-S", socket, "-u", "root", "-e"]
        wait_until(lambda: subprocess.run([*root, "SELECT 1"], capture_output=True).returncode == 0, 30, "the database")
        command(*root, "CREATE DATABASE shop; CREATE USER app@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO app@'127.0.0.1'")
        yield port, log, program


@pytest.fixture
def server(ways, made):
    """Nobody observes this one."""
    with mariadb(ways[0], made) as (port, log, _):
        yield port, log


def asked(log, before):
    return LOGGED.findall(log.read_text(errors="replace")[before:])


def operations(spans):
    """As many as the server logs: not what could not be prepared."""
    return sum(s.attributes.get("db.operation.batch.size", 1) if s.name.startswith("BATCH") else 1 for s in spans
               if s.status != "error" or s.attributes.get("db.operation.name") != "PREPARE")


def clients(port, script):
    cli = [need("mariadb"), "--no-defaults", "--skip-reconnect", "--force", "-h", "127.0.0.1", "-P", port, "-u", "app", "-ppw"]
    python = [sys.executable, "-c", PYMYSQL, port]
    php = [need("php"), script, port]
    return {"cli": [*cli, "--skip-ssl"], "cli-tls": [*cli, "--ssl"], "pymysql": [*python, "-"], "pymysql-tls": [*python, "tls"],
            "php": [*php, "-"], "php-tls": [*php, "tls"]}


def drivers(port, folder):
    """Libraries that are no libmariadb, or go by another way to it."""
    command(need("javac"), "-d", folder, HERE / "programs" / "Sql.java")
    url = f"jdbc:mariadb://127.0.0.1:{port}/shop?user=app&password=pw&useServerPrepStmts=true"
    wrong, last = "SELECT nope FROM t", "SELECT count(*) > 'hunter2' FROM user"
    jar = registry.maven("org.mariadb.jdbc", "mariadb-java-client", "3.5.1", need("mvn"))
    return {
        "node": [need("node"), HERE / "programs" / "mysql2.js", port],
        "perl": [need("perl"), HERE / "programs" / "sql.pl", f"dbi:mysql:host=127.0.0.1;port={port};database=shop;mysql_server_prepare=1", "app",
                 "pw", wrong, last.replace("user", "mysql.user")],
        "jdbc": [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{folder}:{jar}", "Sql", url, wrong,
                 last.replace("user", "mysql.user")],
        "libmariadb": [sys.executable, HERE / "programs" / "libmariadb_calls.py", port],
    }


def play(argv, preload, collector, settings=None):
    if "mysql2.js" in str(argv[1]):
        settings = {**(settings or {}), "NODE_PATH": str(registry.npm("mysql2", "3.11.5", need("npm")))}
    stdin = CLI if "mariadb" in str(argv[0]) else ""
    done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=60, check=False,
                          env=environment(collector.endpoint, "app", {**BIG, **(settings or {})}, preload=preload))
    return done.returncode, done.stdout, done.stderr


def compare(argv, name, log, collector):
    """Plays it, bare and watched: returns the spans, which are as many as the server logged. Of libmariadb_calls.py it does not log
    that two cursors are read."""
    bare = play(argv, False, collector)
    before, seen = len(log.read_text(errors="replace")), len(collector.spans)
    assert play(argv, True, collector) == bare, name
    lines = asked(log, before) + ["Fetch"] * (2 * (name == "libmariadb"))
    assert len(lines) >= 8, (name, bare)

    def spans_so_far():
        return [s for s in collector.spans[seen:] if s.attributes.get("db.operation.name") not in UNLOGGED]
    spans = wait_until(lambda: operations(s := spans_so_far()) >= len(lines) and s, what=f"{name}: {len(lines)} spans: {lines}")
    assert operations(spans) == len(lines), (name, lines, [s.name for s in spans])
    assert len([s for s in find(spans, db__operation__name="PREPARE") if s.status != "error"]) == lines.count("Prepare"), name
    return in_order(spans)


def test_what_drivers_ask_is_what_the_server_logged(server, collector, folder):
    """node's mysql2, Perl's DBD::mysql, JDBC; and each way that libmariadb has: in steps, several results, statements with and
    without a cursor, without waiting, another user, another database."""
    port, log = server
    told = {name: compare(argv, name, log, collector) for name, argv in drivers(port, folder).items()}
    for name, spans in told.items():
        assert SECRET not in repr([(s.name, s.attributes) for s in spans])
        assert all(s.kind == "CLIENT" and s.attributes["db.system.name"] == "mysql" and s.attributes["server.port"] == port
                   for s in spans), name
        assert len(find(spans, error__type="1054")) == (2 if name == "libmariadb" else 1), name
        assert len([s for s in spans if s.name.startswith("SELECT") and s.name.endswith("user")]) == 1, name
    assert len(find(told["node"], db__query__text="SELECT ? AS n, ?", db__response__returned_rows=1)) == 12
    assert len(find(told["perl"], db__query__text="INSERT INTO t VALUES (?)", name="INSERT t")) == 5
    spans = told["libmariadb"]
    assert [s.attributes["db.response.returned_rows"] for s in spans if s.name == "SELECT t" and s.status != "error" and
            s.attributes["db.query.text"] == "SELECT ?, id FROM t"] == [2, 2, 2, 2, 0, 2, 0, 2]  # with a cursor the second is a FETCH
    several, = find(spans, name="SELECT SELECT t SELECT")
    assert several.attributes["db.response.returned_rows"] == 3 and several.attributes["error.type"] == "1054"
    assert {s.attributes["db.operation.name"] for s in spans if "db.operation.name" in s.attributes} == \
        {"PREPARE", "USE", "STATISTICS", "CHANGE_USER"}
    slow, = find(spans, db__query__text="SELECT sleep(?), ?")
    assert slow.end - slow.start >= 50_000_000


def test_what_was_asked_is_what_the_server_logged(server, collector, folder):
    """Queries, prepared statements, several results, databases, errors; by libmariadb, mysqlnd and PyMySQL, in the clear and
    inside TLS."""
    port, log = server
    script = folder / "client.php"
    script.write_text(PHP)
    told = {}
    for name, argv in clients(port, script).items():
        told[name] = compare(argv, name, log, collector)
    for name, spans in told.items():
        assert SECRET not in repr([(s.name, s.attributes) for s in spans]) and "4711" not in repr([s.attributes for s in spans])
        for s in spans:
            a = s.attributes
            assert s.kind == "CLIENT" and a["db.system.name"] == "mysql", (name, s)
            assert a["server.address"] == "127.0.0.1" and a["server.port"] == port
            tls = "tls.protocol.version" in a
            assert tls == name.endswith("-tls") or name.startswith("php"), (name, s)
        assert len(find(spans, error__type="1054", db__response__status_code="1054")) == 1, name
        assert [s for s in spans if s.status == "error"] == find(spans, error__type="1054")
        assert find(spans, name="SELECT user", db__namespace="mysql"), (name, [(s.name, s.attributes) for s in spans])
    assert any("tls.protocol.version" in s.attributes for s in told["php-tls"])
    assert find(told["cli"], name="SELECT t")[0].attributes["db.query.text"] == "SELECT name FROM t WHERE name = ? OR id = ?"
    assert find(told["cli"], name="UPDATE t", db__namespace="shop")
    assert find(told["php"], name="INSERT t")[0].attributes["db.query.text"] == "INSERT INTO t VALUES (?, concat(?, ?, ?))"
    assert len(find(told["php"], name="INSERT t")) == 3
    assert find(told["pymysql"], name="SELECT t", db__response__returned_rows=3)


APP = app_server.source("""
import pymysql
local = threading.local()
""", """
if not hasattr(local, "c"):
    local.c = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app", password="pw", database="shop", autocommit=None)
k = local.c.cursor()
k.execute("SELECT concat(%s, 'hunter2')", (self.path,))
body = k.fetchone()[0].encode()
""")


def test_queries_are_children_of_the_requests_they_were_made_for(server, collector):
    port, _ = server
    metrics_port = free_port()
    with Program([sys.executable, "-c", APP, port], endpoint=collector.endpoint, service="app",
                 settings={"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port), **BIG}) as app:
        app_server.visit_all(app.port, 24, 3)
        served = collector.wait_count(72, kind="SERVER", service="app")
        queries = collector.wait_count(72, kind="CLIENT", name="SELECT")
        all_of_them = wait_until(lambda: [s for s in collector.spans if s.kind == "CLIENT"], what="calls")
        wait_for_port(metrics_port)
        metrics = wait_until(lambda: (m := scrape(metrics_port)).sum(DURATION) >= len(all_of_them) and m, what="the metrics")
    assert app_server.children(served, queries) == [["SELECT"]] * 72
    labels = [dict(k) for k in metrics.series(DURATION, db_query_summary="SELECT")]
    assert metrics.sum(DURATION, db_query_summary="SELECT") == 72
    assert all(k["db_namespace"] == "shop" and k["db_system_name"] == "mysql" and k["server_port"] == str(port) for k in labels)
    assert not [k for k, v in metrics.series("otelauto_opaque_connections_total").items() if v]


FORMS = ["'{s}'", '"{s}"', "N'{s}'", "_utf8mb4'{s}'", "'it''s {s}'", "'it\\'s {s}'", "'{s}' '{s}'", "'a' /* {s} */", "'a' -- {s}\n", "'a' # {s}\n",
          "X'abcd', '{s}'", "DATE '{s}'", "12345678", "-12345678.5e3", "0x12345678", "/*!40000 '{s}' */ + 1", "'\\\\', '{s}'", "'\\\\\\'{s}'"]
PLACES = ["SELECT {v}", "SELECT * FROM nowhere WHERE a = {v} AND b IN ({v}, {v})", "INSERT INTO nowhere VALUES ({v}, {v}), ({v}, 2)",
          "UPDATE nowhere SET a = {v}, b = concat(b, {v}) WHERE c LIKE {v}", "SELECT f({v}) FROM a JOIN b ON a.x = {v} LIMIT 5",
          "REPLACE INTO nowhere SET a = {v}", "CALL p({v})", "SET @a = {v}", "PREPARE s FROM {v}", "SELECT 1; SELECT {v}",
          "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', @b = {v}", "SET SESSION sql_mode = '', @b = {v}"]
LEAK = """
import json, sys, pymysql
from pymysql.constants import CLIENT
c = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app", password="pw", database="shop", client_flag=CLIENT.MULTI_STATEMENTS)
k = c.cursor()
for text in json.load(sys.stdin):
    try:
        k.execute(text)
        while k.nextset():
            pass
    except pymysql.Error:
        pass
"""


def test_no_literal_leaves_the_process(server, collector, folder):
    """A secret in each place of a statement, in each form of a literal, while the meaning of a backslash changes."""
    port, log = server
    texts = [place.format(v=form.format(s=SECRET)) for place in PLACES for form in FORMS]
    out = folder / "console"
    settings = {**BIG, "OTEL_TRACES_EXPORTER": "otlp,console", "OTELAUTO_LOG_FILE": str(out)}
    subprocess.run([sys.executable, "-c", LEAK, str(port)], input=json.dumps(texts), text=True, timeout=60,
                   env=environment(collector.endpoint, "app", settings), check=True)
    assert log.read_text(errors="replace").count(SECRET) > len(texts) / 2  # it was there
    spans = collector.wait_count(len(texts), kind="CLIENT")
    told = repr([(s.name, s.attributes, s.events) for s in spans]) + out.read_text()
    for secret in (SECRET, "12345678"):
        assert secret not in told


def test_the_server_itself_is_left_alone(ways, made, collector):
    """With the library inside, it serves as ever; its connections count as a database's, and make no spans."""
    metrics_port = free_port()
    with mariadb(ways[1], made, settings={"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port)}) as (port, _, _program):
        done = play([need("mariadb"), "--no-defaults", "-h", "127.0.0.1", "-P", port, "-u", "app", "-ppw", "--force"], False, collector)
        assert "1\n" in done[1]
        wait_for_port(metrics_port)
        metrics = wait_until(lambda: (m := scrape(metrics_port)).sum("otelauto_opaque_connections_total", reason="served_database") >= 1
                             and m, what="its connections")
        assert metrics.sum("otelauto_opaque_connections_total", reason="served_database") == \
            metrics.sum("otelauto_connections_total", role="server")
    assert not collector.spans


def test_compression_is_not_looked_into(server, collector):
    port, _ = server
    metrics_port = free_port()
    argv = [need("mariadb"), "--no-defaults", "--compress", "-h", "127.0.0.1", "-P", str(port), "-u", "app", "-ppw", "shop", "-e",
            f"SELECT '{SECRET}'; SELECT sleep(1)"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(
            collector.endpoint, "app", {"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port)})) as client:
        wait_for_port(metrics_port)
        wait_until(lambda: scrape(metrics_port).sum("otelauto_opaque_connections_total", reason="tunnel") == 1, what="a tunnel")
        assert SECRET.encode() in client.communicate(timeout=30)[0]
    assert not collector.spans


PAGE = """<?php
$c = new mysqli("127.0.0.1", "app", "pw", "shop", (int)$_SERVER["MYSQL"]);
$s = $c->prepare("SELECT concat(?, 'hunter2')");
$s->bind_param("s", $_SERVER["REQUEST_URI"]);
$s->execute();
echo $s->get_result()->fetch_row()[0];
"""


def test_queries_of_php_behind_nginx(ways, made, collector, leaf):
    """nginx, PHP-FPM, MariaDB: one trace, the caller's when it has one."""
    from test_php import SITE, fpm
    from webs import nginx

    from kit import listen
    way = ways[1]
    with mariadb(ways[0], made) as (port, _, _server):
        script = way.write("page.php", PAGE)
        script.chmod(0o644)
        socket = way.folder / "php.sock"
        conf = way.conf("php-fpm.conf", listen=socket)
        conf.write_text(conf.read_text() + "user = root\ngroup = root\n")
        argv = [fpm(), "-R", "-n", "-d", "extension=mysqlnd", "-d", "extension=mysqli", "-y", conf]
        web_port = way.port()
        site = SITE.replace("fastcgi_param LEAF @LEAF@;", f"fastcgi_param MYSQL {port};")
        with way.program(argv, service="php") as program:
            wait_until(lambda: (way.folder / "php.pid").exists() and len(listen(program).workers()) == 4, what="php's children")
            with nginx(way, site, service="nginx", port=web_port, script=script, leaf=leaf.port, php=f"unix:{socket}"):
                for i in range(6):
                    with Connection(web_port) as c:
                        given = [("traceparent", f"00-{i + 1:032x}-b7ad6b7169203331-01")] if i % 2 else []
                        assert c.request(f"/p{i}", headers=given)[2] == f"/p{i}hunter2".encode()
                queries = collector.wait_count(12, kind="CLIENT", service="php")
                served = {s.span_id: s for s in collector.wait_count(6, kind="SERVER", service="php")}
                asked = {s.span_id: s for s in collector.wait_count(6, kind="CLIENT", service="nginx")}
                first = {s.span_id: s for s in collector.wait_count(6, kind="SERVER", service="nginx")}
    assert len(queries) == 12 and {s.name for s in queries} == {"PREPARE SELECT", "SELECT"}
    for s in queries:
        parent = served[s.parent_id]
        call = asked[parent.parent_id]
        root = first[call.parent_id]
        assert {s.trace_id} == {parent.trace_id, call.trace_id, root.trace_id} and parent.path == call.path == root.path
        given = int(root.path[2:])
        assert root.parent_id == "b7ad6b7169203331" and s.trace_id == f"{given + 1:032x}" if given % 2 else not root.parent_id
    assert len({s.trace_id for s in queries}) == 6 and len(collector.spans) == 12 + 3 * 6
