"""sysbench, four connections at once: as many spans as MariaDB and PostgreSQL say they executed, and as sysbench says it asked for; it
asks for as much as without us."""
import re
import subprocess

import pytest

from kit import environment, need, wait_until
from test_mysql import BIG, asked, made, operations as logged, server as mariadb_server  # noqa: F401  (fixtures)
from test_postgresql import cluster, operations as executed_by, server as postgresql_server, times  # noqa: F401

LOADS = {"oltp_point_select": 2000, "oltp_read_write": 200}
THREADS = 4
# What a transaction of each load asks for.
SELECTS = {"oltp_point_select": 1, "oltp_read_write": 14}
WRITES = {"UPDATE": 2, "DELETE": 1, "INSERT": 1, "BEGIN": 1, "COMMIT": 1}


def play(load, what, options, collector, preload, **settings):
    """returns what sysbench counted. Not what it calls a write: one that changes nothing, as with the same seed again, is none"""
    argv = [need("sysbench"), load, *options, "--tables=2", "--table-size=5000", f"--threads={THREADS}", "--rand-type=uniform",
            f"--events={LOADS[load]}", "--time=0", what]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False,
                          env=environment(collector.endpoint, "app", {**BIG, **settings}, preload=preload))
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(n) for name, n in re.findall(r"(?m)^ +(read|total|transactions|ignored errors|reconnects): +(\d+)",
                                                   done.stdout)}


def compare(load, prepared, options, count, operations, collector, **settings):
    """count(): how often the server executed something until now. returns the spans of the load"""
    options = [*options, f"--db-ps-mode={'auto' if prepared else 'disable'}"]
    play("oltp_read_write", "prepare", options, collector, False)
    bare = play(load, "run", options, collector, False, **settings)
    before = count()
    said = play(load, "run", options, collector, True, **settings)
    assert said == bare and said["transactions"] == LOADS[load] and said["ignored errors"] == 0, (said, bare)
    wanted = count() - before
    spans = wait_until(lambda: operations(s := list(collector.spans)) >= wanted and s, what=f"{wanted} operations")
    assert operations(spans) == wanted
    asked_for = [s for s in spans if s.attributes.get("db.operation.name") != "PREPARE"]
    assert len(asked_for) == said["total"] and not [s for s in spans if s.status == "error"]
    verbs = [s.name.split()[0] for s in asked_for]
    events = LOADS[load]
    assert verbs.count("SELECT") == said["read"] == SELECTS[load] * events
    if load == "oltp_read_write":
        assert {verb: verbs.count(verb) for verb in WRITES} == {verb: n * events for verb, n in WRITES.items()}
    assert bool(len(spans) - len(asked_for)) == prepared
    assert not [s for s in spans if re.search(r"\d{4}", s.attributes["db.query.text"])]  # no literal
    return spans


@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "queries"])
@pytest.mark.parametrize("load", LOADS)
def test_mariadb(mariadb_server, collector, load, prepared):  # noqa: F811
    port, log = mariadb_server
    options = ["--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={port}", "--mysql-user=app", "--mysql-password=pw",
               "--mysql-db=shop"]
    spans = compare(load, prepared, options, lambda: len(asked(log, 0)), logged, collector)
    assert all(s.attributes["db.system.name"] == "mysql" and s.attributes["db.namespace"] == "shop" for s in spans)


@pytest.mark.parametrize("tls", ["disable", "require"])
@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "queries"])
@pytest.mark.parametrize("load", LOADS)
def test_postgresql(postgresql_server, collector, load, prepared, tls):  # noqa: F811
    port, _, executed = postgresql_server
    options = ["--db-driver=pgsql", "--pgsql-host=127.0.0.1", f"--pgsql-port={port}", "--pgsql-user=postgres", "--pgsql-db=postgres"]
    spans = compare(load, prepared, options, lambda: times(executed, ""), executed_by, collector, PGSSLMODE=tls)
    assert all(s.attributes["db.system.name"] == "postgresql" and ("tls.protocol.version" in s.attributes) == (tls == "require")
               for s in spans if s.attributes.get("db.operation.name") != "PREPARE")
