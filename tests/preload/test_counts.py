"""Counts are exact: N requests are N in the histograms and N server spans, whatever the server does."""
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from lib.collector import Collector, find
from lib.leaf import Leaf
from lib.loadgen import Connection, Load
from lib.metrics import listening_ports, metrics_ports, scrape
from lib.preload import Program, app, free_port, run, wait_until

COUNT = "http_server_request_duration_seconds_count"
CLIENT_COUNT = "http_client_request_duration_seconds_count"
HOSTS = Path(__file__).parent / "hosts"
BIG_QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}


def children(pid):
    """Live descendants of a process, itself included."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        found.append(parent)
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as f:
                    todo.extend(int(p) for p in f.read().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def metrics_port(program):
    """The port of the endpoint of a program's tree; others that it listens on answer something else."""
    return wait_until(lambda: next(metrics_ports(children(program.pid), [program.port]), None), what="a metrics endpoint")


def wait_sum(program, name, count, **labels):
    """Waits until the metric has the value; fails at once if it overshoots. returns the scrape"""
    last = None

    def look():
        nonlocal last
        last = scrape(metrics_port(program))
        have = last.sum(name, **labels)
        assert have <= count, f"{name} is {have}, more than {count}"
        return last if have == count else None
    try:
        return wait_until(look, what=f"{name} = {count}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {last and last.sum(name, **labels)}") from None


def lost(metrics):
    return {k: v for k, v in metrics.series("otelauto_drops_total").items() if v}


def missed(metrics):
    """Connections that were given up."""
    return {k: v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v} | lost(metrics)


def no_drops(metrics):
    assert not lost(metrics), lost(metrics)


def ids_of(spans):
    return {s.path.rsplit("/", 1)[1] for s in find(spans, kind="SERVER")}


SERVERS = ["thread_server", "pool_server", "epoll_proxy", "epoll_defer", "coro_server", "offload_server", "fd_pass"]


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
def test_n_requests_are_n_spans_and_n_counts(collector, name, keep_alive):
    requests = 400
    # fd_pass serves two connections at a time.
    connections = 2 if name == "fd_pass" else 16
    with Leaf() as leaf, Program([app(name), leaf.port], endpoint=collector.endpoint, settings=BIG_QUEUE) as program:
        load = Load(program.port, requests, connections, keep_alive=keep_alive).run()
        assert load.statuses() == {200: requests}
        metrics = wait_sum(program, COUNT, requests)
        collector.wait_count(requests, kind="SERVER")
        collector.wait_count(requests, kind="CLIENT")
        assert metrics.sum(CLIENT_COUNT) == len(leaf.requests) == requests
        no_drops(metrics)
    assert len(find(collector.spans, kind="SERVER")) == requests
    assert len(find(collector.spans, kind="CLIENT")) == requests
    assert {s.path.rsplit("/", 1)[1] for s in find(collector.spans, kind="SERVER")} == set(load.ids)


def test_pipelined_load(collector):
    with Program([app("thread_server")], endpoint=collector.endpoint, settings=BIG_QUEUE) as program:
        Load(program.port, 600, 4, pipeline=15).run()
        no_drops(wait_sum(program, COUNT, 600))
        collector.wait_count(600, kind="SERVER")
    assert len(collector.spans) == 600


def asleep_for_long(program):
    """Waits until the library's thread sleeps for longer than it does in a process that was busy a moment ago."""
    tasks = Path(f"/proc/{program.pid}/task")
    ours, = (t for t in tasks.iterdir() if (t / "comm").read_text() == "otelauto\n")

    def wakes():
        return re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (ours / "status").read_text(), re.M)[1]

    def look():
        before = wakes()
        time.sleep(0.25)
        return wakes() == before
    wait_until(look, what="a long sleep")


def test_a_burst_after_nothing_is_not_lost(collector):
    """More than the rings hold, in less time than the library's thread sleeps when nothing happens: some 100 000 a second. At
    full speed the rings last for 10 ms once it was woken, and two busy processors may keep it waiting for longer."""
    burst = 15000
    with Program([app("thread_server")], endpoint=collector.endpoint, settings=BIG_QUEUE) as program:
        Load(program.port, 10, 1).run()
        wait_sum(program, COUNT, 10)
        with Connection(program.port) as c:
            c.request("/first")
            asleep_for_long(program)
            for _ in range(burst // 50):
                c.send(b"GET /burst HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
                answers, last = 0, b""
                while answers < 50:
                    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                    data = last + c.sock.recv(1 << 20)
                    answers += data.count(b"HTTP/1.1 200")
                    last = data[-11:]
                time.sleep(0.0003)
        no_drops(wait_sum(program, COUNT, 11 + burst))


def test_short_lived_client_loses_nothing(collector, leaf):
    for i in range(10):
        run([app("http_get"), leaf.port, f"/short/{i}"], endpoint=collector.endpoint)
    spans = collector.wait_count(10, kind="CLIENT")
    assert sorted(s.path for s in spans) == [f"/short/{i}" for i in range(10)]
    assert len({s.resource["service.instance.id"] for s in spans}) == 10


@pytest.mark.parametrize("workers", [2, 8])
def test_one_scrape_answers_for_all_workers(collector, workers):
    with Leaf() as leaf, Program([app("prefork_server"), leaf.port, workers], endpoint=collector.endpoint,
                                 settings=BIG_QUEUE) as program:
        Load(program.port, 300, 16, keep_alive=False).run()
        no_drops(wait_sum(program, COUNT, 300))
        collector.wait_count(300, kind="SERVER")
    spans = find(collector.spans, kind="SERVER")
    assert len(spans) == 300
    assert len({s.resource["service.instance.id"] for s in spans}) > 1, "each worker is an instance of its own"
    assert len({s.resource["service.name"] for s in spans}) == 1


def test_a_process_for_each_connection(collector):
    """More processes than the tree has room for, one after the other."""
    requests = 100
    with Program([sys.executable, HOSTS / "forking_server.py"], endpoint=collector.endpoint) as program:
        for i in range(requests):
            with Connection(program.port) as c:
                assert c.request(f"/one/{i}")[0] == 200
            time.sleep(0.02)
        wait_sum(program, COUNT, requests)
        drops = Counter()

        def settled():
            drops.clear()
            drops.update(lost(scrape(metrics_port(program))))
            return len(ids_of(collector.spans)) + sum(drops.values()) >= requests
        wait_until(settled, 30, "each request to be a span or a loss")
    # A process may end while its record is being counted: nobody can say then whether it was.
    assert set(drops) <= {(("reason", "process_died"),)} and sum(drops.values()) <= 2, drops
    spans = find(collector.spans, kind="SERVER")
    assert len(spans) == len(ids_of(spans)) >= requests - sum(drops.values()), "a request has two spans"
    assert len({s.resource["process.pid"] for s in spans}) > requests / 2


def test_of_more_processes_than_can_be_followed_every_loss_is_counted(collector):
    requests = 400
    with Program([sys.executable, HOSTS / "forking_server.py"], endpoint=collector.endpoint) as program:
        load = Load(program.port, requests, 8, keep_alive=False).run()
        assert load.statuses() == {200: requests}

        def settled():
            drops = lost(scrape(metrics_port(program)))
            assert set(drops) <= {(("reason", "process_died"),)}, drops
            return len(ids_of(collector.spans)) + sum(drops.values()) >= requests
        wait_until(settled, 30, "each request to be a span or a loss")
    spans = find(collector.spans, kind="SERVER")
    assert len(spans) == len(ids_of(spans)), "a request has two spans"


def test_workers_killed_and_restarted_under_load(collector):
    """SIGKILL leaves no time for anything: what is counted and what was sent must still agree with what clients got,
    but for the requests that were in the worker's hands, which are counted as lost. Nothing comes twice. A worker that
    was put off its processor right after its write, and killed there, has answered a request in its hands: rare."""
    workers, stop, killed, in_hands = 4, threading.Event(), [], 2

    def kill_some(program):
        while not stop.wait(0.15) and len(killed) < 12:
            victims = [p for p in children(program.pid) if p != program.pid]
            if victims:
                victim = victims[len(killed) % len(victims)]
                try:
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)
                except ProcessLookupError:
                    pass

    with Leaf(delay=0.001) as leaf, \
            Program([app("prefork_server"), leaf.port, workers], endpoint=collector.endpoint) as program:
        port = program.port
        killer = threading.Thread(target=kill_some, args=(program,), daemon=True)
        killer.start()
        load = Load(port, 3000, 8, keep_alive=False, tolerant=True).run()
        stop.set()
        killer.join()
        answered = load.statuses()[200]
        assert killed and answered > 2000, (len(killed), answered)
        assert answered + load.broken >= 3000
        # The clients of these were answered: each must be there, or be counted as lost. The others may be.
        last = wait_until(lambda: (m := scrape(metrics_port(program))).sum(COUNT) >= answered - in_hands and m,
                          what=f"{answered} counted requests")
        assert last.sum(COUNT) <= answered + load.broken
        wait_until(lambda: (m := scrape(metrics_port(program))).sum(COUNT) +
                   lost(m).get((("reason", "process_died"),), 0) >= answered, what="the rest counted as lost")
        try:
            collector.wait_for(lambda spans: len(set(load.answers) - ids_of(spans)) <= in_hands)
        except AssertionError:
            missing = set(load.answers) - ids_of(collector.spans)
            raise AssertionError(f"{len(missing)} answered requests have no span; {len(killed)} workers were killed; "
                                 f"drops: {lost(scrape(metrics_port(program)))}") from None
    spans = find(collector.spans, kind="SERVER")
    assert len(spans) == len(ids_of(spans)), "a request has two spans"
    # The server's exchange and the client's.
    assert lost(last).get((("reason", "process_died"),), 0) <= 2 * (load.broken + in_hands)


def test_counters_never_go_backwards_while_workers_die(collector):
    collector.at_least_once = True
    with Program([app("prefork_server"), "0", "3"], endpoint=collector.endpoint) as program:
        seen, done = [], 0
        for turn in range(6):
            Load(program.port, 40, 4, keep_alive=False).run()
            done += 40
            seen.append(wait_sum(program, COUNT, done).sum(COUNT))
            victims = [p for p in children(program.pid) if p != program.pid]
            for victim in victims[: 1 + turn % 3]:
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda v=victim: v not in children(program.pid), what="the worker to be replaced")
            seen.append(scrape(metrics_port(program)).sum(COUNT))
    assert seen == sorted(seen), seen


def test_the_port_is_taken_over_when_its_holder_dies(collector):
    collector.at_least_once = True
    with Program([app("prefork_server"), "0", "4"], endpoint=collector.endpoint) as program:
        done = 0
        for _ in range(4):
            Load(program.port, 40, 8, keep_alive=False).run()
            done += 40
            wait_sum(program, COUNT, done)
            port = metrics_port(program)
            holder = next((p for p in children(program.pid) if port in listening_ports([p])), None)
            if holder == program.pid:
                pytest.skip("the parent holds the port; it cannot die in this test")
            os.kill(holder, signal.SIGKILL)
            assert wait_until(lambda: holder not in children(program.pid))
        wait_sum(program, COUNT, done)


def sampled(request):
    """What the context on the wire says."""
    return int(request.get("traceparent").split("-")[3], 16) & 1


def test_unsampled_requests_are_counted_all_the_same(collector):
    settings = {"OTEL_TRACES_SAMPLER": "always_off"}
    with Leaf() as leaf, Program([app("thread_server"), leaf.port], endpoint=collector.endpoint,
                                 settings=settings) as program:
        Load(program.port, 200, 8).run()
        metrics = wait_sum(program, COUNT, 200)
        assert metrics.sum(CLIENT_COUNT) == 200
        assert not any(sampled(r) for r in leaf.requests)
    assert not collector.spans


def test_half_sampled_is_half_the_spans_and_all_the_counts(collector):
    settings = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5", "OTELAUTO_KEEP": "none", **BIG_QUEUE}
    with Leaf() as leaf, Program([app("thread_server"), leaf.port], endpoint=collector.endpoint,
                                 settings=settings) as program:
        Load(program.port, 600, 8).run()
        metrics = wait_sum(program, COUNT, 600)
        assert metrics.sum(CLIENT_COUNT) == 600
        promised = {r.get("traceparent").split("-")[1] for r in leaf.requests if sampled(r)}
        assert 200 < len(promised) < 400
        collector.wait_for(lambda spans: len(find(spans, kind="SERVER")) >= len(promised))
    assert {s.trace_id for s in collector.spans} == promised, "whole traces, and those that the wire promised"
    assert len(collector.spans) == 2 * len(promised)


def test_metrics_only(library):
    with Program([app("thread_server")]) as program:
        Load(program.port, 50, 4).run()
        wait_sum(program, COUNT, 50)


def test_no_endpoint_when_switched_off(collector):
    settings = {"OTEL_METRICS_EXPORTER": "none"}
    with Program([app("thread_server")], endpoint=collector.endpoint, settings=settings) as program:
        Load(program.port, 20, 4).run()
        collector.wait_count(20, kind="SERVER")
        assert listening_ports([program.pid]) == {program.port}


def test_bodies_are_measured(collector):
    with Program([app("thread_server")], endpoint=collector.endpoint) as program:
        with Connection(program.port) as c:
            for size in (0, 10, 1000):
                c.request("/body", "POST", body=b"b" * size)
        m = wait_sum(program, COUNT, 3)
        assert m.sum("http_server_request_body_size_bytes_sum") == 1010
        assert m.sum("http_server_response_body_size_bytes_sum") == 3 * len("hello")


def test_sendfile_bodies_are_measured(collector, tmp_path):
    (tmp_path / "file").write_bytes(b"f" * 200000)
    with Program([app("sendfile_server"), tmp_path / "file"], endpoint=collector.endpoint) as program:
        with Connection(program.port) as c:
            assert len(c.request("/file")[2]) == 200000
            assert len(c.request("/splice")[2]) == 200000
        m = wait_sum(program, COUNT, 2)
        assert m.sum("http_server_response_body_size_bytes_sum") == 400000


def test_our_own_counters_agree(collector):
    with Leaf() as leaf, Program([app("thread_server"), leaf.port], endpoint=collector.endpoint) as program:
        Load(program.port, 100, 4).run()
        collector.wait_count(200)
        m = wait_sum(program, COUNT, 100)
        assert m.sum("otelauto_injections_total", result="injected") == 100
        assert m.sum("otelauto_spans_total", decision="sampled") == 200
        wait_until(lambda: scrape(metrics_port(program)).sum("otelauto_exported_spans_total", result="success") == 200)
        assert m.sum("otelauto_connections_total", role="server") == 4
        assert m.sum("otelauto_connections_total", role="client") == 100


def test_exports_carry_on_when_the_collector_starts_late(library):
    """Spans wait in the queue; nothing is lost while there is room."""
    port = free_port()
    with Program([app("thread_server")], endpoint=f"http://127.0.0.1:{port}") as program:
        Load(program.port, 100, 4).run()
        with Collector(port) as c:
            c.wait_count(100, kind="SERVER", deadline=60)


def test_bytes_of_a_dead_connection_are_no_request(collector):
    with Program([app("thread_server")], endpoint=collector.endpoint) as program:
        for _ in range(20):
            with Connection(program.port):
                pass
        with Connection(program.port) as c:
            c.request("/one")
        wait_sum(program, COUNT, 1)
    assert len(collector.wait_count(1)) == 1
