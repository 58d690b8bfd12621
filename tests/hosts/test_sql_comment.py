"""With OTELAUTO_SQL_COMMENT: what programs ask PostgreSQL and MariaDB is what they asked without us, but for one comment at the end
of a query, which names its span; and they see the same."""
import re
import sys

import pytest

import test_mysql
import test_postgresql
from kit import free_port, scrape, wait_until
from lib import app_server
from lib.preload import Program, wait_for_port
from test_mysql import made  # noqa: F401  (a fixture)
from test_mysql import server as maria  # noqa: F401  (a fixture)
from test_postgresql import classes, conninfo  # noqa: F401  (classes is a fixture)
from test_postgresql import server as pg  # noqa: F401  (a fixture)
from test_stores import cluster  # noqa: F401  (a fixture)

ON = {"OTELAUTO_SQL_COMMENT": "on"}
COMMENT = re.compile(r" /\*traceparent='00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]'\*/")
PG = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*?)(?=\n\d{4}-\d\d-\d\d |\Z)", re.S)


def pg_statements(text):
    return [m.group(1).rstrip("\n") for m in PG.finditer(text)]


def maria_statements(text):
    """Without times and the numbers of connections; and without what nobody waits for: it may be written late."""
    text = re.sub(r"(?m)^(?:\d{6} [ \d]\d:\d\d:\d\d)?\t+ *\d+ (?=[A-Z])", "\n@", text)
    return [s for part in text.split("\n@")[1:] if not (s := part.strip("\n")).startswith(("Connect", "Quit", "Close stmt"))]


def compare(name, play, statements, seen, collector, several=False):
    """Plays it bare and watched; returns the comments that the server saw, and their queries."""
    before = len(seen())
    bare = play(False)
    asked = wait_until(lambda: statements(seen()[before:]), what="the log")
    before, spans = len(seen()), len(collector.spans)
    assert play(True) == bare, name
    told = statements(seen()[before:])
    clean = [COMMENT.sub("", s) for s in told]
    order = sorted if several else list
    assert order(clean) == order(asked), name
    assert all(len(COMMENT.findall(s)) <= 1 for s in told)
    found = [(m, s) for s, m in zip(clean, map(COMMENT.search, told)) if m]
    ids = {(m.group(1), m.group(2)) for m, _ in found}
    wait_until(lambda: ids <= {(s.trace_id, s.span_id) for s in collector.spans[spans:]}, what=f"{name}: the spans that {len(ids)} comments name")
    assert len(ids) == len(found), f"{name}: a span for each"
    for _, sql in found:
        assert re.match(r"(?i)(?:Query\t)?[\s(]*(select|insert|update|delete|with|replace|call|values)\b", sql), sql
    return [sql for _, sql in found]


def test_postgresql_is_asked_the_same(pg, collector, classes):  # noqa: F811
    port, sockets, executed = pg
    clients = {k: v for k, v in test_postgresql.clients(port, sockets).items() if not k.startswith("pgbench")}
    clients |= test_postgresql.drivers(port, classes)
    told = {}
    for name, argv in clients.items():
        told[name] = compare(name, lambda ours, argv=argv: test_postgresql.play(argv, ours, collector, ON), pg_statements, executed,
                             collector, several=name[:4] in ("node", "php", "php-"))
    for name, queries in told.items():
        assert queries, name
        if name.endswith("-tls"):
            assert queries == told[name.removesuffix("-tls")], name
    assert "SELECT 1 / 0;" in told["psql"]
    assert not [q for q in told["psql"] if q.startswith(("COPY", "PREPARE", "BEGIN"))]


def test_mariadb_is_asked_the_same(maria, collector, tmp_path):  # noqa: F811
    port, log = maria
    script = tmp_path / "ask.php"
    script.write_text(test_mysql.PHP)
    clients = test_mysql.clients(port, script) | test_mysql.drivers(port, tmp_path)
    for name, argv in clients.items():
        queries = compare(name, lambda ours, argv=argv: test_mysql.play(argv, ours, collector, ON), maria_statements,
                          lambda: log.read_text(errors="replace"), collector, several=name[:4] in ("node", "php", "php-"))
        assert bool(queries) != (name == "perl"), (name, queries)  # which prepares everything


@pytest.mark.parametrize("setting", [ON, {}])
def test_the_comment_is_in_the_trace_of_the_request(pg, collector, setting):  # noqa: F811
    """32 requests at once; unless it is asked for there is none."""
    port, _, executed = pg
    before = len(executed())
    with Program([sys.executable, "-c", test_postgresql.APP, conninfo(port, "sslmode=disable")], endpoint=collector.endpoint, service="app",
                 settings={**test_postgresql.BIG, **setting}) as app:
        app_server.visit_all(app.port, 32, 2)
        served = collector.wait_count(64, kind="SERVER", service="app")
        asked = collector.wait_count(64 * 3, kind="CLIENT", service="app")
    found = COMMENT.findall(executed()[before:])
    if not setting:
        assert not found
        return
    assert {(s.trace_id, s.span_id) for s in asked if s.name == "SELECT"} == set(found) and len(found) == 64
    assert {t for t, _ in found} == {s.trace_id for s in served}


def test_what_is_passed_over_is_counted(pg, collector):  # noqa: F811
    port, _, _ = pg
    code = """
import sys, psycopg
c = psycopg.connect(sys.argv[1], autocommit=True)
c.execute("SELECT 1 -- so", prepare=False)
c.execute("SELECT %s::int", (1,), prepare=True)
c.execute("SELECT 1; SELECT 2", prepare=False)
c.execute("SET application_name = 'x'")
c.execute("SELECT %s::int", (1,), prepare=False)
__import__("time").sleep(60)
"""
    port_of_ours = free_port()
    with Program([sys.executable, "-c", code, conninfo(port, "sslmode=disable")], endpoint=collector.endpoint,
                 settings={**ON, "OTEL_EXPORTER_PROMETHEUS_PORT": str(port_of_ours)}):
        wait_for_port(port_of_ours)
        metrics = wait_until(lambda: (m := scrape(port_of_ours)).sum("otelauto_sql_comments_total", result="added") and m, what="the last of it")
    counts = {r: metrics.sum("otelauto_sql_comments_total", result=r) for r in (
        "added", "has_comment", "prepared", "several_statements", "other_statement", "too_many", "no_memory", "not_whole", "tls")}
    assert all(counts[r] for r in ("added", "has_comment", "prepared", "several_statements", "other_statement")), counts
    assert not counts["too_many"] + counts["no_memory"] + counts["not_whole"] + counts["tls"], counts
