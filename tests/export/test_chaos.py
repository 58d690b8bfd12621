"""A server under load while its collector is away, mute, slow, busy or rude: nothing is lost without being counted, memory
stays where it was, and afterwards everything goes on without a restart."""
import json
import os
import signal
import socket
import struct
import sys

import pytest

from fake import Fake, answer, closed_port, drip, ok, raw, silent
from lib.collector import Collector
from lib.leaf import Leaf
from lib.loadgen import Load
from lib.metrics import get, metrics_ports, scrape
from lib.preload import Program, app, run, wait_until
from test_tls import server as tls_server

SETTINGS = {"OTEL_BSP_MAX_QUEUE_SIZE": "256", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64", "OTEL_BSP_EXPORT_TIMEOUT": "1500",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "400", "OTELAUTO_EXIT_FLUSH": "50"}
ARENA_MAX = 4 << 20
REQUESTS = 400

TROUBLE = {
    "mute": silent(), "one byte a second": drip(), "503 with Retry-After": answer(503, [("Retry-After", "1")]),
    "429": answer(429), "400": answer(400), "500": answer(500), "reset": raw(b"", reset=True),
    "half an answer": raw(b"HTTP/1.1 20", reset=True), "nonsense": raw(b"\x00\x01\x02 hello\r\n\r\n"),
}


def endpoint_of(program):
    return wait_until(lambda: next(metrics_ports([program.pid], [program.port]), None), what="a metrics endpoint")


class Count:
    """What became of all spans that were sampled."""

    def __init__(self, port):
        m = scrape(port)
        self.sampled = m.sum("otelauto_spans_total", decision="sampled")
        self.results = {r: m.sum("otelauto_exported_spans_total", result=r)
                        for r in ("success", "rejected", "failed", "unknown")}
        self.queue_full = m.sum("otelauto_drops_total", reason="queue_full")
        self.lost = sum(m.sum("otelauto_drops_total", reason=r) for r in ("ring_full", "ring_stalled"))
        self.waiting = m.sum("otelauto_queue_used_slots")
        self.spool = m.sum("otelauto_spool_waiting_spans")

    @property
    def known(self):
        return sum(self.results.values()) + self.queue_full + self.spool

    def __repr__(self):
        return str(vars(self))


def settled(port, requests):
    """Waits until nothing waits any more; then all are known."""
    def look():
        c = Count(port)
        return c if c.sampled + c.lost >= 2 * requests and not c.waiting and c.known == c.sampled else None
    return wait_until(look, 60, f"{2 * requests} spans accounted for: {Count(port)}")


def arena(port):
    return json.loads(get(port, "/api/status")[2])["arena_bytes"]


def load(program, requests=REQUESTS):
    Load(program.port, requests, 8).run()


def check(program, requests):
    port = endpoint_of(program)
    count = settled(port, requests)
    assert count.sampled == 2 * requests and count.lost == 0
    assert arena(port) < ARENA_MAX
    return count


@pytest.mark.parametrize("name", sorted(TROUBLE))
def test_trouble_is_counted_and_passes(library, name):
    with Fake(TROUBLE[name]) as c, Leaf() as leaf:
        with Program([app("thread_server"), leaf.port], endpoint=c.endpoint, settings=SETTINGS) as program:
            load(program)
            bad = check(program, REQUESTS)
            assert bad.results["success"] == 0 and bad.known == 2 * REQUESTS and not c.spans
            before = len(c.spans)
            c.script = [ok()]
            wait_until(lambda: load(program, 4) or len(c.spans) > before, 40, what="spans again")
            good = wait_until(lambda: (g := Count(endpoint_of(program))).waiting == 0 and g.known == g.sampled and g, 30)
            assert good.results["success"] == len(c.spans)
            assert not c.problems, c.problems


def sdk(m, name, **labels):
    return m.sum(f"otel_sdk_{name}", **labels)


def test_the_queue_shows_what_waits_and_what_is_on_its_way(library):
    with Fake(silent()) as c, Leaf() as leaf:
        with Program([app("thread_server"), leaf.port], endpoint=c.endpoint,
                     settings={**SETTINGS, "OTEL_BSP_EXPORT_TIMEOUT": "60000", "OTEL_EXPORTER_OTLP_TIMEOUT": "60000"}) as program:
            load(program, 100)
            port = endpoint_of(program)
            m = wait_until(lambda: sdk(m := scrape(port), "span_started_total") == 200 and c.received and m, 30)
            assert sdk(m, "processor_span_queue_size") == 200 and sdk(m, "processor_span_queue_capacity") == 256
            assert 0 < sdk(m, "exporter_span_inflight") <= 64
            assert sdk(m, "span_started_total", otel_span_sampling_result="DROP") == 0
            load(program, 100)
            m = wait_until(lambda: sdk(m := scrape(port), "span_started_total") == 400 and m, 30)
            assert sdk(m, "processor_span_queue_size") == 256
            assert sdk(m, "processor_span_processed_total", error_type="queue_full") == 400 - 256
            c.script = [ok()]
            c.stopped.set()
            m = wait_until(lambda: not sdk(m := scrape(port), "processor_span_queue_size") and m, 30)
            assert sdk(m, "exporter_span_inflight") == 0
            assert sdk(m, "exporter_span_exported_total") == sdk(m, "processor_span_processed_total") - 144


FAMILY = r"""
import os, socket, sys, time
listening = socket.create_server(("127.0.0.1", 0))
pid = os.fork()
if not pid:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
        s.sendall(b"GET /child HTTP/1.0\r\n\r\n")
        while s.recv(4096):
            pass
    time.sleep(60)
    os._exit(0)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:  # somebody must be there who sends for the dead
    print("port", listening.getsockname()[1], "child", pid, flush=True)
    os.waitpid(pid, 0)
    time.sleep(60)
"""


def test_a_process_killed_with_one_request_on_its_way_and_another_refused_doubles_nothing(library):
    refusing, keeper = closed_port()
    with keeper, Fake(silent()) as c, Leaf() as leaf:
        settings = {"OTEL_TRACES_EXPORTER": "otlp,zipkin",
                    "OTEL_EXPORTER_ZIPKIN_ENDPOINT": f"http://127.0.0.1:{refusing}/api/v2/spans",
                    "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_TIMEOUT": "60000"}
        with Program([sys.executable, "-c", FAMILY, leaf.port], endpoint=c.endpoint, settings=settings) as program:
            _, port, _, child = wait_until(lambda: program.stdout.split(), what="the child's pid")

            def metrics():
                at = next(metrics_ports([program.pid, int(child)], [int(port)]), None)
                return at and scrape(at)
            wait_until(lambda: c.received and (m := metrics()) and m.sum("otelauto_export_requests_total", result="retry") >= 2,
                       30, "a request on its way, another that failed twice")
            c.script = [ok()]
            os.kill(int(child), signal.SIGKILL)
            wait_until(lambda: (m := metrics()) and m.sum("otelauto_exported_spans_total", result="unknown") == 1, 30,
                       "the span is given up")
    assert len(c.received) == 1 and not c.spans


def test_a_collector_that_is_not_there_and_then_is(library):
    port, keeper = closed_port()
    with Leaf() as leaf, Program([app("thread_server"), leaf.port], endpoint=f"http://127.0.0.1:{port}",
                                 settings=SETTINGS) as program:
        load(program)
        check(program, REQUESTS)
        keeper.close()
        with Collector(port) as c:
            wait_until(lambda: load(program, 4) or c.spans, 40, what="spans again")
            good = wait_until(lambda: (g := Count(endpoint_of(program))).waiting == 0 and g.known == g.sampled and g, 30)
            assert good.results["success"] == len(c.spans)


ONE_CALL = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    while s.recv(4096):
        pass
"""


def test_a_program_does_not_stay_for_a_collector_that_is_away_for_longer(library):
    """The limit is a minute, but nothing is to be tried again within it."""
    settings = {"OTELAUTO_EXIT_FLUSH": "60000", "OTEL_BSP_EXPORT_TIMEOUT": "600000", "OTEL_EXPORTER_OTLP_TIMEOUT": "600000"}
    with Fake(answer(503, [("Retry-After", "300")])) as c, Leaf() as leaf:
        assert run([sys.executable, "-c", ONE_CALL, leaf.port], endpoint=c.endpoint, settings=settings).status == 0
        assert len(c.received) == 1


def test_with_a_spool_nothing_is_lost_at_all(library, tmp_path):
    with Fake(answer(503)) as c, Leaf() as leaf:
        settings = {**SETTINGS, "OTELAUTO_SPOOL_DIR": str(tmp_path), "OTEL_BSP_MAX_QUEUE_SIZE": "2048"}
        with Program([app("thread_server"), leaf.port], endpoint=c.endpoint, settings=settings) as program:
            load(program)
            count = check(program, REQUESTS)
            assert count.spool == 2 * REQUESTS and count.queue_full == 0
            c.script = [ok()]
            load(program, 1)
            wait_until(lambda: len(c.spans) == 2 * REQUESTS + 2, 60, what="everything")
            assert check(program, REQUESTS + 1).results["success"] == 2 * REQUESTS + 2
    assert not list(tmp_path.iterdir()) and not c.problems


class Cutter(Fake):
    """Resets each connection in the middle of the request's body, as long as `cutting`."""
    cutting = True

    def read(self, conn):
        if not self.cutting:
            return super().read(conn)
        conn.recv(2000)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return None


def test_a_reset_in_the_middle_of_the_body(library):
    with Cutter() as c, Leaf() as leaf:
        with Program([app("thread_server"), leaf.port], endpoint=c.endpoint, settings=SETTINGS) as program:
            load(program)
            bad = check(program, REQUESTS)
            assert bad.results["success"] == 0 and not c.received
            c.cutting = False
            wait_until(lambda: load(program, 4) or c.spans, 40, what="spans again")
            good = wait_until(lambda: (g := Count(endpoint_of(program))).waiting == 0 and g.known == g.sampled and g, 30)
            assert good.results["success"] == len(c.spans) and not c.problems


def test_a_full_disk_for_the_spool_is_counted_and_passes(library, tmp_path):
    """No file may be larger than 12 000 bytes: the larger batches do not fit, the others do."""
    with Fake(answer(503)) as c, Leaf() as leaf:
        settings = {**SETTINGS, "OTELAUTO_SPOOL_DIR": str(tmp_path), "OTEL_BSP_MAX_QUEUE_SIZE": "2048",
                    "OTEL_BSP_SCHEDULE_DELAY": "50"}
        argv = ["prlimit", "--fsize=12000", app("thread_server"), leaf.port]
        with Program(argv, endpoint=c.endpoint, settings=settings) as program:
            load(program)
            for _ in range(3):
                load(program, 1)
            full = check(program, REQUESTS + 3)
            assert full.results["failed"] > 0 and full.results["failed"] + full.spool == 2 * (REQUESTS + 3), full
            assert all(f.stat().st_size <= 12000 for f in tmp_path.iterdir())
            c.script = [ok()]
            wait_until(lambda: load(program, 1) or len(c.spans) > full.spool, 60, what="what did fit, and more")
            good = wait_until(lambda: (g := Count(endpoint_of(program))).waiting == g.spool == 0 and g.known == g.sampled and g, 30)
            assert good.results["success"] == len(c.spans) and good.results["failed"] == full.results["failed"]
    assert not list(tmp_path.iterdir()) and not c.problems


@pytest.mark.parametrize("endpoint", ["http://no-such-host.invalid:4318", "certificate"])
def test_trouble_that_stays(library, pki, endpoint):
    with Fake(tls=tls_server(pki)) as c, Leaf() as leaf:
        where = c.endpoint if endpoint == "certificate" else endpoint
        with Program([app("thread_server"), leaf.port], endpoint=where, settings=SETTINGS) as program:
            load(program)
            assert check(program, REQUESTS).results["success"] == 0 and not c.received
