"""Metrics pushed to Prometheus 3 over OTLP: what it has is what another receiver got."""
import math
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from backends import wait
from lib.collector import plain_value
from test_metrics_push import MEASURED, SAMPLE, push, received

NAME = "http_server_request_duration_seconds"
OTHER_LABELS = {"__name__", "le", "job", "instance", "service_name"}


def key(labels):
    return tuple(sorted((k, v) for k, v in labels.items() if k not in OTHER_LABELS))


def sent(p):
    """The labels that Prometheus makes of a point's attributes."""
    values = {kv.key.replace(".", "_"): plain_value(kv.value) for kv in p.attributes}
    return key({k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in values.items()})


def when(point):
    """In seconds; the sample's clock is its own."""
    return point.time_unix_nano / 1e9 + 1


def pushed(prometheus, **settings):
    """What went to Prometheus, as a plain receiver was sent it by the same program."""
    result = push(prometheus.otlp, 1, **settings)
    assert (result["ok"], result["failed"], result["rejected"]) == (1, 0, 0)
    _, [found] = received(1, **settings)
    return found


def test_histograms_arrive_bucket_by_bucket(prometheus):
    found = pushed(prometheus)
    points = {sent(p): p for p in found[MEASURED].histogram.data_points}
    at = when(found[MEASURED].histogram.data_points[0])
    counts = prometheus.series(f'{NAME}_count', at, len(points))
    assert {key(s["metric"]): float(s["value"][1]) for s in counts} == {k: p.count for k, p in points.items()}
    sums = prometheus.query(f'{NAME}_sum', at)
    assert {key(s["metric"]): float(s["value"][1]) for s in sums} == {k: pytest.approx(p.sum) for k, p in points.items()}
    buckets = {}
    for s in prometheus.query(f'{NAME}_bucket', at):
        buckets.setdefault(key(s["metric"]), {})[float(s["metric"]["le"])] = float(s["value"][1])
    for k, p in points.items():
        total, expected = 0, {}
        for bound, count in zip([*p.explicit_bounds, math.inf], p.bucket_counts):
            total += count
            expected[bound] = total
        assert buckets[k] == expected


def test_counters_and_gauges_arrive_by_the_names_that_a_scrape_has(prometheus):
    found = pushed(prometheus)
    drops = {sent(p): p.as_int for p in found["otelauto_drops"].sum.data_points}
    at = when(found["otelauto_drops"].sum.data_points[0])
    there = prometheus.series('otelauto_drops_total', at, len(drops))
    assert {key(s["metric"]): float(s["value"][1]) for s in there} == drops
    [processes] = prometheus.series('otelauto_processes', at)
    assert float(processes["value"][1]) == found["otelauto_processes"].gauge.data_points[0].as_int


def test_exponential_histograms_become_native_ones(prometheus):
    found = pushed(prometheus, OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram")
    points = {sent(p): p for p in found[MEASURED].exponential_histogram.data_points}
    at = when(found[MEASURED].exponential_histogram.data_points[0])
    there = prometheus.series(f'{NAME}', at, len(points))
    assert {key(s["metric"]): float(s["histogram"][1]["count"]) for s in there} == {k: p.count for k, p in points.items()}


def test_what_is_pushed_has_the_names_that_are_scraped(prometheus):
    pushed(prometheus)
    names = wait(lambda: prometheus.names(), what="names in Prometheus")
    scraped = {s.name for f in parse_text(subprocess.run([SAMPLE, "text"], check=True, capture_output=True).stdout.decode())
               for s in f.samples}
    assert not names - scraped
