"""SQLite's functions, called from C: what they return, and what is told of it."""
from collections import Counter

from lib.collector import find
from lib.preload import app, run

BIG = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}


def test_every_function_says_what_it_said(collector, tmp_path):
    """Texts run whole, rows left, rollbacks, locks, UTF-16, threads: results and messages of errors; and a span for each run."""
    file = tmp_path / "shop.db"
    bare = run([app("sqlite_calls"), file], preload=False)
    file.unlink()
    watched = run([app("sqlite_calls"), file], endpoint=collector.endpoint, settings=BIG)
    assert (watched.status, watched.stdout, watched.stderr) == (bare.status, bare.stdout, bare.stderr)
    spans = collector.wait_count(322, kind="CLIENT")
    assert len(spans) == 322
    assert all(s.attributes["db.system.name"] == "sqlite" and s.attributes["db.namespace"] == "shop.db" and
               "server.address" not in s.attributes for s in spans)
    told = [(s.attributes.get("db.query.text"), s.attributes.get("db.response.status_code"),
             s.attributes.get("db.response.returned_rows")) for s in spans]
    count = Counter(told)
    assert count["SELECT id FROM t AS thread", None, 3] == 200 and count["SELECT id AS many FROM t", None, 2] == 100
    for text, code, rows, times in [
            ("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t (a) VALUES (?)", None, None, 1),
            ("SELECT a FROM t WHERE a <> ?", None, None, 1), ("SELECT ?", None, 1, 1), ("SELECT ? FROM nowhere", "1", None, 1),
            ("SELECT a FROM t", "4", None, 1), ("SELECT * FROM t", None, 2, 1),
            ("SELECT id, a FROM t WHERE a > ?", None, 2, 3), ("SELECT id, a FROM t WHERE a > ?", None, 1, 1),
            ("SELECT ?, ?", None, 1, 1), (None, "1", None, 1), ("INSERT INTO t (id, a) VALUES (?)", "19", None, 2),
            ("BEGIN; INSERT INTO t (a) VALUES (?)", None, None, 1), ("ROLLBACK", None, None, 1), ("SELECT ? FROM", "1", None, 1),
            ("BEGIN IMMEDIATE", None, None, 1), ("INSERT INTO t (a) VALUES (?)", "5", None, 2), ("COMMIT", None, None, 1),
            ("INSERT INTO t (a) VALUES (?)", None, None, 1)]:
        assert count[text, code, rows] == times, (text, code, rows, count)
    failed = [s for s in spans if s.status == "error"]
    assert all(s.attributes["error.type"] == s.attributes["db.response.status_code"] for s in failed)
    assert find(failed, name="PREPARE SELECT")[0].attributes["db.operation.name"] == "PREPARE"
