"""What must be exactly the same with and without the library: system calls, futexes, heap calls; and how much it does
when nothing happens."""
import collections
import contextlib
import mmap
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from . import machine, process, servers
from .result import Check, Result, measure

FIRST, MORE = 50, 1000  # requests
CALL = re.compile(r"^(?:\d+\s+)?(?:<\.\.\. )?(\w+)")


class Client:
    """Requests one at a time over one connection."""

    def __init__(self, port, path="/"):
        self.port, self.path = port, path
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.settimeout(20)
        self.reply_len = None

    def ask(self, count):
        request = f"GET {self.path} HTTP/1.1\r\nHost: a\r\nUser-Agent: bench\r\n\r\n".encode()
        for _ in range(count):
            self.socket.sendall(request)
            self._reply()

    def _reply(self):
        got = b""
        while self.reply_len is None or len(got) < self.reply_len:
            part = self.socket.recv(65536)
            if not part:
                raise process.Failed("the server closed")
            got += part
            if self.reply_len is None and (end := got.find(b"\r\n\r\n")) >= 0:
                length = int(re.search(rb"(?i)content-length: *(\d+)", got[:end]).group(1))
                self.reply_len = end + 4 + length

    def close(self):
        self.socket.close()


def _new_connections(port, count):
    for _ in range(count):
        client = Client(port)
        client.ask(1)
        client.close()


# -- strace --

def _calls(folder):
    """System calls by name of all threads but the library's own."""
    total = collections.Counter()
    for path in folder.iterdir():
        text = path.read_text(errors="replace")
        if '"otelauto"' in text and "PR_SET_NAME" in text:
            continue
        total.update(m.group(1) for m in map(CALL.match, text.splitlines()) if m)
    total.pop("restart_syscall", None)
    return total


def _traced(start, env, drive, more):
    """Calls per name of `more` requests, without those of the first ones."""
    strace = shutil.which("strace")
    if not strace:
        raise servers.Missing("no strace here")
    with tempfile.TemporaryDirectory(prefix="otelauto-bench-") as name:
        folder = Path(name)
        with servers.Fleet() as fleet:
            bare, preload = fleet.start, env.get("LD_PRELOAD", "")
            tracer = [strace, "-qq", "-ff", "-o", folder / "trace", "-E", f"LD_PRELOAD={preload}"]
            outer = {k: v for k, v in env.items() if k != "LD_PRELOAD"}

            def traced(command, its_env):
                """Others that the server needs, nginx' upstream, say, run as they are."""
                if its_env is not env:
                    return bare(command, its_env)
                program = bare([*tracer, *command], outer)
                fleet.stack.callback(program.end_traced)
                return program

            fleet.start = traced
            port = start(fleet, env)
            drive(port, FIRST)
            first = _settled_calls(folder)
            drive(port, more)
            return _settled_calls(folder) - first


def _settled_calls(folder):
    """strace writes with a delay: until two looks agree."""
    last = None
    for _ in range(100):
        now = _calls(folder)
        if now == last:
            return now
        last = now
        time.sleep(0.1)
    raise process.Failed("strace does not come to rest")


def _keep_alive(path):
    clients = {}

    def drive(port, count):
        if port not in clients:
            clients[port] = Client(port, path)
        clients[port].ask(count)
    return drive


def _parity(bench, row, what, start, drive_of, goal="14, 16", but=()):
    more = 50 if bench.fast else MORE
    try:
        loaded = _traced(start, machine.library_env(bench.sink.port), drive_of(), more)
        plain = _traced(start, machine.plain_env(), drive_of(), more)
    except servers.Missing as missing:
        return Result(row, goal, what, [], problem=str(missing))
    for name in but:
        loaded.pop(name, None), plain.pop(name, None)
    differs = {k: [plain[k], loaded[k]] for k in plain | loaded if plain[k] != loaded[k]}
    total = sum(plain.values())
    return Result(row, goal, f"{what}, {more} requests: {total} system calls",
                  [Check("with / without", sum(loaded.values()) / total if total else 0, 1.0, None, "x"),
                   Check("differing names", len(differs), 0, None),
                   Check("futex", loaded["futex"] - plain["futex"], 0, None)],
                  None, {"differs": differs})


@measure("parity-calls")
def calls(bench):
    yield _parity(bench, "parity-epoll", "epoll server", servers._own("epoll"), lambda: _keep_alive("/"))
    yield _parity(bench, "parity-threads", "thread per connection", servers._own("threads"), lambda: _keep_alive("/"))
    yield _parity(bench, "parity-nginx", "nginx, static", servers._nginx, lambda: _keep_alive("/index.html"))
    # Whether the end of a connection and the next one arrive together is luck, so epoll_wait does not count.
    yield _parity(bench, "parity-accept", "a connection per request", servers._own("epoll"), lambda: _new_connections,
                  "13, 14", ("epoll_wait",))


# -- heap --

@measure("parity-heap")
def heap(bench):
    with tempfile.NamedTemporaryFile() as file, contextlib.ExitStack() as stack:
        file.truncate(4096)
        view = mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ)
        env = machine.library_env(bench.sink.port, COUNT_MALLOC_FILE=file.name)
        env["LD_PRELOAD"] += f":{machine.tool('count_malloc.so')}"
        for server in ("epoll", "threads"):
            program = stack.enter_context(process.Program([machine.tool(server)], env))
            client = Client(int(program.line()))
            client.ask(FIRST)
            before = struct.unpack_from("QQ", view)
            client.ask(MORE)
            after = struct.unpack_from("QQ", view)
            if not sum(after):
                raise process.Failed("count_malloc.so counted nothing")
            yield Result(f"parity-heap-{server}", "15", f"heap calls in {MORE} requests, {server} server",
                         [Check("program's threads", after[0] - before[0], 0, None),
                          Check("library's thread", after[1] - before[1], 0, None)])
            client.close()


# -- doing nothing --

@measure("idle")
def idle(bench):
    seconds = 1 if bench.fast else 10
    with process.Program([machine.tool("epoll")], machine.library_env(bench.sink.port)) as program:
        client = Client(int(program.line()))
        client.ask(10)
        task = process.wait_until(lambda: process.side_thread(program.pid), "the library's thread runs")
        time.sleep(0.5 if bench.fast else 8)  # longer than the pause between exports
        start, wakes, cpu = time.monotonic(), process.switches(task), process.cpu_ns(task)
        time.sleep(seconds)
        took, wakes, cpu = time.monotonic() - start, process.switches(task) - wakes, process.cpu_ns(task) - cpu
        client.close()
    yield Result("idle", "28", f"an idle server, over {seconds} s",
                 [Check("wake-ups", wakes / took, 10 if not bench.fast else None, 2, "/s"),
                  Check("processor", cpu / took / 1e7, 0.02 if not bench.fast else None, None, "%")])
