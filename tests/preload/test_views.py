"""A server whose configuration file has views: what the endpoint shows, and what is pushed."""
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from lib.collector import plain_value
from lib.loadgen import Connection
from lib.metrics import scrape
from lib.preload import Program, app, free_port, wait_until
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

FILE = """
file_format: "1.0"
meter_provider:
  readers:
    - pull: {{ exporter: {{ prometheus/development: {{ port: {port} }} }} }}
    - periodic: {{ interval: 1000, exporter: {{ otlp_http: {{ endpoint: "{url}" }} }} }}
  views:
{views}
"""
DURATION = "http_server_request_duration_seconds"


class Receiver:
    """Keeps the last metrics that were pushed."""

    def __enter__(self):
        self.pushed = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                message = ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.pushed = {m.name: m for r in message.resource_metrics for s in r.scope_metrics for m in s.metrics}
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/metrics"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def measure(tmp_path, views, ready):
    """Thirty requests for three routes. returns what the endpoint shows, what was pushed, what was said"""
    port, said = free_port(), tmp_path / "said"
    path = tmp_path / "otel.yaml"
    with Receiver() as receiver:
        path.write_text(FILE.format(port=port, url=receiver.url, views=views))
        settings = {"OTEL_CONFIG_FILE": str(path), "OTELAUTO_LOG_FILE": str(said)}
        with Program([app("thread_server")], settings=settings) as program, Connection(program.port) as conn:
            for number in range(30):
                conn.request(f"/{'abc'[number % 3]}")

            def show():
                try:
                    metrics = scrape(port)
                except ConnectionRefusedError:  # our thread has not come to it yet
                    return None
                return metrics if ready(metrics) else None

            shown = wait_until(show, what="metrics")
            wait_until(lambda: receiver.pushed and sum_of(receiver.pushed) >= 30, what="a push")
            return shown, receiver.pushed, said.read_text() if said.exists() else ""


def sum_of(pushed):
    """Requests in whatever histogram of theirs there is."""
    return max((sum(p.count for p in getattr(m, m.WhichOneof("data")).data_points)
                for name, m in pushed.items() if m.WhichOneof("data").endswith("istogram")), default=0)


def attributes(point):
    return {a.key: plain_value(a.value) for a in point.attributes}


def test_attributes_boundaries_and_names(tmp_path):
    shown, pushed, said = measure(tmp_path, """
    - selector: { instrument_name: "http.server.request.duration" }
      stream:
        name: app.requests
        description: All of them.
        aggregation: { explicit_bucket_histogram: { boundaries: [ 0.0, 0.5, 60 ] } }
        attribute_keys: { included: [ http.request.method ] }
    - selector: { instrument_name: "http.server.request.duration" }
      stream: { name: app.by_route, attribute_keys: { included: [ http.route ] }, aggregation: { sum: } }
    - selector: { instrument_name: "http.server.*.size" }
      stream: { aggregation: { drop: } }
""", lambda m: m.sum("app_requests_seconds_count") == 30)
    assert said == ""
    assert not shown.series(f"{DURATION}_count") and not [n for n, _ in shown.samples if n.endswith("body_size_bytes_count")]
    buckets = shown.series("app_requests_seconds_bucket", http_request_method="GET")
    assert {dict(k)["le"] for k in buckets} == {"0", "0.5", "60", "+Inf"}
    assert {tuple(k for k, _ in pairs if not k.startswith("otel_scope")) for pairs in buckets} == {("http_request_method", "le")}
    assert "# HELP app_requests_seconds All of them." in shown.text
    assert shown.types["app_by_route_seconds_total"] == "counter"
    assert {dict(k)["http_route"] for k in shown.series("app_by_route_seconds_total")} == {"/a", "/b", "/c"}
    assert shown.sum("http_server_active_requests") >= 0 and shown.sum("otelauto_processes") == 1
    [point] = pushed["app.requests"].histogram.data_points
    assert list(point.explicit_bounds) == [0.0, 0.5, 60.0] and len(point.bucket_counts) == 4 and point.count == 30
    assert attributes(point) == {"http.request.method": "GET"}
    by_route = pushed["app.by_route"].sum
    assert by_route.is_monotonic and {attributes(p)["http.route"] for p in by_route.data_points} == {"/a", "/b", "/c"}
    assert sum(p.as_double for p in by_route.data_points) == pytest.approx(point.sum)
    assert not any(name.endswith("body.size") for name in pushed)


def test_all_but_one(tmp_path):
    shown, pushed, said = measure(tmp_path, """
    - { selector: { instrument_name: "*" }, stream: { aggregation: { drop: } } }
    - { selector: { instrument_name: http.server.request.duration }, stream: {} }
    - { selector: { instrument_name: otelauto_drops }, stream: { description: "Alert\\n\\\\ on any." } }
""", lambda m: m.sum(f"{DURATION}_count") == 30)
    assert said == ""
    assert set(shown.types) == {"target_info", DURATION, "otelauto_drops_total"}
    assert {name for name, _ in shown.samples} == {"target_info", f"{DURATION}_bucket", f"{DURATION}_sum", f"{DURATION}_count",
                                                   "otelauto_drops_total"}
    assert "# HELP otelauto_drops_total Alert\\n\\\\ on any.\n" in shown.text
    assert set(pushed) == {"http.server.request.duration", "otelauto_drops"}
    assert pushed["otelauto_drops"].description == "Alert\n\\ on any."


def test_exponential_histograms_where_a_view_wants_them(tmp_path):
    shown, pushed, said = measure(tmp_path, """
    - selector: { instrument_name: "http.server.request.duration" }
      stream: { aggregation: { base2_exponential_bucket_histogram: { max_scale: 0, max_size: 4 } } }
    - selector: { instrument_name: "http.server.request.duration" }
      stream: { aggregation: { last_value: } }
""", lambda m: m.sum(f"{DURATION}_count") == 30)
    assert said.count("\n") == 1
    assert "means nothing here: meter_provider.views[1].stream.aggregation, meter_provider.views[1].stream (name in use)" in said
    points = pushed["http.server.request.duration"].exponential_histogram.data_points
    assert sum(p.count for p in points) == 30
    assert all(p.scale <= 0 and len(p.positive.bucket_counts) <= 4 for p in points)
    assert pushed["http.server.response.body.size"].WhichOneof("data") == "histogram"
    assert shown.series(f"{DURATION}_bucket", le="0.005")
