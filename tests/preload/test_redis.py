"""Redis from both sides: what the server says it served is what we say, and what clients asked is what we say they asked."""
import re
import shutil
import socket
import subprocess
import sys

import pytest

from lib import app_server
from lib.collector import find
from lib.metrics import scrape
from lib.preload import Program, environment, free_port, run, wait_for_port, wait_until

SERVED = "otelauto_db_server_operation_duration_seconds_count"
ASKED = "db_client_operation_duration_seconds_count"
SECRET = "hunter2"
BIG_QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
COMMANDS = f"""SET {SECRET} {SECRET}
GET {SECRET}
INCR n
MSET a 1 b 2 c 3
LPUSH list 1 2 3
LRANGE list 0 -1
LPUSH a 1
MULTI
INCR n
SET x "{SECRET} {SECRET}"
EXEC
SELECT 5
GET nothing
SELECT 99
GET nothing
EVAL "return KEYS[1]" 1 {SECRET}
HSET h f 1 g 2
HGETALL h
NOSUCH {SECRET}
EVALSHA {'0' * 40} 0
"""


def need(name):
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed: run scripts/setup all")
    return path


class Server:
    """A redis-server, observed or not."""

    def __init__(self, folder, collector=None, arguments=(), **options):
        self.port, self.metrics_port = free_port(), free_port()
        settings = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(self.metrics_port), **BIG_QUEUE}
        self.program = Program([need("redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", folder,
                                *arguments], endpoint=collector and collector.endpoint, service="redis", settings=settings,
                               preload=collector is not None, **options)

    def __enter__(self):
        self.program.__enter__()
        wait_for_port(self.port)
        return self

    def __exit__(self, *exc):
        return self.program.__exit__(*exc)

    def cli(self, *arguments, stdin=None, preload=False, **options):
        argv = [need("redis-cli"), "-p", str(self.port), *map(str, arguments)]
        return subprocess.run(argv, input=stdin and stdin.encode(), capture_output=True, timeout=60,
                              env=environment(preload=preload, **options), check=False).stdout

    def counts(self):
        """Calls of each command, by the server's own statistics; subcommands together."""
        counts = {}
        for name, calls in re.findall(r"cmdstat_([^:|]+)[^:]*:calls=(\d+)", self.cli("INFO", "commandstats").decode()):
            counts[name.upper()] = counts.get(name.upper(), 0) + int(calls)
        return counts

    def failed(self):
        """Errors by their first word, refused commands too."""
        return {name: int(n) for name, n in
                re.findall(r"errorstat_([^:]+):count=(\d+)", self.cli("INFO", "errorstats").decode())}


def by_operation(metrics, name, **labels):
    found = {}
    for pairs, value in metrics.series(name, **labels).items():
        operation = dict(pairs)["db_operation_name"]
        found[operation] = found.get(operation, 0) + int(value)
    return found


def wait_metrics(port, name, count, lossy=False):
    """Waits until `count` measurements are there; fails when there are more. lossy: those for which a ring was full
    are counted as such instead."""
    last = {}
    wait_for_port(port)

    def look():
        last["metrics"] = metrics = scrape(port)
        have = metrics.sum(name) + (metrics.sum("otelauto_drops_total", reason="ring_full") if lossy else 0)
        assert have <= count, f"{have} > {count}"
        return metrics if have == count else None
    try:
        return wait_until(look, what=f"{name} = {count}")
    except AssertionError as error:
        metrics = last["metrics"]
        drops = {k: v for k, v in metrics.series("otelauto_drops_total").items() if v}
        raise AssertionError(f"{error}: {by_operation(metrics, name)} {opaque(metrics)} {drops}") from None


def opaque(metrics):
    return {dict(k)["reason"]: v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v}


def test_what_the_server_served(collector, tmp_path):
    """Same answers as without us, as many commands as INFO counts, the same errors, and no key or value anywhere."""
    with Server(tmp_path) as bare:
        expected = bare.cli(stdin=COMMANDS)
    with Server(tmp_path, collector) as server:
        assert server.cli(stdin=COMMANDS) == expected
        failed, counts = server.failed(), server.counts()
        counts["INFO"] = 2
        counts["_OTHER"] = 1  # NOSUCH, which the server counts as an error only
        metrics = wait_metrics(server.metrics_port, SERVED, sum(counts.values()))
        assert by_operation(metrics, SERVED) == counts
        errors = {}
        for pairs, value in metrics.series(SERVED).items():
            word = dict(pairs).get("db_response_status_code")
            if word:
                errors[word] = errors.get(word, 0) + int(value)
        assert errors == failed
        assert not opaque(metrics)
        spans = collector.wait_count(sum(counts.values()), kind="SERVER")
    assert len(spans) == sum(counts.values())
    for name, count in counts.items():
        assert len(find(spans, name="redis" if name == "_OTHER" else name)) == count
    got, = find(spans, name="GET", db__namespace="0")
    assert got.attributes["db.system.name"] == "redis" and got.attributes["db.query.text"] == "GET ?"
    assert got.attributes["db.operation.name"] == "GET" and got.status == "unset" and not got.parent_id
    assert len(find(spans, name="GET", db__namespace="5")) == 1
    unknown, = find(spans, name="GET", where=lambda s: "db.namespace" not in s.attributes)  # behind the SELECT that failed
    assert unknown.attributes["db.query.text"] == "GET ?"
    wrong, = find(spans, name="LPUSH", error__type="WRONGTYPE")
    assert wrong.status == "error" and wrong.attributes["db.response.status_code"] == "WRONGTYPE"
    assert find(spans, name="EVALSHA")[0].attributes["db.stored_procedure.name"] == "0" * 40
    assert find(spans, name="redis", db__operation__name="NOSUCH", error__type="ERR")
    assert find(spans, name="MSET")[0].attributes["db.query.text"] == "MSET ? ? ? ? ? ?"
    assert not [s for s in spans if SECRET in repr(s.attributes) + s.name]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("depth", [1, 16])
def test_load_is_counted_to_the_last_command(collector, tmp_path, depth, threads):
    with Server(tmp_path, collector, ["--io-threads", threads, "--io-threads-do-reads", "yes"]) as server:
        result = subprocess.run([need("redis-benchmark"), "-p", str(server.port), "-n", "4000", "-c", "8", "-P", str(depth), "-t",
                                 "set,get,lrange_100", "-q"], capture_output=True, timeout=100, check=True)
        assert result.stdout.count(b"requests per second") >= 3
        counts = server.counts()
        counts["INFO"] = 1
        metrics = wait_metrics(server.metrics_port, SERVED, sum(counts.values()), lossy=True)
        assert counts["SET"] == 4000 and all(n <= counts[k] for k, n in by_operation(metrics, SERVED).items())
        assert not opaque(metrics)


CLIENT = """
import sys, threading
import redis
r = redis.Redis(port=int(sys.argv[1]), db=2, protocol=int(sys.argv[2]))
r.set("hunter2", "hunter2")
print(r.get("hunter2"), r.incr("n"))
with r.pipeline(transaction=True) as p:
    p.set("a", 1)
    p.incr("a")
    print(p.execute())
with r.pipeline(transaction=False) as p:
    for i in range(1000):
        p.set(f"k{i}", "v" * 100)
    print(len(p.execute()))
try:
    r.lpush("a", 1)
except redis.ResponseError as e:
    print(e)
print(r.set("big", "b" * 3_000_000), len(r.get("big")))
print(r.mget("a", "n", "none"), r.blpop("empty", 1))
threads = [threading.Thread(target=lambda: [r.incr("t") for _ in range(200)]) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(r.get("t"))
sub = r.pubsub()
sub.subscribe("news")
print(sub.get_message(timeout=10)["type"])
r.publish("news", "hunter2")
print(sub.get_message(timeout=10)["data"])
sub.close()
r.close()
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_what_a_client_asked(collector, tmp_path, protocol):
    """redis-py, which connects by itself, in pipelines, from threads, and subscribes: as many as the server counts."""
    with Server(tmp_path) as server:
        argv = [sys.executable, "-c", CLIENT, str(server.port), protocol]
        expected = subprocess.run(argv, input=b"", capture_output=True, env=environment(preload=False), timeout=60, check=True).stdout
        server.cli("CONFIG", "RESETSTAT")
        server.cli("FLUSHALL")
        server.cli("CONFIG", "RESETSTAT")
        port = free_port()
        env = environment(collector.endpoint, "app", {"OTEL_EXPORTER_PROMETHEUS_PORT": str(port), **BIG_QUEUE})
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as client:
            said = b"".join(client.stdout.readline() for _ in expected.splitlines())
            assert said == expected
            counts = server.counts()
            counts.pop("CONFIG")
            # Refused before they are calls: what this server does not know yet of CLIENT.
            counts["CLIENT"] = counts.get("CLIENT", 0) + server.failed().get("ERR", 0)
            metrics = wait_metrics(port, ASKED, sum(counts.values()))
            client.stdin.close()
        assert by_operation(metrics, ASKED) == counts and counts["SET"] == 1003 and counts.get("INCR", 0) + counts.get("INCRBY", 0) == 802
        labels = dict(next(iter(metrics.series(ASKED, db_operation_name="BLPOP"))))
        assert labels["server_address"] == "127.0.0.1" and labels["server_port"] == str(server.port)
        assert set(opaque(metrics)) <= {"tunnel"}  # what follows SUBSCRIBE
    spans = collector.wait_count(sum(counts.values()), kind="CLIENT", db__system__name="redis")
    assert len(spans) == sum(counts.values())
    assert not [s for s in spans if SECRET in repr(s.attributes) + s.name]
    blocked, = find(spans, name="BLPOP")
    assert blocked.end - blocked.start > 900_000_000
    assert find(spans, name="LPUSH", error__type="WRONGTYPE")[0].status == "error"


def test_the_library_behind_redis_cli(collector, tmp_path):
    with Server(tmp_path) as server:
        expected = server.cli(stdin=COMMANDS)
        server.cli("FLUSHALL")
        server.cli("CONFIG", "RESETSTAT")
        said = server.cli(stdin=COMMANDS, preload=True, endpoint=collector.endpoint, settings=BIG_QUEUE)
        assert said == expected
        counts = server.counts()
        counts.pop("CONFIG")
        failed = server.failed()
    spans = collector.wait_count(sum(counts.values()) + 1, kind="CLIENT")
    assert len(spans) == sum(counts.values()) + 1  # and NOSUCH
    assert len([s for s in spans if s.status == "error"]) == sum(failed.values())


TWO_THREADS = """
import socket, sys, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
N = 3000
gate = threading.Semaphore(8)
def write():
    for i in range(N):
        gate.acquire()
        s.sendall(b"*2\\r\\n$4\\r\\nINCR\\r\\n$1\\r\\nn\\r\\n")
thread = threading.Thread(target=write)
thread.start()
got = b""
while got.count(b"\\r\\n") < N:
    new = s.recv(65536)
    got += new
    for _ in range(new.count(b"\\r\\n")):
        gate.release()
thread.join()
print(got.split()[-1], flush=True)
sys.stdin.read()
"""


def test_one_thread_asks_and_another_reads(collector, tmp_path):
    """An answer may be read before the sending call has returned: it still is its own command's."""
    with Server(tmp_path) as server:
        port = free_port()
        env = environment(collector.endpoint, "app", {"OTEL_EXPORTER_PROMETHEUS_PORT": str(port), **BIG_QUEUE})
        with subprocess.Popen([sys.executable, "-c", TWO_THREADS, str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=env) as client:
            assert client.stdout.readline() == b"b':3000'\n"
            metrics = wait_metrics(port, ASKED, 3000)
            client.stdin.close()
        assert not opaque(metrics)
    spans = collector.wait_count(3000, name="INCR")
    assert all(s.end >= s.start for s in spans)


SHORT_WRITES = """
import select, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
s.connect(("127.0.0.1", int(sys.argv[1])))
s.setblocking(False)
todo = b"".join(b"*3\\r\\n$3\\r\\nSET\\r\\n$%d\\r\\nkey%d\\r\\n$300\\r\\n%s\\r\\n" % (3 + len(str(i)), i, b"v" * 300) for i in range(2000))
got = short = 0
while got < 2000:
    r, w, _ = select.select([s], [s] if todo else [], [])
    if r:
        got += s.recv(65536).count(b"+OK\\r\\n")
    if w:
        asked = todo[:90000]
        n = s.send(asked)
        short += n < len(asked)
        todo = todo[n:]
print(got, short > 0, flush=True)
sys.stdin.read()
"""


def test_commands_cut_by_short_writes_are_counted_once(collector, tmp_path):
    with Server(tmp_path) as server:
        port = free_port()
        env = environment(collector.endpoint, "app", {"OTEL_EXPORTER_PROMETHEUS_PORT": str(port), **BIG_QUEUE})
        with subprocess.Popen([sys.executable, "-c", SHORT_WRITES, str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=env) as client:
            assert client.stdout.readline() == b"2000 True\n"
            metrics = wait_metrics(port, ASKED, 2000)
            client.stdin.close()
        assert not opaque(metrics)
        assert server.counts()["SET"] == 2000


APP = app_server.source("""
import threading
import redis
r = redis.Redis(port=int(sys.argv[1]))
""", """
r.set(self.path, self.path)
body = r.get(self.path)
""")


def test_commands_are_children_of_the_requests_they_were_made_for(collector, tmp_path):
    """64 requests at once, a thread each: two commands in each trace, from the first connection on."""
    with Server(tmp_path) as server:
        with Program([sys.executable, "-c", APP, server.port], endpoint=collector.endpoint, service="app",
                     settings=BIG_QUEUE) as app:
            app_server.visit_all(app.port, 64)
            served = collector.wait_count(64, kind="SERVER")
            commands = collector.wait_count(128, kind="CLIENT", where=lambda s: s.name in ("SET", "GET"))
    assert app_server.children(served, commands) == [["GET", "SET"]] * 64


def test_a_long_pipeline_in_one_write(collector, tmp_path):
    with Server(tmp_path, collector) as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as s:
            s.sendall(b"*1\r\n$4\r\nPING\r\n" * 5000)
            got = b""
            while len(got) < 5000 * 7:
                got += s.recv(1 << 20)
            assert got == b"+PONG\r\n" * 5000
        metrics = wait_metrics(server.metrics_port, SERVED, 5000, lossy=True)
        assert not opaque(metrics)


def test_replies_turned_off_end_the_observing(collector, tmp_path):
    """Nothing could be said of who is answered: the connection is counted as one that is not looked into."""
    with Server(tmp_path, collector) as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as s:
            s.sendall(b"*1\r\n$4\r\nPING\r\n")
            assert s.recv(100) == b"+PONG\r\n"
            s.sendall(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n*1\r\n$4\r\nPING\r\n"
                      b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n")
            assert s.recv(100) == b"+OK\r\n"
        metrics = wait_metrics(server.metrics_port, SERVED, 1)
        assert opaque(metrics) == {"parse_error": 1}


def test_commands_inside_tls(collector, tmp_path):
    """The same commands from both sides of an encrypted connection, each span with where it went."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
                    "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    port = free_port()
    tls = ["--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate,
           "--tls-auth-clients", "no"]
    with Server(tmp_path, collector, tls) as server:
        wait_for_port(port)
        said = subprocess.run([need("redis-cli"), "-p", str(port), "--tls", "--cacert", certificate], input=COMMANDS.encode(),
                              capture_output=True, timeout=60, check=True,
                              env=environment(collector.endpoint, "cli", BIG_QUEUE)).stdout
        assert said.startswith(b"OK\n")
        served = collector.wait_count(21, kind="SERVER", service="redis")
    asked = collector.wait_count(21, kind="CLIENT", service="cli")
    assert sorted(s.name for s in served) == sorted(s.name for s in asked) and len(asked) == 21
    assert all(s.attributes["network.peer.port"] == port for s in asked)
    assert not [s for s in served + asked if SECRET in repr(s.attributes) + s.name]
