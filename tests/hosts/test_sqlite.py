"""Programs that have SQLite run statements: as many spans as SQLite itself traces, with what it was and how it went; nothing that
the program is told changes; and no literal of a statement anywhere."""
import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from kit import environment, free_port, need, scrape, wait_until
from lib import app_server
from lib.collector import find, in_order
from lib.preload import Program, wait_for_port

SECRET = "hunter2"
BIG = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
DURATION = "db_client_operation_duration_seconds_count"


def play(argv, collector=None, stdin="", **settings):
    done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=60, check=False,
                          env=environment(collector and collector.endpoint, "app", {**BIG, **settings}, preload=collector is not None))
    return done.returncode, done.stdout, done.stderr


CLI = f"""CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO t (name) VALUES ('{SECRET}'), ('b');
BEGIN; UPDATE t SET name = '{SECRET}' WHERE id = 1; ROLLBACK;
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 500) INSERT INTO t (name) SELECT '{SECRET}' FROM c;
CREATE VIRTUAL TABLE words USING fts5(word);
INSERT INTO words VALUES ('{SECRET}');
SELECT word FROM words WHERE words MATCH '{SECRET}';
SELECT count(*), name FROM t WHERE name = '{SECRET}' GROUP BY name;
VACUUM;
DROP TABLE words;
"""


def test_the_command_line_tool(collector, tmp_path):
    """What full text search and VACUUM run for themselves is not what was asked for."""
    bare = play([need("sqlite3"), tmp_path / "bare.db"], stdin=CLI)
    assert play([need("sqlite3"), tmp_path / "cli.db"], collector, stdin=CLI) == bare and not bare[0]
    spans = collector.wait_count(12, kind="CLIENT")
    assert [s.name for s in in_order(spans)] == [
        "CREATE TABLE t", "INSERT t", "BEGIN", "UPDATE t", "ROLLBACK", "SELECT SELECT c INSERT t SELECT c", "CREATE", "INSERT words",
        "SELECT words", "SELECT t", "VACUUM", "DROP TABLE words"]
    assert SECRET not in repr([(s.name, s.attributes) for s in spans])
    assert find(spans, name="SELECT t")[0].attributes["db.response.returned_rows"] == 1


PYTHON = """
import sqlite3, sys
traced = []
c = sqlite3.connect(sys.argv[1])
c.set_trace_callback(traced.append)
c.create_function("twice", 1, lambda x: x * 2)
c.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
c.executemany("INSERT INTO t (name) VALUES (?)", [("hunter2%d" % i,) for i in range(200)])
c.commit()
print(len(c.execute("SELECT * FROM t WHERE name LIKE 'hunter2%' AND id IN (1, 2, 3)").fetchall()))
print(c.execute("SELECT id FROM t").fetchone())
print([r for _, r in zip(range(5), c.execute("SELECT twice(id) FROM t"))])
with c:
    c.execute("UPDATE t SET name = ? WHERE id = ?", ("hunter2", 7))
for text in ("INSERT INTO t VALUES (1, 'hunter2')", "SELECT 1/'hunter2' FROM nosuch", "hunter2 FROM"):
    try:
        c.execute(text)
    except sqlite3.Error as e:
        print(type(e).__name__, e)
c.rollback()
c.executescript("DELETE FROM t WHERE name = 'hunter2'; DROP TABLE t; VACUUM")
c.backup(sqlite3.connect(":memory:"))
c.close()
print("traced", len(traced))
"""


@pytest.mark.parametrize("where", ["app.db", ":memory:"])
def test_what_python_has_run_is_what_was_traced(collector, tmp_path, where):
    """Its module is loaded later, and brings the library along."""
    file = where if where[0] == ":" else tmp_path / where
    argv = [sys.executable, "-c", PYTHON, file]
    bare = play(argv)
    if where[0] != ":":
        file.unlink()
    assert play(argv, collector) == bare and not bare[0]
    traced = int(re.search(r"traced (\d+)", bare[1]).group(1))
    collector.wait_count(traced + 2, kind="CLIENT")
    failed = [s for s in collector.spans if s.attributes.get("db.operation.name") == "PREPARE"]
    assert len(collector.spans) == traced + len(failed) and len(failed) == 2  # those never began to run
    assert {s.attributes.get("db.namespace") for s in collector.spans} == {None if where[0] == ":" else "app.db"}
    assert SECRET not in repr([(s.name, s.attributes) for s in collector.spans if s not in failed])
    assert len(find(collector.spans, name="INSERT t")) == 201
    assert [s.attributes["db.response.status_code"] for s in find(collector.spans, name="INSERT t") if s.status == "error"] == ["19"]


APP = app_server.source("""
import sqlite3
local = threading.local()
""", """
if not hasattr(local, "c"):
    local.c = sqlite3.connect(sys.argv[1], isolation_level=None)
body = local.c.execute("SELECT ? || 'hunter2' FROM numbers WHERE n < 3", (self.path,)).fetchall()[0][0].encode()
local.c.execute("SELECT n FROM numbers").fetchone()
""")


def test_statements_are_children_of_the_requests_they_were_made_for(collector, tmp_path):
    """32 requests at once, a thread and a connection each; and the metrics say as many."""
    file, metrics_port = tmp_path / "app.db", free_port()
    play([need("sqlite3"), file], stdin="CREATE TABLE numbers (n); INSERT INTO numbers VALUES (1), (2), (3);")
    with Program([sys.executable, "-c", APP, file], endpoint=collector.endpoint, service="app",
                 settings={"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port), **BIG}) as server:
        app_server.visit_all(server.port, 32, 3)
        served = collector.wait_count(96, kind="SERVER")
        asked = collector.wait_count(192, kind="CLIENT")
        wait_for_port(metrics_port)
        metrics = wait_until(lambda: (m := scrape(metrics_port)).sum(DURATION) >= 192 and m, what="the metrics")
    assert app_server.children(served, asked) == [["SELECT numbers", "SELECT numbers"]] * 96
    labels, = [dict(k) for k in metrics.series(DURATION)]
    assert (labels["db_system_name"], labels["db_namespace"], labels["db_query_summary"]) == ("sqlite", "app.db", "SELECT numbers")
    assert metrics.sum(DURATION) == 192 and "server_address" not in labels


PERL = """
use DBI;
my $c = DBI->connect("dbi:SQLite:dbname=$ARGV[0]", "", "", { RaiseError => 0, PrintError => 0, AutoCommit => 1 });
$c->do("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
$c->begin_work;
my $s = $c->prepare("INSERT INTO t (name) VALUES (?)");
$s->execute("hunter2$_") for 1 .. 20;
$c->commit;
print scalar(@{ $c->selectall_arrayref("SELECT * FROM t WHERE name <> 'hunter2'") }), "\\n";
$c->do("INSERT INTO t VALUES (1, 'hunter2')") or print $c->errstr, "\\n";
$c->disconnect;
"""
PHP = """
$c = new PDO("sqlite:" . $argv[1]);
$c->exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
$s = $c->prepare("INSERT INTO t (name) VALUES (?)");
for ($i = 0; $i < 20; $i++) $s->execute(["hunter2$i"]);
print(count($c->query("SELECT * FROM t WHERE name <> 'hunter2'")->fetchAll()));
"""


def test_perl(collector, tmp_path):
    """DBI. PHP's extension binds its own copy (RTLD_DEEPBIND): it works, and nothing is seen."""
    for program, text in (("perl", PERL), ("php", PHP)):
        argv = [need(program), *(["-e"] if program == "perl" else ["-r"]), text]
        more = ["--"] if program == "php" else []
        bare = play([*argv, *more, tmp_path / f"{program}.db"])
        (tmp_path / f"{program}.db").unlink()
        assert play([*argv, *more, tmp_path / f"{program}.db"], collector) == bare and "20" in bare[1], bare
    spans = collector.wait_count(23, kind="CLIENT", where=lambda s: s.name != "PRAGMA")
    assert {s.attributes["db.namespace"] for s in collector.spans} == {"perl.db"}
    names = Counter(s.name for s in spans)
    assert names["INSERT t"] == 21 and names["SELECT t"] == 1 and names["CREATE TABLE t"] == 1, names
    assert SECRET not in repr([(s.name, s.attributes) for s in collector.spans])


FORMS = ["'{s}'", '"{s}"', "'it''s {s}'", "'\\' || '{s}'", "X'abcd' || '{s}'", "/* {s} */ 1", "1 -- {s}\n", "12345678", "-12345678.5e3", "0x12345678",
         "'{s}\n'", "CAST('{s}' AS TEXT)", "1 /* {s}"]
PLACES = ["SELECT {v}", "SELECT * FROM nowhere WHERE a = {v} AND b IN ({v}, {v})", "INSERT INTO t VALUES ({v}, {v}), ({v}, 2)",
          "UPDATE t SET a = {v}, b = b || {v} WHERE a LIKE {v}", "REPLACE INTO t VALUES ({v}, {v})", "SELECT a FROM t LIMIT {v}",
          "WITH q AS (SELECT {v} AS z) SELECT * FROM q", "SELECT CASE WHEN a = {v} THEN {v} ELSE {v} END FROM t", "PRAGMA user_version = {v}",
          "ATTACH {v} AS other; DETACH other", "CREATE TABLE IF NOT EXISTS u (a DEFAULT {v}, CHECK (a <> {v}))"]
LEAK = """
import json, sqlite3, sys
c = sqlite3.connect(":memory:", isolation_level=None)
c.execute("CREATE TABLE t (a, b)")
for text in json.load(sys.stdin):
    for run in (c.execute, c.executescript):
        try:
            run(text)
        except sqlite3.Error:
            pass
"""


def test_no_literal_leaves_the_process(collector, tmp_path):
    texts = [place.format(v=form.format(s=SECRET)) for place in PLACES for form in FORMS]
    out = tmp_path / "console"
    subprocess.run([sys.executable, "-c", LEAK], input=json.dumps(texts), text=True, timeout=60, check=True, cwd=tmp_path,
                   env=environment(collector.endpoint, "app", {**BIG, "OTEL_TRACES_EXPORTER": "otlp,console",
                                                               "OTELAUTO_LOG_FILE": str(out)}))
    spans = collector.wait_count(2 * len(texts), kind="CLIENT")
    told = repr([(s.name, s.attributes, s.events) for s in spans]) + out.read_text()
    for secret in (SECRET, "12345678"):
        assert secret not in told


@pytest.mark.parametrize("how", ["setting", "nothing run"])
def test_nothing_starts_without_need(collector, tmp_path, how):
    """Switched off, or the library only loaded: no thread, no span."""
    code = ("import sqlite3, os\nc = sqlite3.connect(':memory:')\n" + ("c.execute('SELECT 1')\n" if how == "setting" else "") +
            "print(len(os.listdir('/proc/self/task')))")
    settings = {"OTELAUTO_SQLITE": "off"} if how == "setting" else {}
    assert play([sys.executable, "-c", code], collector, **settings) == (0, "1\n", "")
    assert not collector.spans


FORK = """
import os, sqlite3, sys
c = sqlite3.connect(":memory:")
rows = c.execute("SELECT 1 UNION SELECT 2 UNION SELECT 3")
next(rows)
pid = os.fork()
if not pid:
    d = sqlite3.connect(":memory:")
    d.execute("SELECT 'child'").fetchall()
    d.close()
    del rows, c
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(len(list(rows)))
"""


def test_a_statement_that_is_open_across_a_fork_is_told_once(collector):
    assert play([sys.executable, "-c", FORK], collector) == (0, "2\n", "")
    spans = collector.wait_count(2, kind="CLIENT")
    assert Counter((s.attributes["db.query.text"], s.attributes["db.response.returned_rows"]) for s in spans) == \
        {("SELECT ? UNION SELECT ? UNION SELECT ?", 3): 1, ("SELECT ?", 1): 1}
    assert len({s.resource.get("process.pid") for s in spans}) == 2
