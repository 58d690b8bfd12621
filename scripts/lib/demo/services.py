"""Starts the programs of the chain under the preload, and stops exactly those."""
import ctypes
import os
import queue
import shlex
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PR_SET_PDEATHSIG = 1
OURS = ("OTEL", "LD_PRELOAD", "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

# Wishes: where one is taken, the library looks for the next free one.
METRICS_PORTS = {"nginx": 9464, "app": 9465, "upstream": 9466, "client": 9467}

prctl = ctypes.CDLL(None).prctl


class Trouble(Exception):
    """Said to the user as it is."""


class Service:
    """One program under the preload, in a process group of its own."""

    def __init__(self, name, argv, library, metrics_port, settings, work):
        self.name, self.argv = name, argv
        self.preload = {"LD_PRELOAD": str(library), "OTEL_SERVICE_NAME": name}
        env = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        env |= self.preload | settings | {"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port)}
        self.log = work / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True, preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self, seconds=20):
        """The next line that the program prints."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Trouble(f"{self.name} printed nothing for {seconds} s") from None
        if line is None:
            raise Trouble(f"{self.name} ended")
        return line

    def tell(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError:
            raise Trouble(f"{self.name} ended") from None

    def command(self, top):
        words = [f"{k}={v}" for k, v in self.preload.items()] + self.argv
        return shlex.join(words).replace(f"{top}/", "")

    def stop(self):
        """Asks, waits, insists. The group is ours alone: it began with this process."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdin.close()


class Chain:
    """client → nginx → app → upstream. `with Chain(…) as chain:`; stops them in the order they were started."""

    def __init__(self, library, endpoint, work):
        self.library, self.work = library, work
        self.discovery = work / "metrics"
        self.discovery.mkdir(mode=0o777)
        self.discovery.chmod(0o1777)
        self.settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "500",
                         "OTELAUTO_SD_DIR": str(self.discovery)}
        self.services = []

    def __enter__(self):
        try:
            upstream = self.start("upstream", ["perl", str(HERE / "upstream.pl")])
            app = self.start("app", ["/usr/bin/python3", "-B", str(HERE / "app.py"), self.port_of(upstream)])
            self.port = self.start_nginx(self.port_of(app))
            self.client = self.start("client", ["/usr/bin/python3", "-B", str(HERE / "client.py"), str(self.port)])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for service in reversed(self.services):
            service.stop()
        self.services.clear()

    def start(self, name, argv):
        service = Service(name, argv, self.library, METRICS_PORTS[name], self.settings, self.work)
        self.services.append(service)
        return service

    @staticmethod
    def port_of(service):
        return service.line().removeprefix("port ")

    def start_nginx(self, app):
        text = (HERE / "nginx.conf").read_text()
        for _ in range(5):
            port = free_port()
            config = self.work / "nginx.conf"
            config.write_text(text.replace("@DIR@", str(self.work)).replace("@PORT@", str(port)).replace("@APP@", app))
            nginx = self.start("nginx", ["nginx", "-e", "stderr", "-c", str(config)])
            if wait_listening(nginx, port):
                return port
            nginx.stop()
            self.services.remove(nginx)
        raise Trouble(f"nginx does not start: {nginx.log.read_text().strip()}")

    def load(self, count, seconds):
        """Has the client make `count` requests; returns how long it took, and how many failed."""
        self.client.tell(f"{count} {seconds}")
        took, failed = self.client.line(seconds + 60).split()
        return float(took), int(failed)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_listening(service, port, seconds=10):
    """Waits until a connection is accepted; it carries no request, so it is not counted as one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and service.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False
