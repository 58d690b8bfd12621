"""A server with a declarative configuration file and nothing else."""
import http.client
import subprocess
from collections import Counter

import pytest
from lib.leaf import Leaf
from lib.loadgen import Connection
from lib.preload import Program, app, environment, wait_until

FILE = """
file_format: "1.0"
resource: {{ attributes: [ {{ name: service.name, value: from-file }} ] }}
propagator: {{ composite: [ {{ tracecontext: }} ] }}
tracer_provider:
  processors:
    - batch:
        schedule_delay: ${{DELAY:-100}}
        exporter: {{ otlp_http: {{ endpoint: "{endpoint}/v1/traces" }} }}
{more}
"""


def run(collector, tmp_path, more="", requests=3):
    path = tmp_path / "otel.yaml"
    path.write_text(FILE.format(endpoint=collector.endpoint, more=more))
    said = tmp_path / "said"
    settings = {"OTEL_CONFIG_FILE": str(path), "OTEL_SERVICE_NAME": "from-environment", "OTELAUTO_LOG_FILE": str(said)}
    with Leaf() as leaf, Program([app("prefork_server"), leaf.port, 2], endpoint=collector.endpoint,
                                 settings=settings) as program:
        for _ in range(requests):
            conn = http.client.HTTPConnection("127.0.0.1", program.port, timeout=10)
            conn.request("GET", "/file")
            assert conn.getresponse().read() is not None
            conn.close()
    return said.read_text() if said.exists() else ""


def test_the_file_says_where_spans_go_and_who_we_are(collector, tmp_path):
    assert run(collector, tmp_path) == ""
    spans = collector.wait_count(3, kind="SERVER")
    assert {s.service for s in spans} == {"from-file"}


def test_keys_without_meaning_are_said_once_and_the_rest_works(collector, tmp_path):
    said = run(collector, tmp_path, more="colour: red\nshape: { round: true }\n")
    assert said.count("\n") == 1 and "means nothing here: colour, shape" in said
    assert collector.wait_count(3, kind="SERVER")


DETECTION = """
  detection/development:
    attributes: {{ excluded: [ process.command, "host.a*" ] }}
    detectors: [ {detectors} ]
"""


@pytest.mark.parametrize("detectors, there, not_there", [
    ("{ process: }, { service: }", ["process.pid", "process.executable.name"], ["process.command", "host.name", "os.type"]),
    ("{ host: }", ["host.name", "os.type"], ["host.arch", "process.pid", "process.owner"]),
])
def test_of_the_resource_is_found_out_what_the_file_wants(collector, tmp_path, detectors, there, not_there):
    path = tmp_path / "otel.yaml"
    text = FILE.format(endpoint=collector.endpoint, more="").replace(
        "resource: { attributes: [ { name: service.name, value: from-file } ] }",
        "resource:" + DETECTION.format(detectors=detectors))
    path.write_text(text)
    settings = {"OTEL_CONFIG_FILE": str(path), "OTEL_SERVICE_NAME": "from-environment"}
    with Program([app("thread_server")], endpoint=collector.endpoint, settings=settings) as program:
        with Connection(program.port) as conn:
            conn.request("/detected")
    [span] = collector.wait_count(1, kind="SERVER")
    assert span.service == ("from-environment" if "service" in detectors else "thread_server")
    assert "service.instance.id" in span.resource
    assert set(there) <= set(span.resource) and not set(not_there) & set(span.resource)


RULES = """
  sampler:
    composite/development:
      rule_based:
        rules:
          - attribute_patterns: { key: url.path, included: ["/healthz*", "/livez*"] }
            sampler: { always_off: }
          - attribute_values: { key: http.request.method, values: [GET] }
            span_kinds: [server]
            attribute_patterns: { key: url.path, included: ["/pay/*"] }
            sampler: { probability: { ratio: 1.0 } }
otelauto: { keep: none }
"""


def test_composite_rules_decide_from_the_first_condition_that_holds(collector, tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text(FILE.format(endpoint=collector.endpoint, more=RULES))
    with Program([app("thread_server")], endpoint=collector.endpoint,
                 settings={"OTEL_CONFIG_FILE": str(path)}) as program, Connection(program.port) as conn:
        def rules_are_read():  # our thread does it; before, nothing is sampled
            conn.request("/pay/first")
            return collector.spans
        wait_until(rules_are_read, what="a span")
        for number in range(20):
            for what in ("healthz", "livez", "other", "pay"):
                conn.request(f"/{what}/{number}")
            conn.request(f"/pay/{number}", "POST", body=b"x")
        collector.wait_for(lambda spans: any(s.path == "/pay/19" for s in spans))
    assert Counter(s.path.split("/")[1] for s in collector.spans).keys() == {"pay"}
    numbered = [s.path for s in collector.spans if s.path != "/pay/first"]
    assert sorted(numbered) == sorted(f"/pay/{n}" for n in range(20))


def test_disabled_means_off(collector, tmp_path):
    assert run(collector, tmp_path, more="disabled: true\n") == ""
    assert not collector.spans


def test_programs_without_sockets_only_pay_for_reading_it(tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text("not: [yaml")
    env = {**environment(), "OTEL_CONFIG_FILE": str(path)}
    done = subprocess.run(["strace", "-f", "-e", "trace=openat,mmap,write", "/bin/true"], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count(str(path)) == 1
    opened = done.stderr.index(str(path))
    assert "mmap" not in done.stderr[opened:] and "otelauto:" not in done.stderr
