"""Real back ends on 127.0.0.1, each with ports of its own, ended with the tests."""
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

HOME = Path(os.environ.get("OTELAUTO_BACKENDS", Path.home() / ".cache" / "otelauto" / "backends"))
START_SECONDS = 90
WAIT_SECONDS = 60


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def wait(look, seconds=WAIT_SECONDS, what=""):
    """Waits until look() is true and returns its value."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            if value := look():
                return value
        except (OSError, urllib.error.URLError, ValueError) as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what} {last or ''}")


class Backend:
    program = None

    def __init__(self, folder):
        self.folder = folder
        if not Path(self.program).exists():
            pytest.skip(f"{self.program} is not there: scripts/test-backends builds it")

    def __enter__(self):
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(self.command(), env=self.environment(), cwd=self.folder, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        try:
            wait(lambda: self.process.poll() is not None or self.ready(), START_SECONDS, f"{type(self).__name__} starts")
            assert self.process.poll() is None, "it ended"
        except AssertionError:
            self.__exit__()
            raise AssertionError((self.folder / "log").read_text()[-2000:])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def environment(self):
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)}


class Jaeger(Backend):
    program = HOME / "bin" / "all-in-one"

    def command(self):
        self.grpc, self.http, self.thrift, self.query, self.zipkin = (free_port() for _ in range(5))
        self.udp = free_port(socket.SOCK_DGRAM)
        at = "127.0.0.1:{}".format
        return [self.program, "--collector.otlp.enabled=true", f"--collector.otlp.grpc.host-port={at(self.grpc)}",
                f"--collector.otlp.http.host-port={at(self.http)}", f"--collector.http-server.host-port={at(self.thrift)}",
                f"--collector.zipkin.host-port={at(self.zipkin)}", f"--collector.grpc-server.host-port={at(free_port())}",
                f"--processor.jaeger-compact.server-host-port={at(self.udp)}",
                f"--processor.jaeger-binary.server-host-port={at(free_port(socket.SOCK_DGRAM))}",
                f"--processor.zipkin-compact.server-host-port={at(free_port(socket.SOCK_DGRAM))}",
                f"--http-server.host-port={at(free_port())}", f"--query.http-server.host-port={at(self.query)}",
                f"--query.grpc-server.host-port={at(free_port())}", f"--admin.http.host-port={at(free_port())}",
                "--collector.queue-size=200000", "--processor.jaeger-compact.server-queue-size=20000"]

    def environment(self):
        return {**super().environment(), "SPAN_STORAGE_TYPE": "memory"}

    def ready(self):
        return get(f"http://127.0.0.1:{self.query}/api/services") is not None

    def traces(self, service):
        return get(f"http://127.0.0.1:{self.query}/api/traces?service={service}&limit=20000")["data"] or []

    def spans(self, service, count):
        """Spans with the process they came from, once `count` are there."""
        def look():
            found = [(s, t["processes"][s["processID"]]) for t in self.traces(service) for s in t["spans"]]
            return found if len(found) >= count else None
        return wait(look, what=f"{count} spans of {service} in Jaeger")


class Collector(Backend):
    program = HOME / "bin" / "collector"

    def command(self):
        self.grpc, self.http = free_port(), free_port()
        self.traces_file, self.metrics_file = self.folder / "traces.json", self.folder / "metrics.json"
        config = {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{self.grpc}", "max_recv_msg_size_mib": 64},
                                                 "http": {"endpoint": f"127.0.0.1:{self.http}"}}}},
            "exporters": {"file/traces": {"path": str(self.traces_file), "flush_interval": "100ms"},
                          "file/metrics": {"path": str(self.metrics_file), "flush_interval": "100ms"}},
            "service": {"telemetry": {"metrics": {"level": "none"}},
                        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file/traces"]},
                                      "metrics": {"receivers": ["otlp"], "exporters": ["file/metrics"]}}},
        }
        (self.folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        return [self.program, "--config", self.folder / "config.yaml"]

    def ready(self):
        for port in (self.grpc, self.http):
            socket.create_connection(("127.0.0.1", port), 1).close()
        return True

    def lines(self, path, service):
        """What the file exporter wrote of this service."""
        if not path.exists():
            return []
        return [line for line in path.read_text().splitlines() if f'"{service}"' in line]


class Zipkin(Backend):
    program = HOME / "lib" / "zipkin-server-3.5.1-exec.jar"

    def command(self):
        self.port = free_port()
        return ["java", "-Xmx256m", "-jar", self.program]

    def environment(self):
        return {**super().environment(), "QUERY_PORT": str(self.port), "ARMERIA_OPTS": ""}

    def ready(self):
        return get(f"http://127.0.0.1:{self.port}/health")["status"] == "UP"

    def spans(self, service, count):
        def look():
            found = [s for t in get(f"http://127.0.0.1:{self.port}/api/v2/traces?serviceName={service}&limit=10000")
                     for s in t]
            return found if len(found) >= count else None
        return wait(look, what=f"{count} spans of {service} in Zipkin")


class Prometheus(Backend):
    """3.x, with its OTLP receiver and native histograms."""
    program = HOME / "bin" / "prometheus"

    def command(self):
        self.port = free_port()
        (self.folder / "prometheus.yml").write_text("otlp: { promote_resource_attributes: [service.name] }\n")
        return [self.program, "--config.file", self.folder / "prometheus.yml", "--storage.tsdb.path", self.folder / "data",
                "--web.listen-address", f"127.0.0.1:{self.port}", "--web.enable-otlp-receiver"]

    @property
    def otlp(self):
        return f"http://127.0.0.1:{self.port}/api/v1/otlp"

    def ready(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as answer:
            return answer.status == 200

    def query(self, text, at):
        """The series of an instant query."""
        asked = urllib.parse.urlencode({"query": text, "time": at})
        return get(f"http://127.0.0.1:{self.port}/api/v1/query?{asked}")["data"]["result"]

    def names(self):
        return set(get(f"http://127.0.0.1:{self.port}/api/v1/label/__name__/values")["data"])

    def series(self, text, at, count=1):
        return wait(lambda: len(found := self.query(text, at)) >= count and found, what=f"{text} in Prometheus")
