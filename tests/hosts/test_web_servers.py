"""Apache (event, prefork), lighttpd, HAProxy and Squid: files, programs, proxying, restarts under load."""
import re
import signal

import pytest

from kit import both, catches, exact, leaf_saw, need_root, wait_until
from lib.collector import find
from lib.loadgen import Connection, Load
from lib.leaf import Leaf
from load import Storm
from webs import VISIT, apache, haproxy, lighttpd, squid, visit

FILES_ONLY = [r for r in VISIT if r[1] != "/away"]
UP = [("GET", "/up/a", [], b""), ("HEAD", "/up/b", [], b""), ("POST", "/up/c", [], b"p" * 200000),
      ("PUT", "/up/d", [], b"q" * 10), ("GET", "/up/status/500", [], b"")]
# So many certain pairs that a proxy is known as one (docs/context.md, rule 5).
MORE = [("GET", f"/up/more/{i}", [], b"") for i in range(10)]


def errors_in(log):
    """What a server complained about so far, without times and pids. Asked before the end: children of Debian's Apache die
    of SIGSEGV now and then when they are told to stop, with us and without."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [re.sub(r"^.*?\] (?=AH|\w)|\[[^]]*\]|\d+", "", line) for line in lines if re.search(r"error|crit|alert|emerg|fault", line)]


def right_parents(spans, or_none=False):
    """Every call belongs to the request for the same path. or_none: it may have no parent, where a server under load reads
    several requests before it acts on them: how many it reads is a matter of timing"""
    servers = {s.span_id: s for s in find(spans, kind="SERVER")}
    calls = find(spans, kind="CLIENT")
    for call in calls:
        if or_none and not call.parent_id:
            continue
        parent = servers.get(call.parent_id)
        assert parent and parent.path == call.path and parent.trace_id == call.trace_id, f"{call} has parent {parent}"


def files_scenario(start, more=(), idle_sockets=None):
    def scenario(way):
        with start(way) as (program, tree, port):
            seen = visit(port, FILES_ONLY + list(more))
            for _, headers, _ in seen[len(FILES_ONLY):]:  # how a program's output is framed is a matter of timing
                headers.pop("content-length", None)
                headers.pop("transfer-encoding", None)
            load = Load(port, 400, 16, path=lambda _: "/small.txt").run()
            load2 = Load(port, 100, 8, path=lambda _: "/small.txt?q=1", keep_alive=False).run()
            if way.ours:
                spans = exact(way, tree, len(seen) + 500)
                statuses = sorted(s.attributes["http.response.status_code"] for s in spans)
                assert statuses == sorted([s for s, _, _ in seen] + [200] * 500)
            if idle_sockets:
                program.wait_sockets(idle_sockets)
            errors = errors_in(way.folder / "error.log")
            return seen, load.statuses(), load2.statuses(), errors, way.seen(program)
    return scenario


def proxy_scenario(start, leaf, requests=UP, load=400, path=lambda i: f"/up/{i}", idle_sockets=None, or_none=False):
    def scenario(way):
        with start(way) as (program, tree, port):
            seen = visit(port, requests)
            upstream = leaf_saw(leaf, len(requests), way.ours)
            done = Load(port, load, 32, path=path).run()
            leaf_saw(leaf, load, way.ours)
            if way.ours:
                exact(way, tree, len(requests) + load)
                exact(way, tree, len(requests) + load, role="CLIENT")
                right_parents(way.collector.spans, or_none)
                right_parents([s for s in way.collector.spans if s.path in {r[1] for r in requests}])
            if idle_sockets:
                program.wait_sockets(idle_sockets)
            errors = errors_in(way.folder / "error.log")
            return seen, upstream, done.statuses(), errors, way.seen(program)
    return scenario


MPMS = pytest.mark.parametrize("mpm", ["event", "prefork"])
CGI = [("GET", "/cgi/hello", [], b""), ("POST", "/cgi/hello", [], b"body " * 1000)]


@MPMS
@pytest.mark.parametrize("sendfile", ["Off", "On"])
def test_apache_files(ways, mpm, sendfile):
    both(ways, files_scenario(lambda way: apache(way, mpm, sendfile=sendfile), CGI))


@MPMS
def test_apache_proxy(ways, leaf, mpm):
    both(ways, proxy_scenario(lambda way: apache(way, mpm, up=leaf.port), leaf))


@MPMS
@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_apache_graceful_restarts_under_load(ways, leaf, mpm, keep_alive):
    def scenario(way):
        with apache(way, mpm, up=leaf.port) as (program, tree, port):
            with Storm(port, keep_alive=keep_alive, path=lambda i: f"/up/{i}") as storm:
                for _ in range(5):
                    old = set(tree.workers())
                    storm.wait_more(100)
                    program.send_signal(signal.SIGUSR1)
                    wait_until(lambda: set(tree.workers()) - old, what="new children")
                    wait_until(lambda: not old & set(tree.workers()), 30, what="the old children to leave")
            assert storm.broken <= (20 * storm.connections if keep_alive else 0)
            if way.ours:
                storm.judge(way, tree, also_calls=True)
                right_parents(way.collector.spans)
            del leaf.requests[:]
            # Restarts that follow each other closely leave two of Apache's CGI daemons at one socket now and then.
            errors = [e for e in errors_in(way.folder / "error.log") if "cgid" not in e]
            return storm.statuses(), errors, way.seen(program)
    both(ways, scenario)


# lighttpd ends with 1 when it has connections left, hence idle_sockets.
@pytest.mark.parametrize("backend", ["sendfile", "writev"])
def test_lighttpd_files(ways, backend):
    both(ways, files_scenario(lambda way: lighttpd(way, backend=backend), idle_sockets=1))


def test_lighttpd_proxy(ways, leaf):
    both(ways, proxy_scenario(lambda way: lighttpd(way, up=leaf.port), leaf, idle_sockets=1))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("splice", ["", "option splice-auto"], ids=["copy", "splice"])
def test_haproxy(ways, leaf, threads, splice):
    both(ways, proxy_scenario(lambda way: haproxy(way, leaf.port, threads, splice), leaf, UP + MORE, or_none=True))


def test_haproxy_bodies_that_the_kernel_moves(ways):
    """With splice the program never sees the body."""
    with Leaf(body=b"b" * 2000000) as leaf:
        both(ways, proxy_scenario(lambda way: haproxy(way, leaf.port, 1, "option splice-response\n  option splice-request"), leaf,
                                  [("GET", "/up/a", [], b""), ("POST", "/up/b", [], b"p" * 3000000), ("GET", "/up/c", [], b"")],
                                  load=40, or_none=1.0))


def test_haproxy_reload_under_load(ways, leaf):
    """The master executes itself anew; the new worker gets the listeners from the old one over a Unix socket."""
    def scenario(way):
        with haproxy(way, leaf.port, master=True) as (program, tree, port):
            with Storm(port, path=lambda i: f"/up/{i}") as storm:
                for _ in range(3):
                    old = set(tree.workers())
                    storm.wait_more(100)
                    wait_until(lambda: catches(program.pid, signal.SIGUSR2), what="the master to be ready")
                    program.send_signal(signal.SIGUSR2)
                    wait_until(lambda: set(tree.workers()) - old, what="a new worker")
                    wait_until(lambda: not old & set(tree.workers()), 30, what="the old worker to leave")
            assert storm.broken == 0
            del leaf.requests[:]
            if way.ours:
                storm.judge_spans(way, also_calls=True)
                right_parents(way.collector.spans, 1.0)
            return storm.statuses(), way.seen(program)
    both(ways, scenario)


def test_squid_as_a_forward_proxy(ways, leaf):
    """Absolute targets, and a CONNECT tunnel."""
    need_root()

    def scenario(way):
        with squid(way) as (program, tree, port):
            up = f"http://127.0.0.1:{leaf.port}"
            seen = visit(port, [("GET", f"{up}/a", [], b""), ("HEAD", f"{up}/b", [], b""), ("POST", f"{up}/c", [], b"x" * 5000),
                                ("GET", f"{up}/status/404", [], b"")])
            load = Load(port, 200, 16, path=lambda i: f"{up}/t/{i}").run()
            upstream = leaf_saw(leaf, 204, way.ours)[:4]
            with Connection(port) as tunnel:
                status, _, _ = tunnel.request(f"127.0.0.1:{leaf.port}", "CONNECT")
                inside = tunnel.request("/inside", "POST", body=b"tunnel")
            passed, = leaf.wait_count(1)
            del leaf.requests[:]
            if way.ours:
                way.collector.wait_count(1, kind="SERVER", http__request__method="CONNECT")
                servers = way.collector.wait_count(204, kind="SERVER", where=lambda s: s.path.startswith("/"))
                calls = way.collector.wait_count(204, kind="CLIENT", where=lambda s: s.path not in ("", "/inside"))
                assert len(servers) == len(calls) == 204
                right_parents(servers + calls, 0.6)
            return seen, load.statuses(), upstream, status, inside[0], inside[2], passed.body, way.seen(program)[:2]
    both(ways, scenario)
