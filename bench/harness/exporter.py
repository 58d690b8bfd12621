"""The exporter: processor time per span, spans per second, and whether all of them arrive."""
import json
import re
import socket
import subprocess
import tempfile
import threading
import time

from . import machine, process
from .pairs import ANCHOR_DRIFT
from .result import Check, Control, Result, both, measure, median

TOO_LATE_MS = 10  # a machine that wakes a sleeper later than this cannot keep a polling thread on time either


def anchor():
    return process.run_json([machine.tool("pair"), "--requests", 10, "--rounds", 1, "--cpu", machine.OTHER],
                            machine.plain_env())["getppid_ns"]


def _steady(before, after):
    return Control(abs(after / before - 1) <= ANCHOR_DRIFT, f"clock moved {abs(after / before - 1) * 100:.0f} %")


# -- alone, by bench/encode_send.c --

def _send(bench, sink, batches=300, **more):
    env = machine.library_env(sink.port, **more)
    del env["LD_PRELOAD"]
    report = process.run_json(["taskset", "-c", machine.HOT, machine.tool("encode_send"), 30 if bench.fast else batches],
                              env)
    if report["failed"]:
        raise process.Failed("the sink refused spans")
    return report


def _protobuf_ratio():
    """Our encoder's time over that of protobuf-c on the same spans, packing alone: protobuf-c at its best."""
    said = subprocess.run([machine.tool("bench_otlp_pb")], capture_output=True, text=True, check=True).stdout
    found = re.search(r"protobuf-c, packing\s+\S+ ns/span, ours is (\S+) of it", said)
    if not found:
        raise process.Failed(f"bench_otlp_pb said {said!r}")
    return float(found.group(1)), said


@measure("exporter-alone")
def alone(bench):
    plain, again, gzip = _send(bench, bench.sink), _send(bench, bench.sink), _send(
        bench, bench.sink, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
    ratio, said = _protobuf_ratio()
    aa = again["cpu_ns"] / plain["cpu_ns"]
    control = Control(abs(aa - 1) <= 0.1, f"A/A {aa:.2f}")
    best = min(plain["cpu_ns"], again["cpu_ns"])
    yield Result("exporter-alone", "23", "encode and send, batches of 512, one core",
                 [Check("plain", 1e3 / best, 1.0, 2.0, "M/s", at_least=True),
                  Check("gzip", 1e3 / gzip["cpu_ns"], 0.3, None, "M/s", at_least=True),
                  Check("encoder / protobuf-c", ratio, 0.3, None, "x")],
                 control, {"plain": plain, "again": again, "gzip": gzip, "encoder": said})


def _drain_datagrams(sock):
    while sock.recv(65536):  # an empty one ends it
        pass


@measure("exporter-paths")
def paths(bench):
    """Every way out of the process, encoded and delivered by one core; what the receiver costs is not counted."""
    http = f"http://127.0.0.1:{bench.sink.port}"
    otlp = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with tempfile.TemporaryDirectory(prefix="otelauto-bench-") as folder, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        threading.Thread(target=_drain_datagrams, args=(agent,), daemon=True).start()
        ways = {
            "OTLP http/protobuf": {},
            "OTLP http/protobuf, gzip": {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
            "OTLP grpc": otlp,
            "OTLP grpc, gzip": {**otlp, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
            "OTLP http/json": {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTLP http/json, gzip": {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
            "otlp_file": {"OTEL_TRACES_EXPORTER": "otlp_file", "OTELAUTO_FILE_PATH": f"{folder}/spans"},
            "jaeger, HTTP": {"OTEL_TRACES_EXPORTER": "jaeger", "OTEL_EXPORTER_JAEGER_ENDPOINT": f"{http}/api/traces"},
            "jaeger, UDP": {"OTEL_TRACES_EXPORTER": "jaeger", "OTEL_EXPORTER_JAEGER_AGENT_HOST": "127.0.0.1",
                            "OTEL_EXPORTER_JAEGER_AGENT_PORT": str(agent.getsockname()[1])},
            "zipkin": {"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_ZIPKIN_ENDPOINT": f"{http}/api/v2/spans"},
            "console": {"OTEL_TRACES_EXPORTER": "console", "OTELAUTO_LOG_FILE": "/dev/null"},
        }
        got = {way: _send(bench, bench.sink, batches=100, **more) for way, more in ways.items()}
        agent.sendto(b"", agent.getsockname())
    yield Result("exporter-paths", "23", "the same by each exporter",
                 [Check(way, 1e3 / report["cpu_ns"], None, None, "M/s") for way, report in got.items()], None, got)


# -- in a program, by bench/generate.c --

class _Generator:
    """A program that makes spans, its library's thread, and what it says in the end."""

    def __init__(self, rate, seconds, env):
        self.port = process.free_port()
        self.program = process.Program(
            [machine.tool("generate"), "--rate", rate, "--seconds", seconds, "--cpu", machine.HOT],
            {**env, "OTEL_EXPORTER_PROMETHEUS_PORT": str(self.port)})
        self.pid = self.program.pid

    def report(self, seconds):
        return json.loads(self.program.line(seconds))

    def metrics(self):
        return process.samples(process.scrape(self.port)[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stop()


def _lost(metrics):
    return {name.split('"')[1]: int(v) for name, v in metrics.items() if name.startswith("otelauto_drops_total") and v}


def _of(metrics, name, **labels):
    inner = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return int(metrics[f"{name}{{{inner}}}" if inner else name])


def _idle(generator):
    """Waits until nothing is queued or under way any more; the last scrape."""
    def nothing_left():
        m = generator.metrics()
        return m if not _of(m, "otelauto_queue_used_slots") and not _of(m, "otelauto_ring_used_slots") else None
    return process.wait_until(nothing_left, "the queue is empty", 60)


@measure("exporter-cpu")
def cpu(bench):
    """Of the whole thread: draining, metrics, batching, encoding, sending."""
    rate, windows = (5000, 5) if bench.fast else (50000, 120)
    with process.Sink() as sink:
        before = anchor()
        with _Generator(rate, 1 + windows // 20, machine.library_env(sink.port)) as g:
            task = process.wait_until(lambda: process.side_thread(g.pid), "the library's thread runs")
            process.wait_until(lambda: sink.ask()["spans"] > rate / 10, "spans arrive")
            per_span = []
            spans, ns = sink.ask()["spans"], process.cpu_ns(task)
            for _ in range(windows):
                time.sleep(0.05)
                spans_now, ns_now = sink.ask()["spans"], process.cpu_ns(task)
                if spans_now > spans:
                    per_span.append((ns_now - ns) / (spans_now - spans))
                spans, ns = spans_now, ns_now
        after = anchor()
    each = median(per_span)
    added = bench.facts.get("added_ns")
    checks = [Check("per span", each / 1e3, 0.8, 0.45, "us"), Check("in getppid", each / before, 4, None, "x")]
    if added is not None:
        checks.append(Check("with the hot path", (each + added) / 1e3, 1.5, 1.0, "us"))
    yield Result("exporter-cpu", "10", f"the library's thread at {rate} spans/s", checks, _steady(before, after),
                 {"windows": len(per_span), "getppid_ns": before})


def _no_loss(row, bench, what, env_more):
    rate, seconds = (5000, 1) if bench.fast else (100000, 10)
    with process.Sink() as sink, _Generator(rate, seconds, machine.library_env(sink.port, **env_more)) as g:
        report = g.report(seconds * 3 + 10)
        process.wait_until(lambda: not _of(g.metrics(), "otelauto_queue_used_slots"), "the queue is empty", 30)
        process.wait_until(lambda: not sum(_flight(g)), "all is sent", 30)
        metrics, received = g.metrics(), sink.ask()
    lost = _lost(metrics)
    reached = report["per_second"] / rate
    control = both(Control(reached > 0.98, f"{report['per_second']:.0f}/s"),
                   Control(report["late_ms"] <= TOO_LATE_MS, f"latest wake-up {report['late_ms']:.0f} ms"))
    unaccounted = report["produced"] - received["spans"] - sum(lost.values())
    return Result(row, "24", what.format(rate=rate, seconds=seconds),
                  [Check("dropped", sum(lost.values()), 0, None, "spans"),
                   Check("unaccounted for", abs(unaccounted), 0, None, "spans")],
                  control, {"report": report, "received": received, "lost": lost})


def _flight(generator):
    """Spans taken from the ring and not settled."""
    m = generator.metrics()
    settled = sum(_of(m, "otelauto_exported_spans_total", result=r) for r in ("success", "failed", "rejected"))
    queue = _lost(m).get("queue_full", 0)
    return [max(0, _of(m, "otelauto_spans_total", decision="sampled") - settled - queue)]


@measure("exporter-no-loss")
def no_loss(bench):
    yield _no_loss("exporter-no-loss", bench, "{rate} spans/s for {seconds} s, healthy collector", {})


@measure("exporter-dead")
def dead(bench):
    """Every span is sent, dropped for a reason or waiting: the sum is what was made."""
    rate, seconds = (5000, 1) if bench.fast else (20000, 5)
    kinds = (("refuses", None), ("hangs", "hang"))
    for name, mode in kinds:
        with process.Sink(mode or "ok") as sink:
            port = sink.port if mode else process.free_port()
            env = machine.library_env(port, OTEL_BSP_EXPORT_TIMEOUT="500", OTEL_EXPORTER_OTLP_TIMEOUT="500")
            with _Generator(rate, seconds, env) as g:
                report = g.report(seconds * 3 + 10)
                metrics = _idle(g)
                process.wait_until(lambda: not sum(_flight(g)), "all is given up", 60)
                metrics = g.metrics()
        lost = _lost(metrics)
        sent = _of(metrics, "otelauto_exported_spans_total", result="success")
        yield Result(f"exporter-{name}", "24", f"collector {name}: produced - sent - dropped",
                     [Check("unaccounted for", abs(report["produced"] - sent - sum(lost.values())), 0, None, "spans")],
                     None, {"report": report, "sent": sent, "lost": lost})
