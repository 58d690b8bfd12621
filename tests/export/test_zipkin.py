"""Zipkin's v2 JSON: fields by its schema, values by OpenTelemetry's mapping."""
import json
import re

import pytest

from fake import closed_port, emit
from plain import Plain

FIELDS = {"traceId", "id", "parentId", "name", "kind", "timestamp", "duration", "localEndpoint", "remoteEndpoint", "tags",
          "annotations"}


def send(*options, status=(202,), **settings):
    with Plain(*status) as c:
        got = emit(None, *options, exporter="zipkin", OTEL_EXPORTER_ZIPKIN_ENDPOINT=f"{c.url}/api/v2/spans", **settings)
        return got, c.requests


def strict(span):
    assert set(span) <= FIELDS, set(span) - FIELDS
    assert re.fullmatch("[0-9a-f]{32}", span["traceId"]) and re.fullmatch("[0-9a-f]{16}", span["id"])
    assert "parentId" not in span or re.fullmatch("[0-9a-f]{16}", span["parentId"])
    assert span.get("kind", "CLIENT") in ("CLIENT", "SERVER")
    assert type(span["timestamp"]) is int and type(span["duration"]) is int and span["duration"] >= 1
    assert all(isinstance(v, str) for v in span["tags"].values())
    assert span["localEndpoint"] == {"serviceName": "emit"}
    assert ("remoteEndpoint" in span) == (span.get("kind") == "CLIENT")


@pytest.fixture(scope="module")
def spans():
    got, requests = send(OTEL_RESOURCE_ATTRIBUTES="service.namespace=shop,deployment.environment.name=test", OTEL_SERVICE_NAME="Emit")
    assert got.counts() == {"ok": 7, "rejected": 0, "failed": 0}
    path, headers, body = requests[0]
    assert path == "/api/v2/spans" and headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("otelauto/") and "OTLP" not in headers["user-agent"]
    found = json.loads(body)
    for span in found:
        strict(span)
    return found


def test_a_server_span(spans):
    span = spans[0]
    assert span["name"] == "GET /users/{id}" and span["kind"] == "SERVER" and "parentId" in span
    tags = dict(span["tags"])
    assert tags.pop("service.instance.id") and tags.pop("process.pid").isdigit() and tags.pop("otel.scope.version")
    tags.pop("host.name", "")
    tags.pop("service.version", "")
    assert tags == {
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/users/17", "url.query": "full=1&token=REDACTED",
        "http.route": "/users/{id}", "user_agent.original": "probe/1.0", "network.protocol.version": "1.1",
        "http.response.status_code": "200", "http.response.body.size": "5120", "server.address": "shop.example",
        "server.port": "8080", "network.peer.address": "192.0.2.7", "network.peer.port": "40404",
        "client.address": "192.0.2.7", "otel.scope.name": "otelauto", "w3c.tracestate": "vendor=1,other=abc",
        "service.namespace": "shop", "deployment.environment.name": "test",
    }


def test_errors_and_arrays(spans):
    tags = spans[1]["tags"]
    assert tags["error"] == "" and tags["otel.status_code"] == "ERROR" and tags["error.type"] == "503"
    assert json.loads(tags["http.request.header.x-tenant"]) == ["blue", "grün"]
    assert "error" not in spans[0]["tags"] and "otel.status_code" not in spans[0]["tags"]


def test_a_client_span(spans):
    span = spans[2]
    assert span["kind"] == "CLIENT"
    assert span["remoteEndpoint"] == {"serviceName": "api.example", "ipv6": "2001:db8::1", "port": 443}
    assert [a["value"] for a in span["annotations"]] == ['"dns.lookup": {"otelauto.duration_us":1500}',
                                                         '"connect": {"otelauto.duration_us":300}']
    assert all(a["timestamp"] == span["timestamp"] for a in span["annotations"])
    assert re.fullmatch(r"[0-9a-f]{32}\|[0-9a-f]{16}\|\|\{\}\|0", span["tags"]["otlp.link.1"])


def test_an_address_alone_is_no_service_name(spans):
    assert spans[5]["remoteEndpoint"] == {"ipv4": "127.0.0.1", "port": 5432}


def test_text_that_is_not_utf8_still_makes_valid_json():
    got, requests = send("bad", spans=300, batches=2)
    assert got.ok == 600
    assert sum(len(json.loads(body)) for _, _, body in requests) == 600


def test_a_receiver_that_is_busy_gets_it_again():
    got, requests = send(status=(503, 202))
    assert got.ok == 7 and got.retries == 1 and len(requests) == 2
    assert requests[0][2] == requests[1][2]


def test_a_receiver_that_refuses_does_not():
    got, requests = send(status=(400,))
    assert got.failed == 7 and len(requests) == 1


def test_nobody_there():
    port, keeper = closed_port()
    with keeper:
        got = emit(None, exporter="zipkin", deadline=800, OTEL_EXPORTER_ZIPKIN_ENDPOINT=f"http://127.0.0.1:{port}/x")
    assert got.failed == 7 and got.retries >= 1


def test_a_wrong_endpoint_is_said():
    got = emit(None, exporter="zipkin", OTEL_EXPORTER_ZIPKIN_ENDPOINT="nonsense")
    assert got.lines[0]["open"] == 0 and "OTEL_EXPORTER_ZIPKIN_ENDPOINT" in got.stderr


def test_memory_is_given_back_after_each_batch():
    small, _ = send(batches=3, spans=200)
    large, _ = send(batches=30, spans=200)
    assert large.arena <= small.arena + 4096


def test_a_child_exports_too():
    got, requests = send("fork")
    assert got.ok == 7 and len(requests) == 2
