"""The sampling side of a Jaeger collector: answers GET /sampling?service=… with what it was told, or computes it from the
spans that arrive, as Jaeger's adaptive sampling does (its documentation, version 2)."""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class FakeJaeger:
    """`with FakeJaeger({"probabilisticSampling": {"samplingRate": 1}}) as jaeger: … jaeger.strategy = …`"""

    def __init__(self, strategy):
        self.strategy, self.asked, self.status = strategy, [], 200

    def __enter__(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                fake.asked.append(self.path)
                service = parse_qs(urlsplit(self.path).query).get("service", [])
                status = fake.status if len(service) == 1 else 400
                body = json.dumps(fake.strategy).encode() if status == 200 else b"no"
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def argument(self, **more):
        fields = {"endpoint": f"http://127.0.0.1:{self.port}", "pollingIntervalMs": 200, **more}
        return ",".join(f"{k}={v}" for k, v in fields.items())


def by_operation(default, lower=0.0, **operations):
    """{"GET /a": 0.5} as a strategy; keyword names cannot have blanks, so pass **{…}."""
    return {"strategyType": "PROBABILISTIC", "operationSampling": {
        "defaultSamplingProbability": default, "defaultLowerBoundTracesPerSecond": lower,
        "perOperationStrategies": [{"operation": name, "probabilisticSampling": {"samplingRate": p}}
                                   for name, p in operations.items()]}}


class Adaptive:
    """Jaeger's calculation for one service, in rounds: `round(spans, seconds)` takes the root spans of one interval."""

    def __init__(self, target, initial=0.001, minimum=1e-5, tolerance=0.3):
        self.target, self.initial, self.minimum, self.tolerance = target, initial, minimum, tolerance
        self.probability = {}

    def strategy(self, lower):
        return by_operation(self.initial, lower, **self.probability)

    def round(self, spans, seconds):
        seen = {}
        for span in spans:
            kind, value = span.attributes.get("sampler.type"), span.attributes.get("sampler.param")
            if span.parent_id or kind not in ("probabilistic", "lowerbound"):
                continue
            count, values = seen.setdefault(span.name, [0, set()])
            seen[span.name] = [count + (kind == "probabilistic"), values | {f"{float(value):.6f}"}]
        for name, (count, values) in seen.items():
            p, rate = self.probability.get(name, self.initial), count / seconds
            if abs(rate - self.target) / self.target >= self.tolerance and f"{p:.6f}" in values:
                p = p * 2 if not rate else min(p * self.target / rate, 2 * p)
            self.probability[name] = min(1.0, max(self.minimum, p))
