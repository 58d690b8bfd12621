"""The metrics endpoint with 10 000 samples."""
import socket
import time

from . import machine, process
from .exporter import anchor, _steady
from .result import Check, Control, Result, both, measure, median


@measure("scrape-render")
def render(bench):
    before = anchor()
    runs = [process.run_json(["taskset", "-c", machine.HOT, machine.tool("prom_sample"), "bench", "588"],
                             machine.plain_env()) for _ in range(1 if bench.fast else 5)]
    aa = max(r["snprintf_ns"] for r in runs) / min(r["snprintf_ns"] for r in runs)
    ns, reference = (median([r[k] for r in runs]) for k in ("render_ns", "snprintf_ns"))
    yield Result("scrape-render", "25", f"rendering {runs[0]['lines']} samples",
                 [Check("time", ns / 1e6, 1, 0.3, "ms"), Check("of an snprintf's", ns / reference, 0.4, None, "x")],
                 both(_steady(before, anchor()), Control(aa < 1.25, f"snprintf within {aa:.2f}x")), runs[0])


def _round_trip(port):
    """Seconds for a new connection and one small answer of a program that sleeps: what the machine makes of it."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        s.recv(4096)
    return time.monotonic() - start


@measure("scrape-whole")
def whole(bench):
    """A program with 200 routes, three histograms each, asked over TCP."""
    routes, asked = (20, 3) if bench.fast else (200, 30)
    port = process.free_port()
    env = machine.library_env(bench.sink.port, OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
                              OTELAUTO_ROUTES_UNMATCHED="path")
    command = [machine.tool("generate"), "--rate", 2000, "--seconds", 1, "--routes", routes]
    answers, idle = [], []
    with process.Program([machine.tool("epoll")], machine.plain_env()) as server, \
         process.Program(command, env) as program:
        server_port = server.line()
        program.line()
        for _ in range(asked):
            answers.append(process.scrape(port))
            idle.append(_round_trip(int(server_port)))
    lines = sum(1 for line in answers[-1][0].splitlines() if line[0] != "#")
    ms = median([took for _, took in answers]) * 1e3
    enough = lines >= routes * 45
    yield Result("scrape-whole", "25", f"one scrape of {lines} samples, end to end", [Check("time", ms, 5, 2, "ms")],
                 both(Control(enough, f"{lines} samples"),
                      Control(median(idle) < 1e-3, f"a small server answers within {median(idle) * 1e3:.2f} ms")),
                 {"bytes": len(answers[-1][0])})
