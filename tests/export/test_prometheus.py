"""What the metrics endpoint says, read by the official parsers: Python's for both formats, and promtool."""
import http.client
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from lib.preload import APPS

SAMPLE = APPS.parent / "tests" / "export" / "prom_sample"
PARSERS = {"text": parse_text, "openmetrics": parse_openmetrics}
DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def output(*args):
    return subprocess.run([SAMPLE, *args], check=True, capture_output=True).stdout.decode()


@pytest.fixture(params=sorted(PARSERS))
def families(request):
    return list(PARSERS[request.param](output(request.param)))


def test_every_family_is_there_once_and_every_series_once(families):
    names = [f.name for f in families]
    assert len(names) == len(set(names))
    keys = [(s.name, tuple(sorted(s.labels.items()))) for f in families for s in f.samples]
    assert len(keys) == len(set(keys))
    assert "http_server_request_duration_seconds" in names and "otelauto_drops" in names


def test_both_formats_say_the_same():
    def values(kind):
        def le(labels):
            return {k: float(v) if k == "le" else v for k, v in labels.items()}
        return {(s.name, tuple(sorted(le(s.labels).items()))): s.value
                for f in PARSERS[kind](output(kind)) for s in f.samples if not s.name.startswith("process_")}

    assert values("text") == values("openmetrics")


def test_histograms_add_up(families):
    checked = 0
    for family in families:
        if family.type != "histogram":
            continue
        series = {}
        for s in family.samples:
            key = tuple(sorted((k, v) for k, v in s.labels.items() if k != "le"))
            series.setdefault(key, []).append(s)
        for samples in series.values():
            buckets = [(float(s.labels["le"]), s.value) for s in samples if s.name.endswith("_bucket")]
            count = [s.value for s in samples if s.name.endswith("_count")]
            total = [s.value for s in samples if s.name.endswith("_sum")]
            assert buckets == sorted(buckets) and len(buckets) == (10 if "_db_" in f"_{family.name}" else 15)
            assert buckets[-1] == (math.inf, count[0])
            assert [v for _, v in buckets] == sorted(v for _, v in buckets)
            assert len(count) == len(total) == 1
            checked += 1
    assert checked == 13 * 4 + 1 + 13  # four routes that are text already, the one that was not, the overflow series


def test_labels_come_back_as_they_went_in(families):
    routes = {s.labels.get("http_route") for f in families for s in f.samples if f.type == "histogram"}
    assert routes == {"/", "/users/{id}", '/q"uote\\back\nline', "/\ufffd\ufffd", "/€", None}
    target = [s for f in families for s in f.samples if s.name == "target_info"]
    assert target[0].labels == {"service_name": 'sample "quoted" \\ and\nmore', "telemetry_sdk_language": "c",
                                "host_name": "häne", "process_count": "3"}


def test_pools_of_connections(families):
    """Of the processes that live; those past the limit of pools together."""
    pools = {(s.labels.get("db_client_connection_pool_name", s.labels.get("otel_metric_overflow")), s.labels["db_client_connection_state"]): s.value
             for f in families for s in f.samples if s.name == "db_client_connection_count"}
    name = '192.0.2.1:5432/a"b\\c'
    assert pools == {("true", "idle"): 2, ("true", "used"): 0, (name, "idle"): 0, (name, "used"): 4}


def test_instruments_of_opentelemetry_name_their_scope(families):
    for family in families:
        for s in family.samples:
            if re.match("http_|process_", s.name):
                assert s.labels["otel_scope_name"] == "otelauto" and s.labels["otel_scope_version"]


def test_exemplars_are_in_openmetrics_only_and_lie_in_their_bucket():
    assert "trace_id" not in output("text")
    found = 0
    for family in parse_openmetrics(output("openmetrics")):
        below = {}
        for s in family.samples:
            key = tuple(sorted((k, v) for k, v in s.labels.items() if k != "le"))
            if "le" not in s.labels:
                continue
            if s.exemplar:
                found += 1
                assert s.labels["http_route"] == "/users/{id}"
                assert s.exemplar.labels == {"trace_id": "4bf92f3501" + 22 * "0", "span_id": "00f067aa01" + 6 * "0"}
                assert below.get(key, -1) < s.exemplar.value <= float(s.labels["le"])
                assert float(s.exemplar.timestamp) == 1700000000.123
            below[key] = float(s.labels["le"])
    assert found > 20


def test_units_and_types():
    families = {f.name: f for f in parse_openmetrics(output("openmetrics"))}
    assert families["http_server_request_duration_seconds"].unit == "seconds"
    assert families["http_client_response_body_size_bytes"].unit == "bytes"
    assert families["process_cpu_time_seconds"].type == "counter"
    assert families["process_memory_usage_bytes"].type == "gauge"
    assert families["target"].type == "info"


def test_every_metric_is_documented(families):
    text = DOCS.read_text()
    missing = [f.name for f in families if f"`{f.name}" not in text]
    assert not missing
    # and nothing is documented that does not exist
    known = {f.name for f in families} | {s.name for f in families for s in f.samples} | {f.name + "_total" for f in families}
    listed = {name for name in re.findall(r"^\| `([a-z_0-9]+)`", text, re.M)
              if re.match("http_(server|client)_|process_|otelauto_|target_", name)}
    assert listed <= known, listed - known


def test_counters_say_zero_from_the_start(families):
    drops = {s.labels["reason"]: s.value for f in families if f.name == "otelauto_drops" for s in f.samples}
    assert drops["ring_full"] == 5 and drops["queue_full"] == 0


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian package prometheus) is not installed")
def test_promtool_reads_it():
    ran = subprocess.run(["promtool", "check", "metrics"], input=output("text"), text=True, capture_output=True)
    # 3 = it can be read, and names could be better. These are OpenTelemetry's.
    assert ran.returncode in (0, 3), ran.stderr
    complaints = [line for line in (ran.stdout + ran.stderr).splitlines() if "_count" not in line]
    assert not complaints


# -- over HTTP, linked as the library is --

@pytest.fixture
def port():
    with subprocess.Popen([SAMPLE, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield int(server.stdout.readline())
        server.stdin.close()
        assert server.wait(15) == 0


def get(port, path="/metrics", accept=None, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(method, path, headers={**headers, **({"Accept": accept} if accept else {})})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


# What Prometheus 3 sends.
ACCEPT = ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
          "application/openmetrics-text;version=0.0.1;q=0.5,"
          "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")


def test_a_scrape_of_prometheus_gets_openmetrics(port):
    status, headers, body = get(port, accept=ACCEPT)
    assert status == 200
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    assert int(headers["Content-Length"]) == len(body.encode())
    assert len(list(parse_openmetrics(body))) > 20


def test_curl_gets_the_older_text(port):
    status, headers, body = get(port, accept="*/*")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert len(list(parse_text(body))) > 20


def test_many_scrapes_in_a_row_are_all_answered(port):
    for i in range(30):
        assert get(port, Connection="close" if i % 2 else "keep-alive")[0] == 200
    scrapes = re.search(r"^otelauto_scrapes_total (\d+)$", get(port)[2], re.M)
    assert scrapes.group(1) == "31"


def test_head_and_health(port):
    status, headers, body = get(port, method="HEAD")
    assert status == 200 and body == "" and int(headers["Content-Length"]) > 1000
    status, headers, body = get(port, "/healthz")
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert json.loads(body)["status"] == "ok" and json.loads(body)["leader"] is True


def test_status(port):
    status, headers, body = get(port, "/api/status")
    assert status == 200 and headers["Content-Type"] == "application/json"
    said = json.loads(body)
    assert said["leader"] is True and said["metrics_exporters"] == ["prometheus"] and said["version"]
    assert said["counters"]["otelauto_drops"]["ring_full"] == 5 and said["counters"]["otelauto_scrapes"] >= 0
    [process] = said["processes"]
    assert process["pid"] == said["pid"] and process["queue_slots"] > 0 == process["queue_used_slots"]
    assert said["spool"] == {"on": False, "bytes": 0, "spans": 0, "files": 0, "max_bytes": said["spool"]["max_bytes"]}


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus (Debian package) is not installed")
def test_prometheus_itself_scrapes_it(port, tmp_path):
    from lib.preload import free_port, wait_until

    own = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "otelauto", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}))
    server = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{own}", "--enable-feature=exemplar-storage"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", own, timeout=5)
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())["data"]
        except (OSError, ValueError, KeyError):
            return None

    def up():
        targets = ask("/api/v1/targets")
        active = targets and targets["activeTargets"]
        return active and active[0]["lastError"] == "" and active[0]["health"] == "up"

    try:
        wait_until(up, 30, "a healthy target")
        found = wait_until(lambda: (ask("/api/v1/query?query=http_server_request_duration_seconds_count") or {}).get("result"),
                           30, "samples")
        assert len(found) == 6
        exemplars = ask("/api/v1/query_exemplars?query=http_server_request_duration_seconds_bucket"
                        "&start=1699999999&end=1700000001")
        assert exemplars and exemplars[0]["exemplars"][0]["labels"]["trace_id"].startswith("4bf92f3501")
    finally:
        server.terminate()
        server.wait(15)
