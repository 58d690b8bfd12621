"""Servers that do not speak HTTP: Redis, memcached, PostgreSQL. They work as ever, and nothing is made up: what is seen of
Redis and memcached are their commands."""
import os
import re
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit import COUNT, both, command, kill, library_for_all, listen, need, need_root, read_pid, wait_gone, wait_until
from lib.preload import wait_for_port


def nothing_made_up(way, tree, asked=None):
    """asked: what the clients of the scenario ask, and are seen to."""
    if way.ours:
        port = tree.find_metrics_port()
        if port:
            metrics = tree.scrape()
            assert metrics.sum(COUNT) == 0 == metrics.sum("http_client_request_duration_seconds_count")
        made_up = [s for s in way.collector.spans if s.kind != "CLIENT" or s.attributes.get("db.system.name") != asked]
        assert not made_up, made_up


def only_commands(way, tree, system="redis"):
    if way.ours:
        port = tree.find_metrics_port()
        if port:
            metrics = tree.scrape()
            assert metrics.sum(COUNT) == 0 == metrics.sum("http_client_request_duration_seconds_count")
        assert all(s.attributes["db.system.name"] == system for s in way.collector.spans), way.collector.spans


REDIS_COMMANDS = """SET greeting hello
GET greeting
INCR n
INCR n
LPUSH list GET /one HTTP/1.1
LRANGE list 0 -1
MULTI
SET a 1
INCR a
EXEC
EVAL "return redis.call('GET', KEYS[1])" 1 greeting
HSET h f 1 g 2
HGETALL h
NOSUCH
DBSIZE
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_redis(ways, threads):
    """Commands, a child that saves, a replica, load with pipelines."""
    def scenario(way):
        port, second = way.port(), way.port()
        options = ["--bind", "127.0.0.1", "--save", "", "--io-threads", threads, "--shutdown-timeout", "0",
                   "--repl-diskless-sync-delay", "0", "--logfile", "redis.log"]
        for name in ("a", "b"):
            (way.folder / name).mkdir()
        argv = [need("redis-server"), "--port", port, "--dir", way.folder / "a", "--appendonly", "yes", *options]
        cli = [need("redis-cli"), "-p", port]
        with way.program(argv) as program:
            tree = listen(program, port)
            said = way.run(cli, stdin_text=REDIS_COMMANDS)
            bench = command(need("redis-benchmark"), "-p", port, "-n", 2000, "-P", 8, "-c", 8, "-t", "set,get", "-q")
            assert bench.count(b"requests per second") == 2
            big = way.run([*cli, "-x", "SET", "big"], stdin_text="b" * 500000)
            length = way.run([*cli, "STRLEN", "big"])
            with way.program([need("redis-server"), "--port", second, "--dir", way.folder / "b", "--replicaof",
                              f"127.0.0.1 {port}", *options]) as replica:
                listen(replica, second)
                wait_until(lambda: b"master_link_status:up" in command(need("redis-cli"), "-p", second, "INFO", "replication"))
                copied = way.run([need("redis-cli"), "-p", second, "STRLEN", "big"])
            saved = way.run([*cli, "BGSAVE"])
            wait_until(lambda: b"rdb_bgsave_in_progress:0" in command(need("redis-cli"), "-p", port, "INFO", "persistence"))
            status = command(need("redis-cli"), "-p", port, "INFO", "persistence")
            assert b"rdb_last_bgsave_status:ok" in status
            only_commands(way, tree)
            way.same_fds(tree)
            return said, big, length, copied, saved, way.seen(program)
    both(ways, scenario)


def test_redis_as_a_daemon(ways):
    def scenario(way):
        port = way.port()
        argv = [need("redis-server"), "--port", port, "--bind", "127.0.0.1", "--daemonize", "yes", "--save", "", "--pidfile",
                way.folder / "redis.pid", "--dir", way.folder, "--logfile", "redis.log"]
        started = way.daemonize(argv)
        pid = read_pid(way.folder / "redis.pid")
        try:
            wait_for_port(port)
            pong = way.run([need("redis-cli"), "-p", port, "PING"])
        finally:
            way.run([need("redis-cli"), "-p", port, "SHUTDOWN", "NOSAVE"])
            wait_gone([pid])
        return started, pong
    both(ways, scenario)


def test_memcached(ways):
    def scenario(way):
        port = way.port()
        argv = [need("memcached"), "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "4"]
        argv += ["-u", "root"] if os.geteuid() == 0 else []
        with way.program(argv) as program:
            tree = listen(program, port)
            answers = []
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", port), 10) as s:
                    value = b"GET / HTTP/1.1 " * 5000
                    s.sendall(b"set k 0 0 %d\r\n%s\r\nget k\r\ndelete k\r\nget k\r\nquit\r\n" % (len(value), value))
                    answer = b""
                    while data := s.recv(65536):
                        answer += data
                    answers.append(answer)
            only_commands(way, tree, "memcached")
            if way.ours:
                way.collector.wait_count(80, kind="SERVER")
            way.same_fds(tree)
            return answers, way.seen(program)
    both(ways, scenario)


SQL = """CREATE TABLE t (id serial PRIMARY KEY, name text);
INSERT INTO t (name) SELECT 'row ' || g FROM generate_series(1, 1000) g;
SELECT count(*), sum(id), max(length(name)) FROM t;
BEGIN; UPDATE t SET name = 'x' WHERE id < 10; ROLLBACK;
SELECT name FROM t WHERE id = 5;
SELECT 1 / 0;
\\copy (SELECT id, name FROM t ORDER BY id) TO STDOUT
SELECT length(string_agg(name, '')) FROM t, generate_series(1, 200);
LISTEN c; NOTIFY c, 'hello';
"""


def postgres_tool(name):
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        pytest.skip(f"{name} is not installed: run scripts/setup hosts")
    return found[-1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A fresh data folder that the postgres user owns."""
    need_root()
    import tempfile
    folder = Path(tempfile.mkdtemp(prefix="otelauto-host-"))
    folder.chmod(0o755)
    (folder / "data").mkdir()
    shutil.chown(folder / "data", "postgres", "postgres")
    command(postgres_tool("initdb"), "-D", folder / "data", "-A", "trust", "-N", "--no-instructions", user="postgres",
            group="postgres", cwd=folder)
    yield folder / "data"
    shutil.rmtree(folder)


@contextmanager
def postgres(way, cluster, folder, options=()):
    port = way.port()
    data = way.folder / "data"
    command("cp", "-a", cluster, data)
    sockets = way.folder / "sockets"
    sockets.mkdir()
    shutil.chown(sockets, "postgres", "postgres")
    settings = {"LD_PRELOAD": str(library_for_all(folder))} if way.ours else {}
    argv = [postgres_tool("postgres"), "-D", data, "-p", port, "-k", sockets, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
            *options]
    with way.program(argv, settings=settings, user="postgres", group="postgres", cwd=str(data)) as program:
        tree = listen(program, port)
        wait_until(lambda: subprocess.run([postgres_tool("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"],
                                          capture_output=True).returncode == 0, 30, "the database")
        yield program, tree, port, sockets


def test_postgresql(ways, cluster, folder):
    """The server, psql over TCP and a Unix socket, pgbench; a fast shutdown. Only those who ask have spans."""
    def scenario(way):
        with postgres(way, cluster, folder) as (program, tree, port, sockets):
            psql = [postgres_tool("psql"), "-X", "-U", "postgres", "postgres"]
            tcp = way.run([*psql, "-h", "127.0.0.1", "-p", port], stdin_text=SQL)
            unix = way.run([*psql, "-h", sockets, "-p", port, "-c", "SELECT count(*) FROM t"])
            bench = [postgres_tool("pgbench"), "-h", "127.0.0.1", "-p", port, "-U", "postgres", "postgres"]
            prepared = way.run([*bench, "-i", "-q", "-s", "1"])[0]
            ran = way.run([*bench, "-c", "4", "-j", "2", "-t", "50", "-M", "prepared"])
            done = "number of transactions actually processed: 200/200" in ran[1]
            wait_until(lambda: len([p for p in tree.workers()]) <= 7, what="the backends to leave")
            nothing_made_up(way, tree, "postgresql")
            status, _, errors = way.seen(program)
            # pg_isready may have asked too early.
            wrong = [line for line in errors.splitlines() if re.search("FATAL(?!.* is starting up)|PANIC|crash", line)]
            return tcp, unix, prepared, ran[0], done, status, wrong
    both(ways, scenario)


def test_postgresql_backend_killed(ways, cluster, folder):
    """A backend that dies makes the server restart all of them: shared memory is made anew."""
    def scenario(way):
        with postgres(way, cluster, folder) as (program, tree, port, sockets):
            psql = [postgres_tool("psql"), "-X", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "postgres"]
            session = subprocess.Popen([*psql, "-c", "SELECT pg_sleep(60)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            find = [*psql, "-Atc", "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"]
            backend = int(wait_until(lambda: command(*find).strip(), what="the backend"))
            kill(backend, 9)
            session.wait(20)

            def answers():
                done = subprocess.run([*psql, "-Atc", "SELECT 7"], capture_output=True)
                return done.returncode == 0 and done.stdout
            again = wait_until(answers, 30, "the server to come back")
            return again, way.seen(program)[0]
    both(ways, scenario)
