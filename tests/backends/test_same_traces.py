"""The same spans by every path: what the back ends have of them is the same."""
import json

import pytest

from backends import wait
from fake import emit
from lib import otlp_json
from test_otlp_json import shape

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from test_metrics_push import push, strict

# What a path adds of itself, and what is new in every process.
OF_THE_PATH = {"internal.span.format", "otel.library.name", "otel.library.version", "otel.scope.name", "otel.scope.version"}
OF_THE_PROCESS = {"process.pid", "service.instance.id", "process.creation.time"}
COUNT = 70
DONE = {"ok": COUNT, "rejected": 0, "failed": 0}


def by_otlp(jaeger, protocol):
    port = jaeger.grpc if protocol == "grpc" else jaeger.http
    return "otlp", {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


PATHS = {
    "otlp-protobuf": lambda j: by_otlp(j, "http/protobuf"),
    "otlp-json": lambda j: by_otlp(j, "http/json"),
    "otlp-grpc": lambda j: by_otlp(j, "grpc"),
    "otlp-gzip": lambda j: ("otlp", {**by_otlp(j, "grpc")[1], "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}),
    "thrift-http": lambda j: ("jaeger", {"OTEL_EXPORTER_JAEGER_ENDPOINT": f"http://127.0.0.1:{j.thrift}/api/traces"}),
    "thrift-udp": lambda j: ("jaeger", {"OTEL_EXPORTER_JAEGER_AGENT_HOST": "127.0.0.1",
                                        "OTEL_EXPORTER_JAEGER_AGENT_PORT": str(j.udp)}),
    "zipkin": lambda j: ("zipkin", {"OTEL_EXPORTER_ZIPKIN_ENDPOINT": f"http://127.0.0.1:{j.zipkin}/api/v2/spans"}),
}


def tags(items, without):
    found = {t["key"]: (t["type"], t["value"]) for t in items if t["key"] not in without}
    assert len(found) == len([t for t in items if t["key"] not in without]), "a tag twice"
    return found


def seen(span, process):
    """A span of Jaeger's without ids and times."""
    logs = sorted(json.dumps(sorted((f["key"], f["value"]) for f in log["fields"])) for log in span["logs"])
    refs = sorted(r["refType"] for r in span["references"])
    return (span["operationName"], span["duration"], refs, tags(span["tags"], OF_THE_PATH), logs,
            tags(process["tags"], OF_THE_PROCESS))


@pytest.fixture(scope="module")
def reference(jaeger):
    return send(jaeger, "otlp-protobuf")


def send(jaeger, path):
    exporter, settings = PATHS[path](jaeger)
    service = f"by-{path}"
    got = emit(None, exporter=exporter, spans=COUNT, OTEL_SERVICE_NAME=service, **settings)
    assert got.counts() == DONE
    found = jaeger.spans(service, COUNT)
    assert len(found) == COUNT and len({s["spanID"] for s, _ in found}) == COUNT
    assert {p["serviceName"] for _, p in found} == {service}
    return sorted((seen(s, p) for s, p in found), key=str)


@pytest.mark.parametrize("path", ["otlp-json", "otlp-grpc", "otlp-gzip", "thrift-http", "thrift-udp"])
def test_jaeger_shows_the_same_whatever_the_path(jaeger, reference, path):
    for a, b in zip(reference, send(jaeger, path), strict=True):
        assert a == b


def test_jaeger_s_zipkin_receiver_shows_the_same_names_durations_and_attributes(jaeger, reference):
    """All of Zipkin's tags are texts, a duration is at least 1 us, there is no resource."""
    found = send(jaeger, "zipkin")
    assert sorted(s[0] for s in found) == sorted(s[0] for s in reference)
    assert sorted(s[1] for s in found) == sorted(max(s[1], 1) for s in reference)

    def texts(span, keys):
        return sorted((k, json.dumps(v) if isinstance(v, bool) else str(v)) for k, (_, v) in span[3].items() if k in keys)
    keys = {k for s in reference for k in s[3]} - {"span.kind", "error", "otel.status_code", "w3c.tracestate"}
    assert sorted(texts(s, keys) for s in found) == sorted(texts(s, keys) for s in reference)


def test_parents_and_links_arrive(jaeger, reference):
    refs = [s[2] for s in reference]
    assert refs.count(["CHILD_OF"]) == 30 and refs.count(["FOLLOWS_FROM", "FOLLOWS_FROM"]) == 20


# -- the Collector --

@pytest.mark.parametrize("protocol, compression", [("http/protobuf", "none"), ("http/protobuf", "gzip"), ("http/json", "none"),
                                                   ("http/json", "gzip"), ("grpc", "none"), ("grpc", "gzip")])
def test_the_collector_writes_what_the_file_exporter_writes(collector, tmp_path, protocol, compression):
    service = f"c-{protocol.replace('/', '-')}-{compression}"
    port = collector.grpc if protocol == "grpc" else collector.http
    got = emit(f"http://127.0.0.1:{port}", spans=COUNT, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_SERVICE_NAME=service,
               OTEL_EXPORTER_OTLP_COMPRESSION=compression)
    assert got.counts() == DONE
    file = tmp_path / "t"
    emit(None, exporter="otlp_file", spans=COUNT, OTELAUTO_FILE_PATH=str(file), OTEL_SERVICE_NAME=service)
    [line] = wait(lambda: collector.lines(collector.traces_file, service), what=f"{service} in the Collector's file")
    theirs = shape(otlp_json.json_format.ParseDict(otlp_json.convert(json.loads(line)), ExportTraceServiceRequest()))
    for span in theirs.resource_spans[0].scope_spans[0].spans:
        if not span.status.code:
            span.ClearField("status")  # the Collector writes an empty one
    ours = shape(otlp_json.message(file.read_text(), ExportTraceServiceRequest()))
    assert str(theirs).splitlines() == str(ours).splitlines()


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
@pytest.mark.parametrize("settings", [
    {}, {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
    {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}])
def test_the_collector_takes_metrics(collector, protocol, settings):
    port = collector.grpc if protocol == "grpc" else collector.http
    before = len(collector.lines(collector.metrics_file, "http.server.request.duration"))
    result = push(f"http://127.0.0.1:{port}", 3, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **settings)
    assert result["ok"] == 3 and not result["rejected"]
    lines = wait(lambda: (found := collector.lines(collector.metrics_file, "http.server.request.duration")[before:])
                 and len(found) >= 3 and found, what="metrics in the Collector's file")
    for line in lines:
        strict(otlp_json.json_format.ParseDict(otlp_json.convert(json.loads(line)), ExportMetricsServiceRequest()))


# -- Zipkin --

def test_zipkin_itself(zipkin):
    got = emit(None, exporter="zipkin", spans=COUNT, OTEL_SERVICE_NAME="Shop",
               OTEL_EXPORTER_ZIPKIN_ENDPOINT=f"http://127.0.0.1:{zipkin.port}/api/v2/spans")
    assert got.counts() == DONE
    found = zipkin.spans("shop", COUNT)
    assert len({s["id"] for s in found}) == COUNT
    clients = [s for s in found if s.get("kind") == "CLIENT" and s["name"] == "post"]
    assert clients[0]["remoteEndpoint"]["serviceName"] in ("api.example", "far.example")
    assert {len(s.get("annotations", [])) for s in clients} == {2}
    assert [s["tags"]["error.type"] for s in found if "error" in s["tags"]].count("503") == 10
