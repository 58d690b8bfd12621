"""Metrics by OTLP: all three protocols, totals and differences, exponential histograms, exemplars."""
import gzip
import json
import math
import subprocess
from collections import Counter
from concurrent import futures

import grpc
import pytest

from lib import otlp_json
from lib.collector import plain_value, unknown_fields
from lib.preload import APPS
from plain import Plain

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

SAMPLE = APPS.parent / "tests" / "export" / "prom_sample"
DELTA, CUMULATIVE = 1, 2
DATA = {"sum": (7, "number"), "gauge": (5, "number"), "histogram": (9, "h"), "exponential_histogram": (10, "e")}
# Nothing is measured between two pushes but one request of 1 ms, 2 ms … and 2 drops.
MEASURED = "http.server.request.duration"


def push(url=None, times=1, **settings):
    env = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_TIMEOUT": "3000", **settings}
    if url:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    done = subprocess.run([SAMPLE, "push", str(times)], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def strict(message):
    """What the specification asks of every request."""
    problems = list(unknown_fields(message))
    [group] = message.resource_metrics
    [scope] = group.scope_metrics
    assert group.schema_url and scope.schema_url and scope.scope.name == "otelauto"
    names = [m.name for m in scope.metrics]
    assert len(names) == len(set(names))
    for m in scope.metrics:
        kind = m.WhichOneof("data")
        data = getattr(m, kind)
        assert m.description and m.unit, m.name
        if kind != "gauge":
            assert data.aggregation_temporality in (DELTA, CUMULATIVE)
        seen = set()
        for p in data.data_points:
            attributes = {kv.key: plain_value(kv.value) for kv in p.attributes}
            assert len(attributes) == len(p.attributes)
            key = json.dumps(attributes, sort_keys=True)
            assert key not in seen, f"{m.name} {key} twice"
            seen.add(key)
            assert p.time_unix_nano > 1.6e18 and p.start_time_unix_nano <= p.time_unix_nano
            if kind == "histogram":
                assert len(p.bucket_counts) == len(p.explicit_bounds) + 1
                assert list(p.explicit_bounds) == sorted(set(p.explicit_bounds))
                assert sum(p.bucket_counts) == p.count
            if kind == "exponential_histogram":
                assert p.zero_count + sum(p.positive.bucket_counts) == p.count
                assert len(p.positive.bucket_counts) <= 160
            for e in getattr(p, "exemplars", []):
                assert len(e.trace_id) == 16 and len(e.span_id) == 8
    assert not problems, problems
    return message


def metrics(body, headers=None):
    message = ExportMetricsServiceRequest()
    if headers and headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    if headers and headers["content-type"] == "application/json":
        otlp_json.message(body, message)
    else:
        message.ParseFromString(body)
    strict(message)
    return {m.name: m for m in message.resource_metrics[0].scope_metrics[0].metrics}


def received(times=1, status=(200,), **settings):
    with Plain(*status) as c:
        result = push(c.url, times, **settings)
        assert all(path == "/v1/metrics" for path, _, _ in c.requests)
        return result, [metrics(body, headers) for _, headers, body in c.requests]


def point(m, route="/"):
    """The point of GET / 200."""
    data = getattr(m, m.WhichOneof("data"))
    return next(p for p in data.data_points if any(plain_value(kv.value) == route for kv in p.attributes))


def drops(found):
    return next(p for p in found["otelauto_drops"].sum.data_points
                if plain_value(p.attributes[0].value) == "ring_full")


def test_the_metrics_by_name_unit_and_kind():
    result, [found] = received()
    assert result["ok"] == 1 and result["failed"] == 0
    m = found[MEASURED]
    assert m.unit == "s" and m.histogram.aggregation_temporality == CUMULATIVE
    attributes = {kv.key: plain_value(kv.value) for kv in point(m).attributes}
    assert attributes == {"http.request.method": "GET", "http.route": "/", "http.response.status_code": 200,
                          "url.scheme": "http", "network.protocol.version": "1.1"}
    overflow = [p for p in m.histogram.data_points if p.attributes[0].key == "otel.metric.overflow"]
    assert plain_value(overflow[0].attributes[0].value) is True
    active = found["http.server.active_requests"]
    assert active.unit == "{request}" and not active.sum.is_monotonic
    assert {plain_value(a.value) for p in active.sum.data_points if p.as_int == 3 for a in p.attributes} == {"GET", "http"}
    pools = found["db.client.connection.count"]
    assert pools.unit == "{connection}" and not pools.sum.is_monotonic
    counts = {tuple(plain_value(a.value) for a in p.attributes): p.as_int for p in pools.sum.data_points}
    assert counts == {(True, "idle"): 2, (True, "used"): 0, ('192.0.2.1:5432/a"b\\c', "idle"): 0, ('192.0.2.1:5432/a"b\\c', "used"): 4}
    assert {a.key for a in pools.sum.data_points[-1].attributes} == {"db.client.connection.pool.name", "db.client.connection.state"}
    assert found["process.cpu.time"].sum.is_monotonic and found["process.cpu.time"].sum.data_points[0].as_double >= 0
    assert found["process.memory.usage"].sum.data_points[0].as_int > 100_000
    assert drops(found).as_int == 5


def test_json_and_protobuf_say_the_same():
    _, [a] = received()
    _, [b] = received(OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="http/json")
    assert a.keys() == b.keys()
    pa, pb = point(a[MEASURED]), point(b[MEASURED])
    assert pa.bucket_counts == pb.bucket_counts and pa.explicit_bounds == pb.explicit_bounds
    assert math.isclose(pa.sum, pb.sum) and pa.attributes == pb.attributes
    _, [a] = received(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram")
    _, [b] = received(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram",
                      OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="http/json")
    pa, pb = point(a[MEASURED]), point(b[MEASURED])
    assert pa.positive == pb.positive and pa.scale == pb.scale and math.isclose(pa.zero_threshold, pb.zero_threshold)


def test_totals_only_grow_and_keep_their_start():
    result, found = received(3)
    points = [point(f[MEASURED]) for f in found]
    assert [p.count - points[0].count for p in points] == [0, 1, 2]
    assert len({p.start_time_unix_nano for p in points}) == 1
    assert [drops(f).as_int for f in found] == [5, 7, 9]


@pytest.mark.parametrize("aggregation", ["explicit_bucket_histogram", "base2_exponential_bucket_histogram"])
def test_differences_are_contiguous(aggregation):
    result, found = received(3, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
                             OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=aggregation)
    m = [f[MEASURED] for f in found]
    assert all(getattr(x, x.WhichOneof("data")).aggregation_temporality == DELTA for x in m)
    points = [point(x) for x in m]
    assert [p.count for p in points[1:]] == [1, 1]
    assert [round(p.sum, 6) for p in points[1:]] == [0.001, 0.002]
    assert points[1].start_time_unix_nano == points[0].time_unix_nano
    assert points[2].start_time_unix_nano == points[1].time_unix_nano
    assert [drops(f).as_int for f in found] == [5, 2, 2]
    assert found[1]["http.server.active_requests"].sum.aggregation_temporality == CUMULATIVE


def test_differences_that_were_not_accepted_come_with_the_next():
    _, found = received(3, status=(200, 400, 200), OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
    assert [point(f[MEASURED]).count for f in found[1:]] == [1, 2]
    assert [drops(f).as_int for f in found] == [5, 2, 4]
    assert point(found[2][MEASURED]).start_time_unix_nano == point(found[0][MEASURED]).time_unix_nano


def test_exponential_buckets_hold_what_the_explicit_ones_hold():
    _, [explicit] = received()
    _, [found] = received(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram")
    for name, unit in [(MEASURED, 1e9), ("http.server.request.body.size", 1)]:
        p, e = point(found[name]), point(explicit[name])
        assert p.count == e.count and math.isclose(p.sum, e.sum)
        values, v = [], 1
        while v < 20000 * 10**6:
            values.append(v / unit)
            v *= 3  # as fill() of prom_sample.c does for the first route
        left = [v for v in values if v > p.zero_threshold]
        assert p.zero_count == len(values) - len(left)
        last = p.positive.offset + len(p.positive.bucket_counts) - 1  # what is larger than all buckets is in the last
        wanted = Counter(min(math.ceil(round(math.log2(v) * 2 ** p.scale, 9)) - 1, last) for v in left)
        got = {p.positive.offset + i: count for i, count in enumerate(p.positive.bucket_counts) if count}
        assert got == wanted


def test_exemplars_are_those_of_the_buckets():
    _, [found] = received()
    data = getattr(found[MEASURED], "histogram").data_points
    shown = [e for p in data for e in p.exemplars]
    assert shown and all(e.trace_id.hex().startswith("4bf92f35") for e in shown)


def test_gzip_and_the_signal_s_own_settings():
    with Plain(200) as c:
        push("http://127.0.0.1:1", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{c.url}/my/path",
             OTEL_EXPORTER_OTLP_METRICS_COMPRESSION="gzip", OTEL_EXPORTER_OTLP_METRICS_HEADERS="x-a=1")
        [(path, headers, body)] = c.requests
    assert path == "/my/path" and headers["x-a"] == "1" and metrics(body, headers)


def test_grpc():
    calls = []
    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(
        lambda request, _: calls.append(strict(request)) or ExportMetricsServiceResponse(),
        ExportMetricsServiceRequest.FromString, ExportMetricsServiceResponse.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "opentelemetry.proto.collector.metrics.v1.MetricsService", {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert push(f"http://127.0.0.1:{port}", 3, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")["ok"] == 3
    finally:
        server.stop(None).wait()
    assert len(calls) == 3


def test_rejected_points_are_counted_and_a_busy_collector_is_asked_again():
    result, found = received(status=(503, 200))
    assert result["ok"] == 1 and len(found) == 2
    result, found = received(status=(400,))
    assert result == {**result, "ok": 0, "failed": 1}


def test_a_tree_has_one_identity_that_is_no_process():
    with Plain(200) as c:
        push(c.url, 2)
        ids = []
        for _, _, body in c.requests:
            message = ExportMetricsServiceRequest.FromString(body)
            resource = {kv.key: plain_value(kv.value) for kv in message.resource_metrics[0].resource.attributes}
            assert "process.pid" not in resource and resource["service.name"]
            ids.append(resource["service.instance.id"])
    assert len(set(ids)) == 1 and len(ids) == 2


def test_memory_does_not_grow():
    small, _ = received(2)
    large, _ = received(12)
    assert large["arena"] <= small["arena"] + 65536
