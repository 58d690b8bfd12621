"""Jaeger's Thrift over HTTP and UDP, read back by a strict reader of both encodings."""
import json
import socket
import threading
import time

import pytest

from fake import emit
from lib import thrift
from plain import Plain


class Agent:
    """Keeps datagrams."""

    def __enter__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.packets = []
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        try:
            while True:
                self.packets.append(self.socket.recv(70000))
        except OSError:
            pass

    def spans(self, count):
        end = time.monotonic() + 10
        while sum(len(thrift.packet(p)["spans"]) for p in self.packets) < count:
            assert time.monotonic() < end, f"{len(self.packets)} packets"
            time.sleep(0.01)
        return [s for p in self.packets for s in thrift.packet(p)["spans"]]

    def __exit__(self, *_):
        self.socket.close()


def by_http(*options, status=(202,), **settings):
    with Plain(*status) as c:
        got = emit(None, *options, exporter="jaeger", OTEL_EXPORTER_JAEGER_ENDPOINT=f"{c.url}/api/traces", **settings)
        return got, c.requests


def by_udp(*options, spans=7, batches=1, host="127.0.0.1", **settings):
    with Agent() as a:
        got = emit(None, *options, exporter="jaeger", spans=spans, batches=batches, OTEL_EXPORTER_JAEGER_AGENT_HOST=host,
                   OTEL_EXPORTER_JAEGER_AGENT_PORT=str(a.port), **settings)
        return got, a.spans(spans * batches), a.packets


def shape(span):
    """What is the same in every run."""
    logs = [thrift.tags(log["fields"]) for log in span.get("logs", [])]
    refs = [r["refType"] for r in span.get("references", [])]
    return span["operationName"], span["flags"], span["duration"], thrift.tags(span["tags"]), logs, refs


@pytest.fixture(scope="module")
def batch():
    got, requests = by_http(OTEL_RESOURCE_ATTRIBUTES="service.namespace=shop")
    assert got.counts() == {"ok": 7, "rejected": 0, "failed": 0}
    path, headers, body = requests[0]
    assert path == "/api/traces" and headers["content-type"] == "application/vnd.apache.thrift.binary"
    assert "authorization" not in headers
    return thrift.batch(body)


def test_the_process(batch):
    process = batch["process"]
    tags = thrift.tags(process["tags"])
    assert process["serviceName"] == "emit" and "service.name" not in tags
    assert tags["service.namespace"] == "shop" and isinstance(tags["process.pid"], int)
    assert tags["telemetry.sdk.name"] and tags["service.instance.id"]


def test_a_server_span(batch):
    span = batch["spans"][0]
    assert span["operationName"] == "GET /users/{id}" and span["flags"] == 1 and span["parentSpanId"]
    assert [r["refType"] for r in span["references"]] == [0]
    assert span["references"][0]["traceIdLow"] == span["traceIdLow"]
    assert span["references"][0]["spanId"] == span["parentSpanId"]
    tags = thrift.tags(span["tags"])
    assert tags.pop("otel.scope.version")
    assert tags == {
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/users/17", "url.query": "full=1&token=REDACTED",
        "http.route": "/users/{id}", "user_agent.original": "probe/1.0", "network.protocol.version": "1.1",
        "http.response.status_code": 200, "http.response.body.size": 5120, "server.address": "shop.example",
        "server.port": 8080, "network.peer.address": "192.0.2.7", "network.peer.port": 40404,
        "client.address": "192.0.2.7", "otel.scope.name": "otelauto", "w3c.tracestate": "vendor=1,other=abc",
        "span.kind": "server",
    }


def test_a_client_span_with_events_and_links(batch):
    name, _, _, tags, logs, refs = shape(batch["spans"][2])
    assert name == "POST" and tags["span.kind"] == "client" and tags["error"] is True
    assert tags["otel.status_code"] == "ERROR"
    assert logs == [{"event": "dns.lookup", "otelauto.duration_us": 1500}, {"event": "connect", "otelauto.duration_us": 300}]
    assert refs == [1, 1] and batch["spans"][2]["parentSpanId"] == 0


def test_arrays_are_json(batch):
    assert json.loads(thrift.tags(batch["spans"][1]["tags"])["http.request.header.x-tenant"]) == ["blue", "grün"]


def test_udp_says_the_same(batch):
    got, spans, packets = by_udp()
    assert got.ok == 7 and len(packets) == 1
    assert [shape(s) for s in spans] == [shape(s) for s in batch["spans"]]


def test_batches_are_split_below_the_packet_limit_and_lose_nothing():
    got, spans, packets = by_udp(spans=1500, batches=2)
    assert got.counts() == {"ok": 3000, "rejected": 0, "failed": 0}
    assert len({s["spanId"] for s in spans}) == 3000
    assert len(packets) > 10 and max(map(len, packets)) <= 65000 and min(map(len, packets[:-1])) > 10000


def test_text_that_is_not_utf8():
    got, spans, packets = by_udp("bad", spans=400)
    assert len(spans) == 400
    got, requests = by_http("bad", spans=400)
    assert len(thrift.batch(requests[0][2])["spans"]) == 400


def test_names_are_looked_up():
    got, spans, _ = by_udp(host="localhost")
    assert got.ok == 7
    got = emit(None, exporter="jaeger", deadline=2000, OTEL_EXPORTER_JAEGER_AGENT_HOST="no-such-host.invalid")
    assert got.failed == 7


def test_the_protocol_by_setting_and_by_what_else_is_set():
    with Agent() as a, Plain() as c:
        both = {"OTEL_EXPORTER_JAEGER_AGENT_HOST": "127.0.0.1", "OTEL_EXPORTER_JAEGER_AGENT_PORT": str(a.port),
                "OTEL_EXPORTER_JAEGER_ENDPOINT": c.url}
        emit(None, exporter="jaeger", **both)
        assert len(c.requests) == 1 and not a.packets
        emit(None, exporter="jaeger", OTEL_EXPORTER_JAEGER_PROTOCOL="udp/thrift.compact", **both)
        assert len(a.spans(7)) == 7 and len(c.requests) == 1


def test_basic_authentication():
    got, requests = by_http(OTEL_EXPORTER_JAEGER_USER="ann", OTEL_EXPORTER_JAEGER_PASSWORD="s3cret")
    assert requests[0][1]["authorization"] == "Basic YW5uOnMzY3JldA=="


def test_a_collector_that_is_busy_gets_it_again_and_one_that_refuses_does_not():
    got, requests = by_http(status=(503, 202))
    assert got.ok == 7 and got.retries == 1 and len(requests) == 2
    got, requests = by_http(status=(400,))
    assert got.failed == 7 and len(requests) == 1


def test_an_agent_that_is_not_there_costs_nothing_but_spans():
    with Agent() as a:
        port = a.port
    got = emit(None, exporter="jaeger", batches=5, OTEL_EXPORTER_JAEGER_AGENT_HOST="127.0.0.1",
               OTEL_EXPORTER_JAEGER_AGENT_PORT=str(port))
    assert got.ok + got.failed == 35 and got.calls == 5


def test_descriptors_that_are_taken_away_are_not_touched():
    for last in (False, False, True):  # the kernel may drop datagrams when the machine is busy
        with Agent() as a:
            got = emit(None, "steal", exporter="jaeger", batches=3, OTEL_EXPORTER_JAEGER_AGENT_HOST="127.0.0.1",
                       OTEL_EXPORTER_JAEGER_AGENT_PORT=str(a.port))
            assert got.ok == 21 and got.stolen and got.unharmed == got.stolen
            try:
                assert len(a.spans(21)) == 21
                return
            except AssertionError:
                if last:
                    raise


def test_a_child_exports_too():
    with Agent() as a:
        emit(None, "fork", exporter="jaeger", OTEL_EXPORTER_JAEGER_AGENT_HOST="127.0.0.1",
             OTEL_EXPORTER_JAEGER_AGENT_PORT=str(a.port))
        assert len(a.spans(14)) == 14
