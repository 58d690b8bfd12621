"""nginx: files, reverse proxy, daemon, reload, upgrade, workers that die. TLS is in test_tls.py."""
import signal
import subprocess
import time
from collections import Counter

import pytest

from kit import (BIG_QUEUE, COUNT, Tree, both, chain, exact, in_background, kill, leaf_saw, listen, need, no_drops,
                 read_pid, wait_gone, wait_until)
from lib.collector import find
from lib.loadgen import Connection, Load
from lib.preload import wait_for_port
from load import Storm
from webs import VISIT, access_log, nginx, nginx_argv, visit

STATIC = "server { listen 127.0.0.1:@PORT@ backlog=512; root @WWW@; location = /away { return 302 /index.html; } }"
PROXY = """upstream up { server 127.0.0.1:@UP@; keepalive 16; }
  server {
    listen 127.0.0.1:@PORT@ backlog=512;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }"""

def test_files(ways):
    """sendfile bodies, no bodies, ranges, refusals; four workers."""
    def scenario(way):
        port = way.port()
        with nginx(way, STATIC, workers=4, port=port) as (program, tree, root):
            wait_until(lambda: len(tree.workers()) == 4)
            seen = visit(port)
            load = Load(port, 600, 16, path=lambda _: "/small.txt").run()
            for i in range(30):
                with Connection(port) as connection:
                    connection.request("/big.bin")
            if way.ours:
                count = len(VISIT) + 630
                spans = exact(way, tree, count)
                statuses = sorted(s.attributes["http.response.status_code"] for s in spans)
                assert statuses == sorted([s for s, _, _ in seen] + [200] * 630)
                for span in find(spans, where=lambda s: s.attributes["http.response.status_code"] == 200 and s.path == "/big.bin"):
                    assert span.attributes.get("http.response.body.size", 256 * 8192) == 256 * 8192
                assert not find(way.collector.spans, kind="CLIENT")
            way.same_fds(tree)
            return seen, load.statuses(), way.seen(program), access_log(root)  # the log is whole after the end
    both(ways, scenario)


def test_proxy_with_a_keep_alive_pool(ways, leaf):
    def scenario(way):
        port = way.port()
        with nginx(way, PROXY, workers=2, port=port, up=leaf.port) as (program, tree, root):
            seen = visit(port, [("GET", "/a", [], b""), ("HEAD", "/b", [], b""), ("POST", "/c", [], b"p" * 200000),
                                ("PUT", "/d", [("Expect", "100-continue")], b"q" * 10), ("GET", "/status/500", [], b"")])
            upstream = leaf_saw(leaf, 5, way.ours)
            load = Load(port, 500, 16).run()
            leaf_saw(leaf, 500, way.ours)
            if way.ours:
                exact(way, tree, 505)
                exact(way, tree, 505, role="CLIENT")
                spans = way.collector.spans
                parents = {s.span_id: s for s in find(spans, kind="SERVER")}
                for call in find(spans, kind="CLIENT"):
                    assert call.parent_id in parents and parents[call.parent_id].path == call.path, call
                assert len(find(spans, kind="SERVER", path="/status/500", status=None)) == 1
            return seen, upstream, load.statuses(), way.seen(program), [line for line in access_log(root) if "/t/" not in line]
    both(ways, scenario)


def test_chain_of_two(ways):
    """client -> nginx as a proxy -> nginx with files, both with the library: whole traces. The first calls of each worker
    may have links: a loop that acts at once is trusted after four, and one that is unsure makes the next one so."""
    def scenario(way):
        port, up = way.port(), way.port()
        with nginx(way, STATIC, service="files", name="files", workers=2, port=up) as (files, files_tree, files_root), \
                nginx(way, PROXY, service="proxy", name="proxy", port=port, up=up) as (proxy, proxy_tree, root):
            load = Load(port, 400, 32, path=lambda i: "/small.txt?" + i).run()
            visit(port, [r for r in VISIT if r[1] != "/away"])
            if way.ours:
                count = 400 + len(VISIT) - 1
                exact(way, proxy_tree, count, service="proxy")
                exact(way, proxy_tree, count, service="proxy", role="CLIENT")
                exact(way, files_tree, count, service="files")
                assert chain(way.collector.spans, "proxy", "files", unsure=2 * 12) == count
            return load.statuses(), Counter(line.split("?")[0] for line in access_log(files_root)), way.seen(proxy), way.seen(files)
    both(ways, scenario)


@pytest.mark.parametrize("settings", [{}, {"OTEL_TRACES_SAMPLER": "always_off"}], ids=["sampled", "unsampled"])
def test_context_travels_on(ways, leaf, settings):
    """A traceparent that comes in is continued; tracestate and baggage pass unharmed."""
    def scenario(way):
        port = way.port()
        trace, parent = "1f" * 16, "2e" * 8
        with nginx(way, PROXY, port=port, up=leaf.port, settings=settings) as (program, tree, root):
            with Connection(port) as c:
                c.request("/x", headers=[("traceparent", f"00-{trace}-{parent}-01"), ("tracestate", "a=1,b=2"),
                                         ("baggage", "k=v")])
            request, = leaf.wait_count(1)
            del leaf.requests[:]
            sent = request.get("traceparent").split("-")
            assert sent[1] == trace and request.get("baggage") == "k=v"
            assert request.get("tracestate").endswith("a=1,b=2")
            if way.ours and not settings:
                server, = way.collector.wait_count(1, kind="SERVER")
                call, = way.collector.wait_count(1, kind="CLIENT")
                assert (server.trace_id, server.parent_id) == (trace, parent)
                assert (call.trace_id, call.parent_id, call.span_id) == (trace, server.span_id, sent[2])
            return way.seen(program)
    both(ways, scenario)


def test_daemon(ways):
    """`daemon on`: the process that we start ends; its child's child serves."""
    def scenario(way):
        port = way.port()
        argv, root = nginx_argv(way, STATIC, workers=2, daemon="on", port=port)
        started = way.daemonize(argv)
        assert started[0] == 0, started
        master = read_pid(root / "nginx.pid")
        tree = Tree(master, [port])
        try:
            wait_for_port(port)
            load = Load(port, 300, 8, path=lambda _: "/small.txt", keep_alive=False).run()
            if way.ours:
                exact(way, tree, 300)
            way.same_fds(tree)
        finally:
            stopped = way.run(argv + ["-s", "quit"])
            wait_gone([master])
        assert not (root / "nginx.pid").exists()
        return started, stopped, load.statuses(), way.clean((root / "error.log").read_text())
    both(ways, scenario)


ECHO = "server { listen 127.0.0.1:@PORT@ backlog=512; location / { return 200 ok; } }"


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_reload_under_load(ways, keep_alive):
    def scenario(way):
        port = way.port()
        with nginx(way, ECHO, workers=4, port=port) as (program, tree, root):
            wait_until(lambda: len(tree.workers()) == 4)
            with Storm(port, keep_alive=keep_alive) as storm:
                for _ in range(5):
                    old = set(tree.workers())
                    program.send_signal(signal.SIGHUP)
                    wait_until(lambda: len(set(tree.workers()) - old) == 4, what="new workers")
                    storm.wait_more(100)
            # An idle connection may be closed by the old worker as the next request comes; nothing else breaks.
            assert storm.broken <= (5 * storm.connections if keep_alive else 0)
            if way.ours:
                storm.judge(way, tree)
            wait_until(lambda: len(tree.workers()) == 4, what="the old workers to leave")
            way.same_fds(tree)
            return storm.statuses(), way.seen(program)
    both(ways, scenario)


def test_workers_killed_under_load(ways):
    def scenario(way):
        port = way.port()
        with nginx(way, ECHO, workers=4, port=port) as (program, tree, root):
            wait_until(lambda: len(tree.workers()) == 4)
            with Storm(port) as storm:
                for turn in range(8):
                    victim = tree.workers()[turn % 4]
                    kill(victim, signal.SIGKILL)
                    wait_until(lambda: victim not in tree.workers() and len(tree.workers()) == 4, what="a new worker")
                    storm.wait_more(100)
            assert storm.broken <= 8 * storm.connections
            if way.ours:
                storm.judge(way, tree, killed=8)
            way.same_fds(tree)
            return storm.statuses(), way.seen(program)
    both(ways, scenario)


def test_upgrade_of_the_program(ways):
    """SIGUSR2: a new master takes the listening sockets over by inheritance; the old one leaves. nginx gives the new
    program only the variables that its configuration names."""
    names = ("LD_PRELOAD", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_PROMETHEUS_PORT", "OTEL_BSP_SCHEDULE_DELAY")
    keep = "".join(f"env {name};\n" for name in names)

    def scenario(way):
        port = way.port()
        argv, root = nginx_argv(way, ECHO, workers=2, daemon="on", top=keep, port=port)
        assert way.daemonize(argv)[0] == 0
        old = read_pid(root / "nginx.pid")
        masters = [old]
        try:
            wait_for_port(port)
            first = Load(port, 100, 4).run()
            if way.ours:
                exact(way, Tree(old, [port]), 100)
            kill(old, signal.SIGUSR2)
            wait_until(lambda: (root / "nginx.pid.oldbin").exists() and read_pid(root / "nginx.pid") != old, what="a new master")
            new = read_pid(root / "nginx.pid")
            masters.append(new)
            wait_until(lambda: len(Tree(new, []).workers()) == 2)
            kill(old, signal.SIGQUIT)
            wait_gone([old])
            second = Load(port, 100, 4).run()
            if way.ours:
                tree = Tree(new, [port])
                tree.wait_sum(COUNT, 100, at_most=100)
                spans = way.collector.wait_count(200, kind="SERVER")
                assert len(spans) == 200
        finally:
            for master in masters:
                kill(master, signal.SIGTERM)
            wait_gone(masters)
        return first.statuses(), second.statuses()
    both(ways, scenario)
