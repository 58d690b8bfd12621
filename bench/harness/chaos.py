"""The hot path's 99th percentile while the collector is away, mute, slow, busy or rude, beside a healthy one's."""
import contextlib
import functools
import socket
import struct
import tempfile
import threading
import time

from . import machine, process
from .pairs import PREEMPTED, Pair
from .result import Check, Control, Result, both, measure, median

NOISE = 0.02  # what the ratio of 99th percentiles of two equal runs may differ by


class _Rude(threading.Thread):
    """Takes posts one connection at a time, reads what comes, and answers in its way."""

    def __init__(self, behave):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.behave = behave
        self.start()

    def run(self):
        with contextlib.suppress(OSError):  # closed: over
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, conn):
        with conn, contextlib.suppress(OSError):
            while conn.recv(1 << 16):
                self.behave(conn)

    def close(self):
        self.listener.close()


def _answers(status, *headers):
    head = "".join(f"{h}\r\n" for h in headers)
    return lambda conn: conn.sendall(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n{head}\r\n".encode())


def _drips(conn):
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
        conn.sendall(bytes([byte]))
        time.sleep(1)


def _resets(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def _speaks_no_tls(conn):
    conn.sendall(b"hello\r\n")
    conn.close()


RUDE = {
    "503 with Retry-After": _answers(503, "Retry-After: 1"), "429": _answers(429), "400": _answers(400),
    "a byte a second": _drips, "reset in the middle": _resets, "no TLS there": _speaks_no_tls,
}


# Given up soon, so that the next batch meets the trouble, too.
SOON = {"OTEL_EXPORTER_OTLP_TIMEOUT": "500", "OTEL_BSP_EXPORT_TIMEOUT": "500"}


def _rude(stack, name):
    port = stack.enter_context(contextlib.closing(_Rude(RUDE[name]))).port
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{'https' if name == 'no TLS there' else 'http'}://127.0.0.1:{port}"}


def _down(_stack):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{process.free_port()}"}


def _mute(stack):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{stack.enter_context(process.Sink('hang')).port}"}


def _unknown(_stack):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://nowhere.invalid:4318"}


def _spool_full(stack):
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="otelauto-bench-"))
    return {**_down(stack), "OTELAUTO_SPOOL_DIR": folder, "OTELAUTO_SPOOL_MAX_BYTES": "65536"}


CASES = {"down": _down, "mute": _mute, **{name: functools.partial(_rude, name=name) for name in RUDE},
         "unknown name": _unknown, "down, spool full": _spool_full}


def _case(bench, row, name):
    with contextlib.ExitStack() as stack:
        env = machine.library_env(bench.sink.port, **SOON, **CASES[name](stack))
        runs = [(Pair(bench, machine.library_env(bench.sink.port), runs=1), Pair(bench, env, runs=1))
                for _ in range(1 if bench.fast else 3)]
    healthy, troubled = ([pair[i].ratio("p99") for pair in runs] for i in (0, 1))
    worst = max(p.preempted for pair in runs for p in pair)
    spread = max(healthy) - min(healthy)
    yield Result(row, "24", f"99th percentile, collector: {name}",
                 [Check("ratio rises by", median(troubled) - median(healthy), NOISE, None, "x"),
                  Check("ratio", median(troubled), None, None, "x"),
                  Check("added", median([pair[1].added("p99") for pair in runs]), None, None, "ns")],
                 both(Control(spread <= 2 * NOISE, f"healthy runs differ by {spread:.3f}"),
                      Control(worst <= 10 * PREEMPTED, f"preempted in {worst * 100:.2f} %")),
                 {"healthy": healthy, "troubled": troubled})


for _name in CASES:
    _row = f"chaos-{_name.replace(',', '').replace(' ', '-').lower()}"
    measure(_row)(functools.partial(_case, row=_row, name=_name))
