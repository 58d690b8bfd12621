"""Pools of connections: of real ones as many used and idle as they say themselves, what it took to make them, and none when their
process is gone."""
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from kit import HERE, command, environment, free_port, need, scrape, wait_until
from lib import registry
from lib.preload import wait_for_port
from test_mysql import made, mariadb  # noqa: F401  (made is a fixture)
from test_postgresql import server  # noqa: F401  (a fixture)
from test_stores import cluster, postgres, postgres_tool  # noqa: F401  (cluster is a fixture)

COUNT = "db_client_connection_count"
CREATED = "db_client_connection_create_time_seconds_count"
NAME = "db_client_connection_pool_name"


class Pool:
    """A program with a pool, told what to do."""

    def __init__(self, process, port, name):
        self.process, self.port, self.name = process, port, name

    def tell(self, word):
        """returns what the pool then says: (used, idle)"""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return tuple(map(int, self.process.stdout.readline().split()))

    def counts(self):
        """What the metrics say."""
        metrics = scrape(self.port)
        return tuple(metrics.sum(COUNT, **{NAME: self.name, "db_client_connection_state": s}) for s in ("used", "idle"))

    def agrees(self, used, idle):
        wait_until(lambda: self.counts() == (used, idle), 10, f"{used} used and {idle} idle connections; they are {self.counts()}")


@contextmanager
def pool(argv, name, collector, **settings):
    port = free_port()
    env = environment(collector.endpoint, "app", {"OTEL_EXPORTER_PROMETHEUS_PORT": str(port), **settings})
    with subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield Pool(process, port, name)
        finally:
            process.stdin.close()
            process.wait(30)


@pytest.fixture
def pg(ways, cluster, folder):  # noqa: F811
    with postgres(ways[0], cluster, folder) as (_, _, port, sockets):
        yield port, sockets


def program(language):
    return [sys.executable, HERE / "programs" / "pool.py"] if language == "python" else \
        [need("node"), HERE / "programs" / "pool.js"]


def as_the_pool_says(p):
    """Takes three, gives two back, takes one."""
    seen = set()
    for word in ("take", "take", "take", "give", "give", "take"):
        said = p.tell(word)
        if word == "take" and said[0] == 1:
            wait_for_port(p.port)
        p.agrees(*said)
        seen.add(said)
    assert {(1, 0), (3, 0), (2, 1)} <= seen


def test_of_postgresql_as_many_as_the_pool_says(pg, collector):
    """psycopg2's: over TCP and a Unix socket."""
    port, sockets = pg
    for info, name in ((f"host=127.0.0.1 port={port} sslmode=disable", f"127.0.0.1:{port}/postgres"),
                       (f"host={sockets} port={port}", f"{sockets}/.s.PGSQL.{port}/postgres")):
        info += " user=postgres dbname=postgres"
        with pool([*program("python"), "pg", info], name, collector) as p:
            as_the_pool_says(p)
            metrics = scrape(p.port)
            assert metrics.sum(CREATED) == metrics.sum(CREATED, **{NAME: name}) == 3
            assert 0 < metrics.sum(CREATED.replace("count", "sum")) < 30


def test_inside_tls(server, collector):  # noqa: F811
    """psycopg2 brings libpq and OpenSSL of its own."""
    port, _, _ = server
    with pool([*program("python"), "pg", f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=require"],
              f"127.0.0.1:{port}/postgres", collector) as p:
        as_the_pool_says(p)


def test_of_nodes_pools_as_many_as_they_say(pg, collector):
    port, _ = pg
    with pool([*program("node"), "pg", f"postgresql://postgres@127.0.0.1:{port}/postgres"], f"127.0.0.1:{port}/postgres", collector,
              NODE_PATH=str(registry.npm("pg", "8.13.1", need("npm")))) as p:
        as_the_pool_says(p)
        wait_until(lambda: scrape(p.port).sum(CREATED) == 3, what="what it took to make them")


def test_of_mysql_as_many_as_the_pool_says(ways, made, collector):  # noqa: F811
    with mariadb(ways[0], made) as (port, _, _), \
            pool([*program("node"), "mysql2", f"mysql://app:pw@127.0.0.1:{port}/shop"], f"127.0.0.1:{port}/shop", collector,
                 NODE_PATH=str(registry.npm("mysql2", "3.11.5", need("npm")))) as p:
        as_the_pool_says(p)
        wait_until(lambda: scrape(p.port).sum(CREATED, **{NAME: p.name}) == 3, what="what it took to make them")


def test_of_redis_those_that_wait_are_used(ways, collector):
    """No transaction there: one that was only taken is idle as far as can be seen."""
    port = ways[0].port()
    cli = [need("redis-cli"), "-p", port]
    with ways[0].program([need("redis-server"), "--port", port, "--save", ""]):
        wait_for_port(port)
        with pool([*program("python"), "redis", port], f"127.0.0.1:{port}", collector) as p:
            assert p.tell("ask") == (1, 0)
            wait_for_port(p.port)
            p.agrees(1, 0)
            assert p.tell("ask") == (2, 0)
            p.agrees(2, 0)
            command(*cli, "LPUSH", "list1", "x")
            assert p.tell("answered") == (1, 1)
            p.agrees(1, 1)
            command(*cli, "LPUSH", "list2", "x")
            assert p.tell("answered") == (0, 2)
            p.agrees(0, 2)
            assert scrape(p.port).sum(CREATED, **{NAME: p.name}) == 2


FORKS = """
import os, sys, time, psycopg2
def connect(n):
    kept = [psycopg2.connect(sys.argv[1]) for _ in range(n)]
    kept[0].cursor().execute("SELECT 1")
    return kept
mine = connect(1)
children = []
for n in (2, 3):
    child = os.fork()
    if not child:
        theirs = connect(n)
        time.sleep(60)
        os._exit(0)
    children.append(child)
print(*children, flush=True)
sys.stdin.readline()
mine[0].close()
print("closed", flush=True)
sys.stdin.readline()
"""


def test_connections_of_a_process_that_is_gone_are_none(pg, collector):
    """The parent has one, the children two and three of their own; what they inherited is not theirs, and the pool stays at 0."""
    port, _ = pg
    with pool([sys.executable, "-c", FORKS, f"host=127.0.0.1 port={port} user=postgres dbname=postgres"],
              f"127.0.0.1:{port}/postgres", collector) as p:
        children = tuple(map(int, p.process.stdout.readline().split()))
        wait_for_port(p.port)
        p.agrees(3, 3)
        os.kill(children[0], signal.SIGKILL)
        p.agrees(2, 2)
        os.kill(children[1], signal.SIGKILL)
        p.agrees(1, 0)
        p.process.stdin.write("\n")
        p.process.stdin.flush()
        assert p.process.stdout.readline() == "closed\n"
        p.agrees(0, 0)
        assert len(scrape(p.port).series(COUNT)) == 2
