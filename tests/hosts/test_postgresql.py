"""Programs that ask PostgreSQL: as many spans as the server says it executed, with what it was and how it went; and no literal of
a statement anywhere."""
import json
import re
import shutil
import subprocess
import sys
import threading

import pytest

from kit import HERE, command, environment, free_port, need, scrape, wait_until
from lib import app_server, registry
from lib.collector import find, in_order
from lib.preload import LIBRARY, Program, wait_for_port
from test_stores import cluster, postgres, postgres_tool  # noqa: F401  (cluster is a fixture)

SECRET = "hunter2"
BIG = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]*):")
DURATION = "db_client_operation_duration_seconds_count"

PSQL = f"""CREATE TABLE t (id serial PRIMARY KEY, name text);
INSERT INTO t (name) VALUES ('{SECRET}'), ('{SECRET}2');
BEGIN; UPDATE t SET name = '{SECRET}3' WHERE id = 1; ROLLBACK;
SELECT name FROM t WHERE name = $x${SECRET}$x$ OR id = -1;
SELECT 1 / 0;
\\copy (SELECT id FROM t) TO STDOUT
PREPARE p AS SELECT * FROM t WHERE id = $1;
EXECUTE p (1);
SELECT 1 AS "{'a' * 40}" \\; SELECT 2;
COPY t FROM STDIN;
77	{SECRET}
\\.
DROP TABLE t;
"""

PSYCOPG2 = """
import sys, psycopg2, psycopg2.extras
c = psycopg2.connect(sys.argv[1])
k = c.cursor()
k.execute("CREATE TEMP TABLE t (id int, name text)")
k.execute("SELECT count(*) FROM t WHERE name = %s", ("hunter2",)); print(k.fetchall())
c.commit()
try:
    k.execute("SELECT 1 / %s", (0,))
except psycopg2.Error as e:
    print(e.pgcode)
c.rollback()
psycopg2.extras.execute_batch(k, "INSERT INTO t VALUES (%s, 'hunter2')", [(i,) for i in range(50)], page_size=25)
n = c.cursor("named")
n.itersize = 20
n.execute("SELECT * FROM t")
print(len(list(n)))
with open("/dev/null", "w") as out:
    k.copy_expert("COPY t TO STDOUT", out)
c.commit()
c.close()
"""

PSYCOPG3 = """
import sys, psycopg
c = psycopg.connect(sys.argv[1], autocommit=True)
c.execute("CREATE TEMP TABLE t (id int, name text)")
for i in range(8):  # the sixth is prepared
    print(c.execute("SELECT count(*) FROM t WHERE name = %s", ("hunter2%d" % i,)).fetchall())
with c.cursor() as k:
    k.executemany("INSERT INTO t VALUES (%s, %s)", [(i, "hunter2") for i in range(300)])
with c.pipeline():
    for i in range(5):
        c.execute("SELECT id + 4711 FROM t WHERE id = %s", (i,))
try:
    with c.pipeline():
        c.execute("SELECT 'hunter2'")
        c.execute("SELECT 1 / (SELECT count(*) FROM t WHERE id < 0)")
        c.execute("SELECT 'hunter2'")
except psycopg.Error as e:
    print(type(e).__name__)
with c.cursor().copy("COPY t FROM STDIN") as copy:
    for i in range(10):
        copy.write_row((i, "hunter2"))
print(c.execute("SELECT count(*) FROM t").fetchall())
c.close()
"""

PHP = """
$p = new PDO("pgsql:" . str_replace(" ", ";", $argv[1]), null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$p->exec("CREATE TEMP TABLE t (id int, name text)");
$s = $p->prepare("INSERT INTO t VALUES (?, ? || 'hunter2')");
for ($i = 0; $i < 3; $i++) $s->execute([$i, "hunter2"]);
echo count($p->query("SELECT * FROM t WHERE name = 'hunter2hunter2'")->fetchAll()), "\\n";
try { $p->exec("SELECT 1 / 0"); } catch (PDOException $e) { echo $e->getCode(), "\\n"; }
$p->beginTransaction(); $p->commit();
$c = pg_connect($argv[1]);
echo pg_fetch_result(pg_query_params($c, 'SELECT $1::int + 4711', [1]), 0, 0), "\\n";
pg_send_query($c, "SELECT 'hunter2'; SELECT 2");
while ($r = pg_get_result($c)) echo pg_num_rows($r), "\\n";
pg_close($c);
"""

ASYNCPG = """
import asyncio, sys, asyncpg
async def main():
    c = await asyncpg.connect(sys.argv[2])
    await c.execute("CREATE TEMP TABLE t (id int, name text)")
    for i in range(3):
        print(await c.fetch("SELECT count(*) FROM t WHERE name = $1", "hunter2"))
    await c.executemany("INSERT INTO t VALUES ($1, $2)", [(i, "hunter2") for i in range(3000)])
    async with c.transaction():
        print(len([r async for r in c.cursor("SELECT * FROM t WHERE id < $1", 130)]))
    try:
        await c.execute("SELECT 1 / 0")
    except asyncpg.DivisionByZeroError as e:
        print(e.sqlstate)
    await c.copy_records_to_table("t", records=[(1, "hunter2")] * 10)
    print(await c.fetchval("SELECT count(*) FROM t"))
    await c.close()
asyncio.run(main())
"""


@pytest.fixture
def server(ways, cluster, folder):  # noqa: F811
    """A PostgreSQL that nobody observes, writing down what it executes; it takes TLS."""
    bare = ways[0]
    log = bare.folder / "postgres.log"
    certificate = cluster / "server.crt"
    if not certificate.exists():
        command(need("openssl"), "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost", "-out", certificate,
                "-keyout", cluster / "server.key")
        for name in ("server.crt", "server.key"):
            shutil.chown(cluster / name, "postgres", "postgres")
            (cluster / name).chmod(0o600)
    options = ["-c", "log_statement=all", "-c", "ssl=on", "-c", "autovacuum=off"]
    with postgres(bare, cluster, folder, options) as (program, _, port, sockets):
        def executed():
            return program.stderr
        yield port, sockets, executed


def times(executed, before):
    """How often the server says that it executed something since then."""
    return len(LOGGED.findall(executed()[len(before):]))


def operations(spans):
    """As often as the spans say it: what was only prepared, and what the server never began, was not executed. A simple query
    of several statements is one line of the log."""
    return sum(1 if ";" in s.attributes["db.query.text"] else s.attributes.get("db.operation.batch.size", 1) for s in spans
               if s.attributes.get("db.operation.name") != "PREPARE" and s.attributes.get("error.type") != "pipeline_aborted")


def conninfo(port, more=""):
    return f"host=127.0.0.1 port={port} user=postgres dbname=postgres {more}"


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    """Where Sql.class is."""
    folder = tmp_path_factory.mktemp("classes")
    command(need("javac"), "-d", folder, HERE / "programs" / "Sql.java")
    return folder


def drivers(port, classes):
    """Libraries that are no libpq, or go by another way to it."""
    url = f"jdbc:postgresql://127.0.0.1:{port}/postgres?user=postgres&sslmode=disable"
    zero, last = "SELECT 1 / (id - 1) FROM t", "SELECT 'hunter2', 2"
    jar = registry.maven("org.postgresql", "postgresql", "42.7.4", need("mvn"))
    return {
        "node": [need("node"), HERE / "programs" / "pg.js", f"postgresql://postgres@127.0.0.1:{port}/postgres"],
        "perl": [need("perl"), HERE / "programs" / "sql.pl", f"dbi:Pg:{conninfo(port, 'sslmode=disable').replace(' ', ';')}", "", "", zero, last],
        "jdbc": [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{classes}:{jar}", "Sql", url, zero, last],
        "libpq": [sys.executable, HERE / "programs" / "libpq_calls.py", conninfo(port, "sslmode=disable")],
        "libpq-tls": [sys.executable, HERE / "programs" / "libpq_calls.py", conninfo(port, "sslmode=require")],
    }


def clients(port, sockets):
    python = [sys.executable, "-c"]
    psql = [postgres_tool("psql"), "-X"]
    bench = [postgres_tool("pgbench"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-n", "-c", "3", "-j", "3", "-t", "20",
             "postgres", "-M"]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode="
    return {
        "psql": [*psql, conninfo(port, "sslmode=disable")],
        "psql-tls": [*psql, conninfo(port, "sslmode=require")],
        "psql-unix": [*psql, f"host={sockets} port={port} user=postgres dbname=postgres"],
        "psycopg2": [*python, PSYCOPG2, conninfo(port, "sslmode=disable")],
        "psycopg2-tls": [*python, PSYCOPG2, conninfo(port, "sslmode=require")],
        "psycopg3": [*python, PSYCOPG3, conninfo(port, "sslmode=disable")],
        "psycopg3-tls": [*python, PSYCOPG3, conninfo(port, "sslmode=require")],
        "asyncpg": [*python, ASYNCPG, "-", url + "disable"],
        "pgbench-simple": [*bench, "simple"],
        "pgbench-extended": [*bench, "extended"],
        "pgbench-prepared": [*bench, "prepared"],
    }


def play(argv, preload, collector, settings=None):
    if "pg.js" in str(argv[1]):
        settings = {**(settings or {}), "NODE_PATH": str(registry.npm("pg", "8.13.1", need("npm")))}
    stdin = PSQL if "psql" in str(argv[0]) else ""
    done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=60,
                          env=environment(collector.endpoint, "app", {**BIG, **(settings or {})}, preload=preload), check=False)
    said = re.sub(r"(?m)^(latency|initial|tps|pgbench).*\n?", "", done.stdout)
    return done.returncode, said, re.sub(r"(?m)^.*(pgbench|NOTICE|error ignored).*\n?", "", done.stderr)


def compare(argv, name, executed, collector):
    """Plays it, bare and watched: returns the spans, which are as many as the server executed."""
    bare = play(argv, False, collector)
    before, seen = executed(), len(collector.spans)
    assert play(argv, True, collector) == bare, name
    count = times(executed, before)
    assert count >= 8, (name, bare)
    spans = wait_until(lambda: operations(s := collector.spans[seen:]) >= count and s or None, what=f"{name}: {count} operations")
    assert operations(spans) == count, (name, [(s.name, s.attributes.get("db.operation.batch.size")) for s in spans])
    return in_order(spans)


def test_what_drivers_ask_is_what_was_executed(server, collector, classes):
    """node's pg, Perl's DBD::Pg, JDBC; and each way that libpq has: in steps, row by row, in pipelines, COPY, NOTIFY, cancel, ping."""
    port, _, executed = server
    told = {name: compare(argv, name, executed, collector) for name, argv in drivers(port, classes).items()}
    for name, spans in told.items():
        assert SECRET not in repr([(s.name, s.attributes) for s in spans]) and "4711" not in repr([s.attributes for s in spans])
        assert all(s.kind == "CLIENT" and s.attributes["db.query.text"] and s.attributes["db.namespace"] == "postgres" and
                   s.attributes["server.port"] == port for s in spans), name
        assert ("tls.protocol.version" in spans[1].attributes) == name.endswith("-tls")
        assert len(find(spans, error__type="22012")) == 1, name
    batch, = find(told["jdbc"], name="BATCH INSERT t")
    assert batch.attributes["db.operation.batch.size"] == 20
    assert len(find(told["jdbc"], name="SELECT t", db__query__text="SELECT name FROM t WHERE name = ? AND id < $1")) == 8
    assert len(find(told["node"], db__query__text="SELECT $1::int AS n, ?", db__response__returned_rows=1)) == 12
    assert len(find(told["perl"], name="INSERT t", db__query__text="INSERT INTO t VALUES ($1, $2)")) == 5
    for name in ("libpq", "libpq-tls"):
        spans = told[name]
        assert sorted(s.attributes["error.type"] for s in spans if s.status == "error") == \
            ["22012", "42703", "57014", "pipeline_aborted"]
        assert len(find(spans, db__query__text="SELECT ? + $1::int", db__response__returned_rows=1)) == 3
        assert len(find(spans, name="SELECT generate_series", db__response__returned_rows=3)) == 1  # row by row
        assert [s.name for s in spans if s.name.startswith(("COPY", "LISTEN", "NOTIFY"))] == ["COPY t", "COPY t", "LISTEN", "NOTIFY"]
        # Behind a backslash before a quote nothing is shown, whatever the server's setting.
        assert len(find(spans, db__query__text="SELECT ?")) == 3 and len(find(spans, name="SET")) == 2


def test_what_was_asked_is_what_was_executed(server, collector):
    """Simple and extended queries, batches, pipelines, cursors, COPY, prepared statements, errors; in the clear, over a Unix
    socket and inside TLS."""
    port, sockets, executed = server
    command(postgres_tool("pgbench"), "-i", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "postgres")
    told = {}
    for name, argv in clients(port, sockets).items():
        told[name] = compare(argv, name, executed, collector)
    for name, spans in told.items():
        assert SECRET not in repr([(s.name, s.attributes) for s in spans]) and "4711" not in repr([s.attributes for s in spans])
        for s in spans:
            a = s.attributes
            assert s.kind == "CLIENT" and a["db.system.name"] == "postgresql" and a["db.namespace"] == "postgres", (name, s)
            assert a["db.query.text"] and s.name == a["db.query.summary"], (name, s)
            if name != "psql-unix":
                assert a["server.address"] == "127.0.0.1" and a["server.port"] == port
            assert ("tls.protocol.version" in a) == name.endswith("-tls") or name.startswith("pgbench"), (name, s)
        errors = [s for s in spans if s.status == "error"]
        if not name.startswith("pgbench"):
            zero = [s for s in errors if s.attributes["error.type"] == "22012"]
            assert len(zero) == 1 and zero[0].attributes["db.response.status_code"] == "22012", (name, errors)
    aborted = [s.attributes["error.type"] for s in told["psycopg3"] if s.status == "error"]
    assert sorted(aborted) == ["22012", "pipeline_aborted"]
    insert, = find(told["asyncpg"], name="BATCH INSERT t")
    assert insert.attributes["db.operation.batch.size"] == 3000 and insert.attributes["db.query.text"] == \
        "INSERT INTO t VALUES ($1, $2)"
    rows = [s.attributes.get("db.response.returned_rows") for s in told["psql"]]
    assert 2 in rows and 1 in rows
    assert len(find(told["pgbench-prepared"], name="UPDATE pgbench_accounts")) == 60
    assert len(find(told["pgbench-prepared"], name="PREPARE UPDATE pgbench_accounts")) == 3
    assert find(told["psql"], name="SELECT t")[0].attributes["db.query.text"] == "SELECT name FROM t WHERE name = ? OR id = ?;"


@pytest.mark.parametrize("tls", ["disable", "require"])
def test_php(server, collector, tls):
    """Its extensions get a copy of libpq's calls that bypass us (RTLD_DEEPBIND), unless libpq was there before."""
    port, _, executed = server
    argv = [need("php"), "-n", *[a for e in ("pdo", "pdo_pgsql", "pgsql") for a in ("-d", f"extension={e}")], "-r", PHP, "--",
            conninfo(port, f"sslmode={tls}")]
    bare = play(argv, False, collector)
    if "PDO" in bare[2] or "pg_connect" in bare[2]:
        pytest.skip("php-pgsql is not installed: run scripts/setup hosts")
    assert bare == (0, "3\n22012\n4712\n1\n1\n", ""), bare
    assert play(argv, True, collector) == bare and not collector.spans
    before = executed()
    assert play(argv, True, collector, {"LD_PRELOAD": f"{LIBRARY} libpq.so.5"}) == bare
    count = times(executed, before)
    assert count >= 10
    spans = wait_until(lambda: operations(s := collector.spans) >= count and s, what=f"{count} operations")
    assert operations(spans) == count, [s.name for s in spans]
    assert all(s.kind == "CLIENT" and s.attributes["db.namespace"] == "postgres" for s in spans)
    assert len(find(spans, name="INSERT t", db__query__text="INSERT INTO t VALUES ($1, $2 || ?)")) == 3
    assert len(find(spans, error__type="22012")) == 1 and SECRET not in repr([s.attributes for s in spans])
    assert ("tls.protocol.version" in spans[-1].attributes) == (tls == "require")


APP = app_server.source("""
import psycopg2
from psycopg2.pool import ThreadedConnectionPool
pool = ThreadedConnectionPool(0, 64, sys.argv[1])
""", """
c = pool.getconn()
try:
    k = c.cursor()
    k.execute("SELECT %s || 'hunter2'", (self.path,))
    body = k.fetchone()[0].encode()
    c.commit()
finally:
    pool.putconn(c)
""")


@pytest.mark.parametrize("tls", ["disable", "require"])
def test_queries_are_children_of_the_requests_they_were_made_for(server, collector, tls):
    """32 requests at once, a thread and a connection of a pool each; and the metrics say as many."""
    port, _, _ = server
    metrics_port = free_port()
    settings = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port), **BIG}
    with Program([sys.executable, "-c", APP, conninfo(port, f"sslmode={tls}")], endpoint=collector.endpoint, service="app",
                 settings=settings) as app:
        app_server.visit_all(app.port, 32, 2)
        served = collector.wait_count(64, kind="SERVER", service="app")
        asked = collector.wait_count(64 * 3, kind="CLIENT", service="app")
        wait_for_port(metrics_port)
        metrics = wait_until(lambda: (m := scrape(metrics_port)).sum(DURATION) >= 64 * 3 and m, what="the metrics")
    assert len(served) == 64 and len(asked) == 64 * 3
    assert app_server.children(served, asked) == [["BEGIN", "COMMIT", "SELECT"]] * 64
    assert metrics.sum(DURATION) == 64 * 3
    labels = [dict(k) for k in metrics.series(DURATION)]
    assert {k["db_query_summary"] for k in labels} == {"BEGIN", "COMMIT", "SELECT"}
    assert all(k["db_namespace"] == "postgres" and k["db_system_name"] == "postgresql" and k["server_port"] == str(port) and
               "db_operation_name" not in k for k in labels)
    assert not [k for k, v in metrics.series("otelauto_opaque_connections_total").items() if v]
    assert SECRET not in repr([s.attributes for s in asked])


FORMS = ["'{s}'", "E'{s}\\n'", "N'{s}'", "U&'{s}'", "$${s}$$", "$q${s}$q$", "'it''s {s}'", "'{s}' '\n {s}'", "/* {s} */ 1", "B'1' -- {s}\n",
         "X'abcd' || '{s}'", "DATE '{s}'", "'{s}'::text", "INTERVAL '{s}'", "12345678", "-12345678.5e3", "0x12345678", "'\\' || '{s}'"]
PLACES = ["SELECT {v}", "SELECT * FROM nowhere WHERE a = {v} AND b IN ({v}, {v})", "INSERT INTO nowhere VALUES ({v}, {v}), ({v}, 2)",
          "UPDATE nowhere SET a = {v}, b = b || {v} WHERE c LIKE {v}", "SELECT f({v}, x => {v}) FROM a JOIN b ON a.x = {v} LIMIT 5",
          "WITH q AS (SELECT {v} AS z) SELECT * FROM q", "CALL p({v})", "SET application_name = {v}", "COPY (SELECT {v}) TO STDOUT",
          "SELECT CASE WHEN a = {v} THEN {v} ELSE {v} END FROM nowhere", "CREATE ROLE r PASSWORD {v}", "NOTIFY c, {v}"]
LEAK = """
import json, sys, psycopg2
c = psycopg2.connect(sys.argv[1])
c.autocommit = True
k = c.cursor()
for text in json.load(sys.stdin):
    for argument in (text, "PREPARE s AS " + text, "DEALLOCATE ALL"):
        try:
            k.execute(argument)
        except psycopg2.Error:
            pass
"""


def test_no_literal_leaves_the_process(server, collector, folder):
    """A secret in each place of a statement, in each form of a literal: none of it in what is sent anywhere."""
    port, _, executed = server
    texts = [place.format(v=form.format(s=SECRET)) for place in PLACES for form in FORMS]
    out = folder / "console"
    settings = {**BIG, "OTEL_TRACES_EXPORTER": "otlp,console", "OTELAUTO_LOG_FILE": str(out)}
    before = executed()
    subprocess.run([sys.executable, "-c", LEAK, conninfo(port, "sslmode=disable")], input=json.dumps(texts), text=True, timeout=60,
                   env=environment(collector.endpoint, "app", settings), check=True)
    assert executed()[len(before):].count(SECRET) > len(texts)  # it was there
    spans = collector.wait_count(3 * len(texts), kind="CLIENT")
    assert len(spans) == 3 * len(texts)
    told = repr([(s.name, s.attributes, s.events) for s in spans]) + out.read_text()
    for secret in (SECRET, "12345678"):
        assert secret not in told


def test_text_as_it_was_and_none_at_all(server, collector):
    port, _, _ = server
    argv = [postgres_tool("psql"), "-X", conninfo(port, "sslmode=disable"), "-c", f"SELECT '{SECRET}'"]
    for choice, text in (("off", None), ("raw", f"SELECT '{SECRET}'"), ("sanitized", "SELECT ?")):
        seen = len(collector.spans)
        subprocess.run([str(a) for a in argv], env=environment(collector.endpoint, "app", {"OTELAUTO_DB_QUERY_TEXT": choice}),
                       capture_output=True, timeout=30, check=True)
        wait_until(lambda: len(collector.spans) > seen, what="the span")
        span, = collector.spans[seen:]
        assert span.attributes.get("db.query.text") == text and span.name == "SELECT"


def test_as_often_as_the_server_counts_it(ways, cluster, folder, collector):  # noqa: F811
    """pg_stat_statements: calls and rows of each statement of pgbench are those of the spans. (BEGIN and END that were
    prepared are counted once for each connection there, whatever is run.)"""
    options = ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "autovacuum=off"]
    with postgres(ways[0], cluster, folder, options) as (_, _, port, _):
        psql = [postgres_tool("psql"), "-X", "-A", "-t", conninfo(port, "sslmode=disable"), "-c"]
        bench = [postgres_tool("pgbench"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
        command(*bench, "-i", "-q", "postgres")
        command(*psql, "CREATE EXTENSION pg_stat_statements")
        for mode in ("simple", "extended"):
            command(*psql, "SELECT pg_stat_statements_reset()")
            seen = len(collector.spans)
            subprocess.run([str(a) for a in (*bench, "-n", "-c", "3", "-j", "3", "-t", "20", "-M", mode, "postgres")], timeout=60, check=True,
                           capture_output=True, env=environment(collector.endpoint, "app", BIG))
            told = json.loads(command(*psql, "SELECT json_agg(s) FROM (SELECT query, calls, rows FROM pg_stat_statements "
                                             "WHERE query NOT LIKE '%pg_stat_statements%') s"))

            def plain(text):  # the server keeps every element of a list
                return re.sub(r"\?(?:, \?)+", "?", re.sub(r"\$\d+|-?\?", "?", text)).rstrip(";")
            server = sorted((plain(t["query"]), t["calls"]) for t in told if "pg_catalog" not in t["query"])
            spans = wait_until(lambda: len(s := [s for s in collector.spans[seen:] if s.attributes.get("db.operation.name") != "PREPARE"]) >=
                               sum(t["calls"] for t in told) and s, what="as many spans")
            ours = {}
            for span in spans:
                text = plain(span.attributes["db.query.text"])
                ours[text] = ours.get(text, 0) + 1
            assert sorted((t, n) for t, n in ours.items() if "pg_catalog" not in t) == server and len(server) >= 7, mode
            assert len(spans) == sum(t["calls"] for t in told), mode
            rows = sum(t["rows"] for t in told if t["query"].startswith("SELECT"))
            assert sum(s.attributes.get("db.response.returned_rows", 0) for s in spans if s.name.startswith("SELECT")) == rows > 0, mode


def test_what_is_no_query(server, collector):
    """A request to cancel, replication, a wrong password: no span that was not asked for, and what is not seen is counted."""
    port, _, _ = server
    code = ("import sys, threading, psycopg2\nc = psycopg2.connect(sys.argv[1])\nk = c.cursor()\n"
            "t = threading.Timer(0.3, c.cancel)\nt.start()\n"
            "try:\n    k.execute('SELECT pg_sleep(30)')\nexcept psycopg2.Error as e:\n    print(e.pgcode)\nt.join()")
    done = subprocess.run([sys.executable, "-c", code, conninfo(port, "sslmode=disable")], capture_output=True, timeout=30,
                          env=environment(collector.endpoint, "app"), check=True)
    assert done.stdout == b"57014\n"
    spans = in_order(collector.wait_count(2))
    assert [s.name for s in spans] == ["BEGIN", "SELECT"]
    assert spans[1].attributes["error.type"] == "57014" and spans[1].end - spans[1].start > 200_000_000
    for more in ("user=nobody", "dbname=nothing"):
        subprocess.run([str(postgres_tool("psql")), "-X", conninfo(port, f"sslmode=disable {more}"), "-c", "SELECT 1"],
                       capture_output=True, timeout=30, env=environment(collector.endpoint, "app"), check=False)
    backup = subprocess.run([str(postgres_tool("pg_basebackup")), "-d", conninfo(port, "sslmode=disable"), "-D", "-", "-F", "tar", "-X",
                             "none", "-c", "fast"], capture_output=True, timeout=60, env=environment(collector.endpoint, "app"), check=False)
    assert backup.returncode == 0, backup.stderr
    assert len(collector.spans) >= 3 and {s.attributes["db.system.name"] for s in collector.spans} == {"postgresql"}
