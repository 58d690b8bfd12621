"""What the tests of real programs share: a scenario is played twice, bare and with the library, and what a user sees
must be the same; the processes of a server as one thing to count, scrape and look at."""
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from lib.collector import find
from lib.metrics import metrics_ports, scrape
from lib.preload import LIBRARY, OWN_FD_FLOOR, Program, Thread, environment, free_port, wait_for_port, wait_until
from preload.test_counts import BIG_QUEUE, CLIENT_COUNT, COUNT, children, missed, no_drops

HERE = Path(__file__).parent
OTHER_HOSTS = HERE.parent / "preload" / "hosts"
CONTEXT = re.compile(rb"(?im)^(?:traceparent|tracestate|baggage): [^\r\n]*\r\n")


def need(command):
    """The program's path; the packages in scripts/lib/packages.hosts bring all of them."""
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")
    if not path:
        pytest.skip(f"{command} is not installed: run scripts/setup hosts")
    return path


def need_root():
    if os.geteuid() != 0:
        pytest.skip("needs root: it starts programs as other users")


def state_of(pid):
    """Letter of a process's state, '' when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def catches(pid, number):
    """Whether the process has a handler for the signal and lets it in: not so while it starts, or executes itself anew."""
    masks = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("SigCgt", "SigBlk"):
            masks[name] = int(value, 16) >> (number - 1) & 1
    return masks["SigCgt"] and not masks["SigBlk"]


def reap(pid):
    """Waits for a process that its daemon parent left to us (see conftest.py). returns whether it is gone"""
    if state_of(pid) == "Z":
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
    return state_of(pid) == ""


def wait_gone(pids, deadline=15.0):
    wait_until(lambda: all([reap(p) for p in pids]), deadline, f"processes {pids} to end")


class Tree:
    """A server with all that it forked. ports: those that the host itself listens on."""

    def __init__(self, pid, ports):
        self.pid, self.ports = pid, set(ports)

    def pids(self):
        return children(self.pid)

    def workers(self):
        return [p for p in self.pids() if p != self.pid]

    def find_metrics_ports(self):
        """One for each part of the tree that was forked without an exec."""
        return metrics_ports(self.pids(), self.ports)

    def find_metrics_port(self):
        return next(self.find_metrics_ports(), None)

    def sum_of_all(self, name, **labels):
        return sum(scrape(port).sum(name, **labels) for port in self.find_metrics_ports())

    def scrape(self):
        return scrape(wait_until(self.find_metrics_port, what="a metrics endpoint"))

    def wait_sum(self, name, count, at_most=None, **labels):
        """Waits until the metric is `count` (or between it and at_most); fails at once if it is more."""
        last = None

        def look():
            nonlocal last
            try:
                last = self.scrape()
            except OSError:
                return None  # whoever held the port has just left
            have = last.sum(name, **labels)
            assert have <= (at_most or count), f"{name} is {have}, more than {at_most or count}"
            return last if have >= count else None
        try:
            return wait_until(look, 20, f"{name} = {count}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last and last.sum(name, **labels)}, {last and missed(last)}") from None

    def fds(self):
        """How many descriptors of each sort the host has open in all its processes."""
        count = Counter()
        for pid in self.pids():
            try:
                names = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue
            for fd in names:
                try:
                    target = os.readlink(f"/proc/{pid}/fd/{fd}")
                except OSError:
                    continue
                if int(fd) < OWN_FD_FLOOR:
                    count[re.sub(r"[\[(/].*", "", target) or "file"] += 1
        return count

    def our_fds(self):
        """{pid: descriptors of ours}"""
        found = {}
        for pid in self.pids():
            try:
                found[pid] = [int(fd) for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) >= OWN_FD_FLOOR]
            except OSError:
                pass
        return found


class Way:
    """One way to play a scenario: bare, or with the library and a collector."""

    def __init__(self, ours, folder, collector, notes):
        self.ours, self.folder, self.collector, self._notes = ours, folder, collector, notes
        self.ports = []

    def __repr__(self):
        return "with the library" if self.ours else "bare"

    def port(self):
        self.ports.append(free_port())
        return self.ports[-1]

    def write(self, name, text, **values):
        """A file in the scenario's folder with @NAME@ filled in. returns its path"""
        for key, value in {"FOLDER": self.folder, **values}.items():
            text = text.replace(f"@{key.upper()}@", str(value))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def conf(self, name, **values):
        """A configuration file of conf/ filled in."""
        return self.write(name, (HERE / "conf" / name).read_text(), **values)

    def program(self, argv, service=None, settings=None, **more):
        settings = {**(settings or {})}
        more.setdefault("cwd", str(self.folder))
        return Program(argv, endpoint=self.collector.endpoint if self.ours else None, service=service,
                       settings=settings, preload=self.ours, **more)

    def run(self, argv, deadline=60, stdin_text=None, **more):
        """Runs a program to its end. returns what a user sees of it: (status, stdout, stderr)"""
        if stdin_text is not None:
            words = " ".join(shlex.quote(str(a)) for a in argv)
            argv = ["sh", "-c", f"exec {words} <{shlex.quote(str(self.write('stdin', stdin_text)))}"]
        with self.program(argv, **more) as program:
            program.wait(deadline)
            return self.seen(program)

    def daemonize(self, argv, deadline=30, service=None, **more):
        """Runs a program that leaves a daemon behind, which is let alone. returns (status, stdout, stderr)"""
        program = self.program(argv, service=service)
        with open(self.folder / "daemon.out", "w+b") as out, open(self.folder / "daemon.err", "w+b") as err:
            status = subprocess.run(program.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=program.env,
                                    cwd=self.folder, start_new_session=True, timeout=deadline, **more).returncode
            texts = [Path(f.name).read_bytes().decode(errors="replace") for f in (out, err)]
        return status, *map(self.clean, texts)

    def clean(self, text):
        """Without what differs from run to run."""
        text = text.replace(str(self.folder), "$FOLDER")
        for index, port in enumerate(self.ports):
            text = re.sub(rf"\b{port}\b", f"$PORT{index}", text)
        text = re.sub(r"\b\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d([.,]\d+)?( [+-]\d{4})?", "$TIME", text)
        text = re.sub(r"\b\d+#\d+:", "$PID#$TID:", text)  # nginx
        return re.sub(r"(?i)\b(pid[:= ]+)\d+", r"\1$PID", text)

    def seen(self, program):
        result = program.result or program.stop()
        return result.status, self.clean(result.stdout), self.clean(result.stderr)

    def same_fds(self, tree):
        """After the load: the host has as many descriptors open with the library as without. Of sockets up to 8 more or fewer:
        how many connections it keeps for later depends on how many it had under way at a time."""
        if not self.ours:
            last, same = None, 0
            while same < 8:
                now = tree.fds()
                same = same + 1 if now == last else 0
                last = now
                time.sleep(0.05)
            self._notes.setdefault("fds", []).append(last)
            return
        wanted = self._notes["fds"].pop(0)

        def as_many():
            have = tree.fds()
            differ = (have - wanted) + (wanted - have)
            return set(differ) <= {"socket:"} and differ["socket:"] <= 8
        try:
            wait_until(as_many, what="as many descriptors as without us")
        except AssertionError:
            have = tree.fds()
            raise AssertionError(f"more descriptors: {have - wanted}, fewer: {wanted - have}") from None
        for pid, fds in tree.our_fds().items():
            assert len(fds) <= 4, f"{len(fds)} descriptors of ours in {pid}: {fds}"

    def environment(self, **more):
        return environment(self.collector.endpoint if self.ours else None, settings=more, preload=self.ours)


def first_difference(bare, ours, where="result"):
    """The first place where two nested results differ, None when they do not."""
    if type(bare) is type(ours) and isinstance(bare, (tuple, list)) and len(bare) == len(ours):
        pairs = [(b, o, f"{where}[{i}]") for i, (b, o) in enumerate(zip(bare, ours))]
    elif isinstance(bare, dict) and isinstance(ours, dict) and bare.keys() == ours.keys():
        pairs = [(bare[k], ours[k], f"{where}[{k!r}]") for k in bare]
    else:
        return None if bare == ours else f"{where}\nbare: {repr(bare)[:1500]}\nours: {repr(ours)[:1500]}"
    return next((found for pair in pairs if (found := first_difference(*pair))), None)


def both(ways, scenario):
    """Plays the scenario each way and compares what it returns."""
    bare, ours = [scenario(way) for way in ways]
    difference = first_difference(bare, ours)
    assert difference is None, difference
    return ours


def listen(program, *ports):
    """The tree of a started server, once it listens."""
    for port in ports:
        try:
            wait_until(lambda p=port: program.process.poll() is not None or listens(p), 30, f"a listener on {port}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{program.stdout}{program.stderr}") from None
        assert program.process.poll() is None, f"{program.argv} ended\n{program.stdout}{program.stderr}"
    return Tree(program.pid, ports)


def listens(port):
    try:
        wait_for_port(port, 0)
        return True
    except AssertionError:
        return False


def exact(way, tree, count, service=None, role="SERVER", executed=False):
    """`count` requests are `count` in the histogram and `count` spans, each once.

    executed   the workers are programs of their own, so each has an endpoint of its own
    """
    metric = COUNT if role == "SERVER" else CLIENT_COUNT
    if executed:
        wait_until(lambda: tree.sum_of_all(metric) >= count, what=f"{metric} = {count} in all")
        assert tree.sum_of_all(metric) == count
    else:
        no_drops(tree.wait_sum(metric, count))
    spans = way.collector.wait_count(count, kind=role, service=service)
    assert len(spans) == count, f"{len(spans)} spans for {count} requests"
    return spans


def chain(spans, *services, unsure=0):
    """Every SERVER span of the last service hangs by a CLIENT span on a SERVER span of the one before it, for the same
    path, and so on to the first, which is a root. returns the number of chains

    unsure   so many calls may have links instead of a parent, if one of them is the right one
    """
    by_id = {s.span_id: s for s in spans}
    linked = 0
    ends = find(spans, kind="SERVER", service=services[-1])
    for end in ends:
        span = end
        for service in reversed(services[:-1]):
            call = by_id.get(span.parent_id)
            assert call and call.kind == "CLIENT" and call.service == service, f"{span} has parent {call}, not {service}"
            parent = by_id.get(call.parent_id)
            if linked < unsure and not call.parent_id:
                linked += 1
                span = call
                assert [s for _, i in call.links if (s := by_id.get(i)) and s.path == call.path], f"{call} links to {call.links}"
                break
            assert parent and parent.kind == "SERVER", f"{call} has parent {parent}"
            assert {span.trace_id} == {call.trace_id, parent.trace_id}
            assert span.path == call.path == parent.path, f"{parent} -> {call} -> {span}"
            span = parent
        assert not span.parent_id, span
    return len(ends)


def leaf_saw(leaf, count, ours):
    """What an upstream got, without our header, which each request must have exactly when it comes from us. Takes the
    requests off the leaf."""
    requests = leaf.wait_count(count)
    del leaf.requests[:]
    assert len(requests) == count
    for request in requests:
        assert len(request.all("traceparent")) == (1 if ours else 0), request
    return [(CONTEXT.sub(b"", r.raw), r.body) for r in requests]


def in_background(call, *arguments):
    thread = Thread(call, *arguments)
    thread.start()
    return thread


def kill(pid, number=signal.SIGTERM):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def read_pid(path):
    """Waits for a pid file."""
    def look():
        try:
            return int(Path(path).read_text())
        except (FileNotFoundError, ValueError):
            return None
    return wait_until(look, what=f"a pid in {path}")


def command(*argv, **options):
    """Runs a tool of the test itself, never preloaded. returns its stdout"""
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, env=env, timeout=120, **options).stdout


def library_for_all(folder):
    """A copy of the library that users without access to the build folder can read."""
    copy = folder / LIBRARY.name
    if not copy.exists():
        shutil.copy(LIBRARY, copy)
        copy.chmod(0o755)
    return copy
