"""A real Jaeger tells us what to keep: strategies from its file, and its adaptive sampling, which must converge.

Needs Jaeger's all-in-one, which scripts/test-backends builds; skipped when it is not there."""
import json
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from backends import HOME

from lib.loadgen import Load
from lib.metrics import scrape
from lib.preload import Program, app, free_port, wait_until

import sys
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "preload"))
from test_counts import metrics_port  # noqa: E402

JAEGER = HOME / "bin/all-in-one"
SERVICE = "sampled-shop"
SHARE = "otelauto_sampling_probability"

pytestmark = pytest.mark.skipif(not JAEGER.exists(), reason=f"{JAEGER} is not there: scripts/test-backends builds it")

# Flags of all-in-one that name a port, so that nothing collides with what runs here.
PORTS = ["admin.http.host-port", "collector.grpc-server.host-port", "collector.http-server.host-port",
         "collector.otlp.grpc.host-port", "collector.otlp.http.host-port", "http-server.host-port",
         "query.grpc-server.host-port", "query.http-server.host-port", "collector.zipkin.host-port",
         "processor.jaeger-binary.server-host-port", "processor.jaeger-compact.server-host-port",
         "processor.zipkin-compact.server-host-port"]


class Jaeger:
    def __init__(self, directory, *flags, **environment):
        self.ports = {name: free_port() for name in PORTS}
        self.argv = [JAEGER, "--collector.otlp.enabled=true", "--log-level=warn", *flags,
                     *(f"--{name}=127.0.0.1:{port}" for name, port in self.ports.items() if "zipkin.host" not in name)]
        self.environment, self.log = environment, directory / "jaeger.log"

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.argv, env={"PATH": "/usr/bin:/bin", **self.environment}, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        for port in (self.ports["http-server.host-port"], self.ports["collector.otlp.http.host-port"]):
            wait_until(lambda port=port: self.listens(port), deadline=60, what=f"Jaeger: {self.log.read_text()[-2000:]}")
        return self

    def listens(self, port):
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.ports['collector.otlp.http.host-port']}"

    def strategy(self):
        url = f"http://127.0.0.1:{self.ports['http-server.host-port']}/sampling?service={SERVICE}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ValueError):
            return {}

    def settings(self, grpc=False, **more):
        port = self.ports["collector.grpc-server.host-port" if grpc else "http-server.host-port"]
        return {"OTEL_TRACES_SAMPLER": "parentbased_jaeger_remote", "OTEL_BSP_SCHEDULE_DELAY": "100",
                "OTEL_TRACES_SAMPLER_ARG": f"endpoint={'grpc' if grpc else 'http'}://127.0.0.1:{port},pollingIntervalMs=200,initialSamplingRate=0",
                "OTEL_BSP_MAX_QUEUE_SIZE": "65536", **more}


def shares(program):
    return {dict(labels)["rule"]: value for labels, value in scrape(metrics_port(program)).series(SHARE).items()}


def load(program, prefix, count):
    Load(program.port, count, 4, path=lambda ident: f"/{prefix}/{ident}").run()


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_strategies_of_its_file_are_ours(tmp_path, grpc):
    file = tmp_path / "strategies.json"
    file.write_text(json.dumps({
        "default_strategy": {"type": "probabilistic", "param": 0.5},
        "service_strategies": [{"service": SERVICE, "type": "probabilistic", "param": 0.25, "operation_strategies": [
            {"operation": "GET /pay/{id}", "type": "probabilistic", "param": 1.0}]}]}))
    with Jaeger(tmp_path, f"--sampling.strategies-file={file}", SAMPLING_CONFIG_TYPE="file") as jaeger:
        with Program([app("thread_server")], endpoint=jaeger.endpoint, service=SERVICE,
                     settings=jaeger.settings(grpc)) as program:
            load(program, "first", 1)
            wait_until(lambda: shares(program).get("GET /pay/{id}") == 1, what="the strategy")
            assert abs(shares(program)["default"] - 0.25) < 1e-4


def test_its_adaptive_sampling_converges_on_its_target(tmp_path):
    """20 requests a second (and more on a quick machine), of which it wants 2."""
    target, stop = 2.0, threading.Event()
    with Jaeger(tmp_path, "--sampling.target-samples-per-second=2", "--sampling.initial-sampling-probability=0.01",
                "--sampling.calculation-interval=2s", "--sampling.delay=2s", "--sampling.min-samples-per-second=1",
                "--sampling.leader-lease-refresh-interval=1s", "--sampling.follower-lease-refresh-interval=1s",
                SAMPLING_CONFIG_TYPE="adaptive", SAMPLING_STORAGE_TYPE="memory", SPAN_STORAGE_TYPE="memory") as jaeger:
        with Program([app("thread_server")], endpoint=jaeger.endpoint, service=SERVICE, settings=jaeger.settings()) as program:
            load(program, "first", 1)
            counted = [0]

            def traffic():
                while not stop.is_set():
                    load(program, "op", 10)
                    counted[0] += 10
                    stop.wait(0.5)
            thread = threading.Thread(target=traffic, daemon=True)
            thread.start()
            seen = []

            def converged():
                p = shares(program).get("GET /op/{id}")
                if p and (not seen or seen[-1] != p):
                    seen.append(p)
                # 20 a second or a little less: 2 of them are a tenth, and Jaeger is content within 30 %.
                return p and 0.06 < p < 0.3
            try:
                wait_until(converged, deadline=100, what=f"a share near {target}/20: {seen}, Jaeger says {jaeger.strategy()}")
            finally:
                stop.set()
                thread.join(30)
            assert all(b <= 2.001 * a for a, b in zip(seen, seen[1:])), seen
            assert "perOperationStrategies" in jaeger.strategy()["operationSampling"]
