"""Clients of Redis besides redis-py and redis-cli, which tests/preload/test_redis.py has: as many spans of each command as the server
counts, and no key or value anywhere."""
import subprocess
from collections import Counter

import pytest

from kit import HERE, command, environment, need
from lib import registry
from lib.collector import find
from lib.preload import wait_until
from preload.test_redis import BIG_QUEUE, SECRET, Server

JARS = [("redis.clients", "jedis", "5.2.0"), ("io.lettuce", "lettuce-core", "6.5.2.RELEASE"), ("org.slf4j", "slf4j-nop", "1.7.36")]


def play(argv, collector, preload, settings):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False,
                          env=environment(collector.endpoint, "app", {**BIG_QUEUE, **settings}, preload=preload))
    return done.returncode, done.stdout, done.stderr


def compare(argv, server, collector, settings=()):
    """Plays it, bare and watched, with an empty server. returns the spans, which are of each command as many as the server counted"""
    bare = play(argv, collector, False, dict(settings))
    assert bare[0] == 0 and len(bare[1].splitlines()) >= 6, bare
    server.cli("FLUSHALL")
    server.cli("CONFIG", "RESETSTAT")
    assert play(argv, collector, True, dict(settings)) == bare
    wanted = Counter(server.counts())
    del wanted["CONFIG"]
    wanted["CLIENT"] += server.failed().get("ERR", 0)  # refused before they are calls: what this server does not know yet of CLIENT
    wait_until(lambda: len(collector.spans) >= wanted.total(), what=f"{wanted}: {told(collector.spans)}")
    assert told(collector.spans) == +wanted
    spans = list(collector.spans)
    assert all(s.kind == "CLIENT" and s.attributes["db.system.name"] == "redis" for s in spans)
    assert SECRET not in repr([(s.name, s.attributes, s.events) for s in spans])
    return spans


def told(spans):
    return Counter(s.attributes["db.operation.name"] for s in spans)


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_node(collector, tmp_path, protocol):
    """The `redis` of npm: many commands in a turn, transactions, a pool of connections, a subscription."""
    with Server(tmp_path) as server:
        argv = [need("node"), HERE / "programs" / "redis" / "ask.js", server.port, protocol]
        modules = registry.npm("redis", "5.9.0", need("npm"))
        spans = compare(argv, server, collector, {"NODE_PATH": str(modules)})
    assert told(spans)["SET"] == 1003 and told(spans)["INCR"] == 203 and told(spans)["SUBSCRIBE"] == 1
    assert len(find(spans, db__operation__name="SET", db__namespace="2", server__port=server.port, server__address="127.0.0.1")) == 1003
    failed, = find(spans, name="LPUSH")
    assert failed.status == "error" and failed.attributes["error.type"] == "WRONGTYPE"
    blocked, = find(spans, name="BLPOP")
    assert blocked.end - blocked.start > 190_000_000


@pytest.mark.parametrize("library", ["jedis", "lettuce"])
def test_java(collector, tmp_path, library):
    """Pipelines, transactions, a pool that four threads share; of Lettuce one connection that they share."""
    jars = registry.maven_tree("redis-5.2.0", *JARS, tool=need("mvn"))
    command(need("javac"), "-cp", jars, "-d", tmp_path, HERE / "programs" / "redis" / "Ask.java")
    with Server(tmp_path) as server:
        argv = [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{tmp_path}:{jars}", "Ask", library, server.port]
        spans = compare(argv, server, collector)
    assert told(spans)["SET"] == 502 and told(spans)["INCR"] == 201 and told(spans)["EXEC"] == 1
    failed, = find(spans, name="LPUSH")
    assert failed.status == "error" and failed.attributes["error.type"] == "WRONGTYPE"


def test_hiredis(collector, tmp_path):
    """The shared library: redis-cli has a copy of it inside. Pipelines, Unix sockets, a loop of the program's own, callbacks."""
    program, socket = tmp_path / "hiredis", tmp_path / "redis.sock"
    command(need("gcc"), "-O1", "-o", program, HERE / "programs" / "redis" / "hiredis.c", "-lhiredis")
    assert b"libhiredis.so" in command("ldd", program)
    with Server(tmp_path, arguments=["--unixsocket", socket]) as server:
        spans = compare([program, server.port, socket], server, collector)
    assert told(spans)["INCR"] == 2604 and told(spans)["SUBSCRIBE"] == told(spans)["QUIT"] == 1
    unix = find(spans, name="INCR", db__namespace="5")
    assert len(unix) == 100 and all(s.attributes["server.address"] == str(socket) for s in unix)
    failed, = [s for s in spans if s.status == "error"]
    assert failed.name == "INCR" and failed.attributes["error.type"] == "WRONGTYPE" and failed.attributes["db.namespace"] == "0"
    blocked, = find(spans, name="BLPOP")
    assert blocked.end - blocked.start > 190_000_000
