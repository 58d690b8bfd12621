"""Runs programs bare or under the preload, and stops what it started."""
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("OTELAUTO_BUILD", TOP / "build"))
LIBRARY = BUILD / "libotelauto.so"
APPS = Path(os.environ.get("OTELAUTO_APPS", BUILD / "test-apps"))
UNDER = shlex.split(os.environ.get("OTELAUTO_UNDER", ""))  # what preloaded programs run under: valgrind, say
OWN_FD_FLOOR = 256  # descriptors of ours stay above; the host's stay what they are
DEADLINE = 15.0


def app(name):
    return str(APPS / name)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, deadline=DEADLINE, what="condition"):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        time.sleep(0.01)


def accepts(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


def wait_for_port(port, deadline=DEADLINE):
    """Waits until somebody listens, without connecting: a connection would be traffic."""
    needle = f":{port:04X} "

    def listening():
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(table) as lines:
                for line in lines:
                    fields = line.split()
                    if len(fields) > 3 and fields[3] == "0A" and f"{fields[1]} ".endswith(needle):
                        return True
        return False
    wait_until(listening, deadline, f"a listener on port {port}")


def where(pid):
    """Where each thread of a process that does not go on is: its state, system call, and the file and offset it was called
    from. For messages of failed tests."""
    try:
        maps = [line.split(None, 5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
        tasks = sorted(Path(f"/proc/{pid}/task").iterdir())
    except OSError as error:
        return f"{pid}: {error}"

    def place(address):
        for span, _, offset, _, _, *name in maps:
            low, high = (int(a, 16) for a in span.split("-"))
            if low <= address < high:
                return f"{name[0] if name else '?'}+{address - low + int(offset, 16):#x}"
        return f"{address:#x}"

    def look(task):
        call = (task / "syscall").read_text().split()
        state = (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
        pc = place(int(call[-1], 16)) if len(call) > 2 else ""
        return f"{task.name} {state} {' '.join(call[:4])} {pc} {(task / 'wchan').read_text()}"

    lines = []
    for task in tasks:
        try:
            lines.append(look(task))
        except OSError as error:
            lines.append(f"{task.name}: {error}")
    return "\n".join(lines)


def environment(endpoint=None, service=None, settings=None, preload=True):
    """What a program gets: nothing of ours but what is asked for."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("OTEL", "LD_PRELOAD")) and k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    if preload:
        env["LD_PRELOAD"] = str(LIBRARY)
        env["OTEL_BSP_SCHEDULE_DELAY"] = "100"
        env["OTEL_EXPORTER_PROMETHEUS_PORT"] = "0"
        if endpoint:
            env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
            env["OTELAUTO_EXIT_FLUSH"] = "10000"  # the machine may be busy; the bound itself has tests of its own
        else:
            env["OTEL_TRACES_EXPORTER"] = "none"
        if service:
            env["OTEL_SERVICE_NAME"] = service
    env.update(settings or {})
    return env


class Result:
    def __init__(self, status, stdout, stderr, fds):
        self.status, self.stdout, self.stderr, self.fds = status, stdout, stderr, fds

    @property
    def host_fds(self):
        return [fd for fd in self.fds if fd < OWN_FD_FLOOR]

    @property
    def our_fds(self):
        return [fd for fd in self.fds if fd >= OWN_FD_FLOOR]


def read_fds(path):
    try:
        return [int(line) for line in Path(path).read_text().split()]
    except FileNotFoundError:
        return []


class Program:
    """A running program in a process group of its own.

    with Program([app("thread_server")], endpoint=collector.endpoint) as server:
        server.port            the number after "port" in its output
    leaving the block sends SIGTERM, then SIGKILL to the group; `result` is filled in.
    hold    one of test-apps/ stays when it is finished, until release(), wait() or stop()
    """

    def __init__(self, argv, endpoint=None, service=None, settings=None, preload=True, cwd=None, stop=signal.SIGTERM,
                 stop_deadline=DEADLINE, hold=False, **popen):
        self.argv = [str(a) for a in [*(UNDER if preload else []), *argv]]
        self._files = tempfile.TemporaryDirectory(prefix="otelauto-test-")
        self._fds = os.path.join(self._files.name, "fds")
        self.env = environment(endpoint, service, settings, preload)
        self.env.setdefault("APP_FDS", self._fds)
        self._hold = os.path.join(self._files.name, "go")
        if hold:
            self.env["APP_HOLD"] = self._hold
        self.preload, self.cwd, self.stop_signal, self.stop_deadline = preload, cwd, stop, stop_deadline
        self.result = None
        self._popen = popen

    def __enter__(self):
        self._out = open(os.path.join(self._files.name, "out"), "w+b")
        self._err = open(os.path.join(self._files.name, "err"), "w+b")
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err,
                                        env=self.env, cwd=self.cwd, start_new_session=True, **self._popen)
        self.pid = self.process.pid
        return self

    @property
    def stdout(self):
        return Path(self._out.name).read_bytes().decode(errors="replace")

    @property
    def stderr(self):
        return Path(self._err.name).read_bytes().decode(errors="replace")

    def wait_output(self, pattern, deadline=DEADLINE):
        """Waits until stdout matches, and returns the match."""
        def look():
            match = re.search(pattern, self.stdout)
            if not match and self.process.poll() is not None:
                raise AssertionError(f"{self.argv} ended with {self.process.returncode}\n{self.stdout}{self.stderr}")
            return match
        try:
            return wait_until(look, deadline, f"{pattern!r} from {self.argv}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.stdout}{self.stderr}{where(self.pid)}") from None

    @property
    def port(self):
        return int(self.wait_output(r"(?m)^port (\d+)$").group(1))

    def sockets(self):
        """How many socket descriptors of the host's own the process has open."""
        count = 0
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            except OSError:
                continue
            count += int(fd) < OWN_FD_FLOOR and target.startswith("socket:")
        return count

    def wait_sockets(self, count, deadline=DEADLINE):
        """Waits until the process has seen its peers leave."""
        wait_until(lambda: self.sockets() <= count, deadline, f"{self.argv[0]} to have {count} sockets")

    def wait_finished(self, deadline=30):
        """Waits until the program has done its work; with hold it is still there."""
        wait_until(lambda: os.path.exists(self._fds) or self.process.poll() is not None, deadline,
                   f"{self.argv} to finish")

    def release(self):
        Path(self._hold).touch()

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, deadline=DEADLINE):
        """Waits for the program to end by itself."""
        self.release()
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            threads = where(self.pid)
            self._kill_group()
            raise AssertionError(f"{self.argv} still runs after {deadline} s\n{self.stdout}{self.stderr}{threads}") from None
        self.result = Result(status, self.stdout, self.stderr, read_fds(self._fds))
        return self.result

    def stop(self):
        """Ends it as a user would. returns its Result"""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        return self.wait(self.stop_deadline)

    def _kill_group(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def __exit__(self, kind, *_):
        try:
            if self.result is None:
                if kind is None:
                    self.stop()
                elif self.process.poll() is None:
                    self.process.terminate()
                    try:
                        self.process.wait(3)
                    except subprocess.TimeoutExpired:
                        pass
            if kind is not None and (self.stdout or self.stderr):
                print(f"--- {self.argv}\n{self.stdout[-4000:]}{self.stderr[-4000:]}")
        finally:
            self._kill_group()
            self._out.close()
            self._err.close()
            self._files.cleanup()


def run(argv, deadline=30, until=None, **options):
    """Runs a program to its end. returns a Result

    until   called when one of test-apps/ has done its work, before it may leave
    """
    with Program(argv, hold=until is not None, **options) as program:
        if until:
            program.wait_finished(deadline)
            until()
        return program.wait(deadline)


class Thread(threading.Thread):
    """A thread whose exception comes out at join()."""

    def __init__(self, target, *args):
        super().__init__(daemon=True)
        self._call, self._arguments, self.error, self.value = target, args, None, None

    def run(self):
        try:
            self.value = self._call(*self._arguments)
        except BaseException as error:  # noqa: handed over in join()
            self.error = error

    def join(self, timeout=DEADLINE):
        super().join(timeout)
        if self.is_alive():
            raise AssertionError("thread still runs")
        if self.error:
            raise self.error
        return self.value
