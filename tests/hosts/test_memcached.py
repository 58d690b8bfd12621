"""memcached from both sides: what the server counts is what we say it served, and what its clients say they asked."""
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from kit import environment, free_port, need, scrape, wait_until
from lib import app_server
from lib.collector import find
from lib.preload import Program, wait_for_port

SECRET = "hunter2"
BIG = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
SERVED = "otelauto_db_server_operation_duration_seconds_count"
ASKED = "db_client_operation_duration_seconds_count"
# What `stats` counts, by command; those of a get are keys.
STATS = {"get": ["cmd_get"], "set": ["cmd_set"], "touch": ["cmd_touch"], "delete": ["delete_hits", "delete_misses"],
         "incr": ["incr_hits", "incr_misses"], "decr": ["decr_hits", "decr_misses"], "cas": ["cas_hits", "cas_misses", "cas_badval"]}
STORED = ("set", "add", "replace", "append", "prepend", "cas")

CLIENT = """
import sys
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError
c = Client(("127.0.0.1", int(sys.argv[1])), no_delay=True)
c.set("hunter2", "hunter2")  # without an answer
print(c.get("hunter2"))
c.set_many({"k%d" % i: "hunter2" * 1000 for i in range(50)}, noreply=sys.argv[2] == "quiet")
print(len(c.get_many(["k%d" % i for i in range(60)])))
print(c.set("n", "1", noreply=False), c.incr("n", 5), c.decr("n", 2), c.incr("none", 1))
print(c.add("n", "1", noreply=False), c.replace("none", "1", noreply=False), c.append("n", "0", noreply=False))
value, token = c.gets("n")
print(value, c.cas("n", "7", token), c.cas("n", "8", token))
print(c.delete("n", noreply=False), c.delete("n", noreply=False), c.touch("k1", 100, noreply=False), c.delete("k2"))
print(c.get("n"))
try:
    c.set("big", b"x" * 2_000_000, noreply=False)
except MemcacheServerError as e:
    print(e)
print(len(c.set("big", b"x" * 500_000, noreply=False) and c.get("big")))
sys.stdin.read()
"""


@contextmanager
def memcached(collector=None, **settings):
    port = free_port()
    argv = [need("memcached"), "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "2"]
    argv += ["-u", "root"] if os.geteuid() == 0 else []
    with Program(argv, endpoint=collector and collector.endpoint, service="memcached", settings={**BIG, **settings},
                 preload=collector is not None):
        wait_for_port(port)
        yield port


def talk(port, data, until):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(data)
        said = b""
        while not said.endswith(until):
            said += s.recv(65536)
        return said


def counts(port):
    """What the server has done, by its own statistics."""
    stats = dict(re.findall(r"STAT (\S+) (\d+)", talk(port, b"stats\r\n", b"END\r\n").decode()))
    return Counter({name: n for name, parts in STATS.items() if (n := sum(int(stats[p]) for p in parts))})


def told(spans):
    """The same by spans. A get is as many as it has keys; all that stores counts as a set, and cas twice."""
    found = Counter()
    for s in spans:
        name = s.attributes["db.operation.name"]
        if name in ("get", "gets"):
            found["get"] += s.attributes["db.query.text"].count("?") if "..." not in s.attributes["db.query.text"] else 60
        elif name in STORED:
            found["set"] += s.attributes.get("error.type") is None
            found["cas"] += name == "cas"
        else:
            found[name] += 1
    return +found


def run_client(port, quiet, collector=None):
    env = environment(collector and collector.endpoint, "app", BIG, preload=collector is not None)
    return subprocess.run([sys.executable, "-c", CLIENT, str(port), quiet], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          env=env, check=True).stdout


@pytest.mark.parametrize("quiet", ["quiet", "answered"])
def test_what_a_client_asked(collector, quiet):
    """pymemcache, with commands that get no answer: as the server counts."""
    with memcached() as bare:
        expected = run_client(bare, quiet)
    with memcached() as port:
        assert run_client(port, quiet, collector) == expected
        wanted = counts(port)
    wait_until(lambda: told(collector.spans) == wanted, what=f"{wanted}")
    spans = collector.spans
    assert all(s.kind == "CLIENT" and s.attributes["db.system.name"] == "memcached" and s.attributes["server.port"] == port for s in spans)
    assert SECRET not in repr([(s.name, s.attributes) for s in spans])
    assert len(find(spans, name="set")) == 1 + 50 + 1 + 2
    failed, = [s for s in spans if s.status == "error"]
    assert failed.name == "set" and failed.attributes["error.type"] == "SERVER_ERROR" == failed.attributes["db.response.status_code"]
    many, = [s for s in spans if s.name == "get" and "..." in s.attributes["db.query.text"]]
    assert many.attributes["db.response.returned_rows"] == 50


@pytest.mark.parametrize("quiet", ["quiet", "answered"])
def test_what_the_server_served(collector, quiet):
    metrics_port = free_port()
    with memcached() as bare:
        expected = run_client(bare, quiet)
    with memcached(collector, OTEL_EXPORTER_PROMETHEUS_PORT=str(metrics_port)) as port:
        assert run_client(port, quiet) == expected
        wanted = counts(port)
        wait_until(lambda: told(collector.spans) == wanted, what=f"{wanted}")
        wait_for_port(metrics_port)
        metrics = wait_until(lambda: (m := scrape(metrics_port)).sum(SERVED) >= len(collector.spans) and m, what="metrics")
        opaque = {dict(k)["reason"]: v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v}
        assert opaque == {"unknown_protocol": 1}  # "stats", which others have as well, at the beginning
    spans = collector.spans
    assert all(s.kind == "SERVER" and not s.parent_id for s in spans) and metrics.sum(SERVED) == len(spans)
    assert metrics.sum(SERVED, db_operation_name="set", db_system_name="memcached") == 54
    assert SECRET not in repr([(s.name, s.attributes) for s in spans])


def binary(opcode, key=b"", value=b"", extras=b""):
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(key) + len(extras) + len(value), 0, 0) + extras + \
        key + value


QUIET = b"".join([binary(0x11, b"a", b"hunter2", b"\0" * 8), binary(0x11, b"b", b"hunter2", b"\0" * 8), binary(0x01, b"c", b"1", b"\0" * 8),
                  binary(0x09, b"a"), binary(0x09, b"b"), binary(0x09, b"none"), binary(0x0a)])
NOOP = struct.pack(">BBHBBHIIQ", 0x81, 0x0a, 0, 0, 0, 0, 0, 0, 0)
META = b"ms a 7 q\r\nhunter2\r\nms b 7 q\r\nhunter2\r\nmg a v q\r\nmg none v q\r\nmn\r\nmg b v\r\nset x 0 0 1 noreply\r\n1\r\nget x\r\n"


@pytest.mark.parametrize("side", ["client", "server"])
def test_quiet_commands_are_a_batch(collector, side):
    code = ("import socket, sys\ns = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "s.sendall(bytes.fromhex(sys.argv[2]))\nsaid = b''\n"
            "while not said.endswith(bytes.fromhex(sys.argv[3])):\n    said += s.recv(65536)\nprint(said.hex())\n")
    with memcached(collector if side == "server" else None) as port:
        for data, end in ((QUIET, NOOP), (META, b"\r\n1\r\nEND\r\n")):
            subprocess.run([sys.executable, "-c", code, str(port), data.hex(), end.hex()], capture_output=True, timeout=30, check=True,
                           env=environment(collector.endpoint, "app", preload=side == "client"))
    spans = collector.wait_count(6)
    assert Counter((s.name, s.attributes.get("db.operation.batch.size")) for s in spans) == \
        Counter([("set", 3), ("noop", 3), ("mn", 4), ("mg", None), ("set", None), ("get", None)])
    assert {s.kind for s in spans} == {side.upper()}


APP = app_server.source("""
from pymemcache.client.base import PooledClient
pool = PooledClient(("127.0.0.1", int(sys.argv[1])), max_pool_size=64)
""", """
pool.set(self.path[1:], self.path, noreply=False)
body = pool.get(self.path[1:])
""")


def test_commands_are_children_of_the_requests_they_were_made_for(collector):
    """32 requests at once: a set without an answer and a get in each trace."""
    with memcached() as port, Program([sys.executable, "-c", APP, port], endpoint=collector.endpoint, service="app",
                                         settings={**BIG, "OTELAUTO_EVIDENCE": "true"}) as app:
        app_server.visit_all(app.port, 32)
        served = collector.wait_count(32, kind="SERVER")
        asked = collector.wait_count(64, kind="CLIENT")
    assert app_server.children(served, asked) == [["get", "set"]] * 32


def test_libmemcached(collector, tmp_path):
    """The library's tools, text and binary."""
    (tmp_path / "one").write_text(SECRET)
    with memcached() as port:
        for more in ([], ["--binary"]):
            for argv in ([need("memccp"), f"--servers=127.0.0.1:{port}", *more, "one"], [need("memccat"), f"--servers=127.0.0.1:{port}", *more, "one"]):
                done = subprocess.run(argv, cwd=tmp_path, env=environment(collector.endpoint, "app"), capture_output=True, timeout=30, check=True)
            assert SECRET.encode() in done.stdout
        assert counts(port) == {"get": 2, "set": 2}
    wait_until(lambda: len([s for s in collector.spans if s.name in ("get", "set")]) >= 4, what="four spans")
    assert Counter(s.name for s in collector.spans if s.name in ("get", "set")) == {"get": 2, "set": 2}
