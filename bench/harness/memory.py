"""Memory: per idle connection, per thread, of the library as such; from smaps_rollup, with and without the library."""
import contextlib
import socket
import time

from . import machine, process
from .result import Check, Control, Result, measure

KIB, MIB = 1 << 10, 1 << 20
REQUEST = b"GET /api/items/12345 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: bench\r\n\r\n"
REPLY_BYTES = 700


def _connect(port, count, stack):
    """Connections that have had one request each."""
    for _ in range(count):
        s = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        s.sendall(REQUEST)
        got = b""
        while len(got) < REPLY_BYTES:
            part = s.recv(4096)
            if not part:
                raise process.Failed("the server closed")
            got += part


def _settled(pid):
    """Memory once it has not changed for half a second."""
    last, since = process.smaps(pid), time.monotonic()
    end = since + 10
    while time.monotonic() < end:
        time.sleep(0.05)
        now = process.smaps(pid)
        if now["Private_Dirty"] != last["Private_Dirty"]:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 0.5:
            break
    return last


def _grow(server, env, count):
    """Memory after the first connection and after `count` more."""
    with process.Program([machine.tool(server)], env, machine.HOT) as program, contextlib.ExitStack() as stack:
        port = int(program.line())
        _connect(port, 1, stack)
        first = _settled(program.pid)
        _connect(port, count, stack)
        return first, _settled(program.pid)


def _per_piece(server, bench, count):
    """Bytes of private memory per connection: library, plain, plain again."""
    per = []
    for env in (machine.library_env(bench.sink.port), machine.plain_env(), machine.plain_env()):
        first, full = _grow(server, env, count)
        per.append(((full["Private_Dirty"] - first["Private_Dirty"]) / count, full["Rss"] - first["Rss"]))
    return per


@measure("memory-connection")
def connection(bench):
    count = min(100 if bench.fast else 10000, machine.raise_fd_limit() - 100)
    loaded, plain, again = _per_piece("epoll", bench, count)
    control = Control(abs(plain[0] - again[0]) <= 32, f"A/A {again[0] - plain[0]:+.0f} B")
    yield Result("memory-connection", "19", f"private memory of an idle connection, {count} held",
                 [Check("added", loaded[0] - plain[0], 256, 160, "B")], control,
                 {"loaded": loaded, "plain": plain, "again": again, "held": count})
    yield Result("memory-10k", "20", f"resident memory of {count} connections",
                 [Check("added", (loaded[1] - plain[1]) / MIB, 8, 4, "MiB")], control)


@measure("memory-thread")
def thread(bench):
    count = 50 if bench.fast else 1000
    loaded, plain, again = _per_piece("threads", bench, count)
    yield Result("memory-thread", "21", f"private memory of a thread with its connection, {count} threads",
                 [Check("added, connection included", loaded[0] - plain[0], 256 + 256, None, "B")],
                 Control(abs(plain[0] - again[0]) <= 128, f"A/A {again[0] - plain[0]:+.0f} B"),
                 {"loaded": loaded, "plain": plain, "again": again, "threads": count})


def _start(env, sink=None):
    """Memory of a server that listens and one that has exported its first span."""
    with process.Program([machine.tool("epoll")], env, machine.HOT) as program, contextlib.ExitStack() as stack:
        port = int(program.line())
        listening = _settled(program.pid)
        before = sink.ask()["posts"] if sink else 0
        _connect(port, 1, stack)
        if sink:
            process.wait_until(lambda: sink.ask()["posts"] > before, "the first export")
        return listening, _settled(program.pid)


@measure("memory-start")
def start(bench):
    with process.Sink() as sink:
        loaded = _start(machine.library_env(sink.port, OTEL_BSP_SCHEDULE_DELAY="100"), sink)
    plain, again = _start(machine.plain_env()), _start(machine.plain_env())
    drift = again[1]["Rss"] - plain[1]["Rss"]
    control = Control(abs(drift) <= 128 * KIB, f"A/A {drift / KIB:+.0f} KiB")
    for row, what, i, gate, stretch in (("memory-start", "resident memory, listening", 0, 1, 0.4),
                                        ("memory-export", "resident memory, first span exported", 1, 12, 10)):
        yield Result(row, "20", what,
                     [Check("added", (loaded[i]["Rss"] - plain[i]["Rss"]) / MIB, gate, stretch, "MiB"),
                      Check("private dirty added", (loaded[i]["Private_Dirty"] - plain[i]["Private_Dirty"]) / MIB, None,
                            None, "MiB")],
                     control, {"loaded": loaded[i], "plain": plain[i]})
