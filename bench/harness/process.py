"""Starts, asks and stops the programs that take part."""
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import machine

DEADLINE = 20.0


class Failed(Exception):
    """A program did not do what the measurement needs."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {deadline} s: {what}")
        time.sleep(0.01)


def accepts(port):
    """True when somebody listens there. Looks, and does not connect: that would be traffic."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                return True
    return False


def run_json(command, env, timeout=600):
    """Runs a tool that prints one JSON object."""
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Failed(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


_prctl = ctypes.CDLL(None).prctl
PR_SET_PDEATHSIG = 1


def _in_child(cpu):
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # nothing stays behind when the driver is killed
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


class Program:
    """A program that runs until it is stopped, pinned to a processor; in a with statement."""

    def __init__(self, command, env, cpu=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(c) for c in command], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            preexec_fn=lambda: _in_child(cpu))
        self.pid = self.process.pid

    def line(self, deadline=DEADLINE):
        """The next line it prints."""
        text = b""
        end = time.monotonic() + deadline
        out = self.process.stdout.fileno()
        while not text.endswith(b"\n"):
            if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
                raise Failed(f"{self.process.args[0]} said nothing for {deadline} s")
            byte = os.read(out, 1)
            if not byte:
                self.log.seek(0)
                raise Failed(f"{self.process.args[0]} ended: {self.log.read()[-300:].decode(errors='replace')}")
            text += byte
        return text.decode().strip()

    def ask(self):
        """What it answers to a line on its stdin, as JSON."""
        os.write(self.process.stdin.fileno(), b"\n")
        return json.loads(self.line())

    def end_traced(self):
        """Of a strace: ends the program in it, and strace with that. strace itself would let it run on."""
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGTERM)
        self.process.wait(10)

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process.poll() is None:
                self.process.terminate()
                self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Sink(Program):
    """The collector; `port` is where it listens."""

    def __init__(self, mode="ok"):
        super().__init__([machine.tool("sink"), "--mode", mode, "--cpu", machine.OTHER], machine.plain_env())
        self.port = int(self.line())


def smaps(pid):
    """Sums of a process' memory, in bytes."""
    sums = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        sums[name] = int(value.split()[0]) * 1024
    return sums


def side_thread(pid):
    """The library's thread in a process, as its directory in /proc, or None."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().strip() == "otelauto":
                return task
    return None


def cpu_ns(task):
    return int((task / "schedstat").read_text().split()[0])


def switches(task):
    for line in (task / "status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise Failed("no voluntary_ctxt_switches")


def scrape(port):
    """One answer of the metrics endpoint and how long it took, in seconds."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = s.makefile("rb")
        status, length = answer.readline(), 0
        while (line := answer.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = answer.read(length)
        took = time.monotonic() - start
    if not status.startswith(b"HTTP/1.1 200") or len(body) != length or not length:
        raise Failed(f"the metrics endpoint said {status!r} and {len(body)} bytes")
    return body.decode(), took


def samples(text):
    """{'name{labels}': value} of a scrape."""
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, value in pairs}
