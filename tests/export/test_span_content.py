"""What the exported spans say: one made-up record of every sort, attribute by attribute (semantic conventions 1.44.0)."""
import pytest

from fake import Fake, emit


@pytest.fixture(scope="module")
def spans():
    with Fake() as c:
        emit(c.endpoint)
        assert not c.problems, c.problems
        return c.spans


def body(span):
    return span.name, span.kind, span.status, span.attributes


def test_a_server_span(spans):
    assert body(spans[0]) == ("GET /users/{id}", "SERVER", "unset", {
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/users/17", "url.query": "full=1&token=REDACTED",
        "http.route": "/users/{id}", "user_agent.original": "probe/1.0", "network.protocol.version": "1.1",
        "http.response.status_code": 200, "http.response.body.size": 5120,
        "server.address": "shop.example", "server.port": 8080,
        "network.peer.address": "192.0.2.7", "network.peer.port": 40404, "client.address": "192.0.2.7",
    })
    assert spans[0].parent_id and spans[0].flags == 0x303
    assert spans[0].trace_state == "vendor=1,other=abc"


def test_a_server_span_behind_a_proxy(spans):
    assert body(spans[1]) == ("GET /users/{id}", "SERVER", "error", {
        "http.request.method": "_OTHER", "http.request.method_original": "PURGE",
        "url.scheme": "https", "url.path": "/users/17", "url.query": "full=1&token=REDACTED",
        "http.route": "/users/{id}", "user_agent.original": "probe/1.0", "network.protocol.version": "1.1",
        "http.response.status_code": 503, "http.response.body.size": 5120, "error.type": "503",
        "server.address": "public.example", "server.port": 443,
        "network.peer.address": "192.0.2.7", "network.peer.port": 40404, "client.address": "2001:db8::9",
        "http.request.header.x-tenant": ["blue", "grün"], "http.response.header.set-thing": ["a"],
    })


def test_a_client_span(spans):
    assert body(spans[2]) == ("POST", "CLIENT", "error", {
        "http.request.method": "POST", "url.full": "https://api.example/v2/items?q=x",
        "http.request.resend_count": 2, "network.protocol.version": "1.1", "http.response.status_code": 404,
        "http.request.body.size": 0, "error.type": "404", "server.address": "api.example", "server.port": 443,
        "network.peer.address": "2001:db8::1", "network.peer.port": 443,
    })
    assert spans[2].events == [("dns.lookup", {"otelauto.duration_us": 1500}), ("connect", {"otelauto.duration_us": 300})]
    assert len(spans[2].links) == 2 and not spans[2].parent_id and spans[2].flags == 0x101


def test_a_client_span_over_a_unix_socket_that_names_no_host(spans):
    assert body(spans[3]) == ("GET", "CLIENT", "error", {
        "http.request.method": "GET", "url.full": "http://localhost/info", "network.protocol.version": "1.1",
        "server.address": "/run/app.sock", "network.peer.address": "/run/app.sock", "network.transport": "unix",
        "error.type": "ECONNRESET",
    })


def test_a_tunnel_span(spans):
    assert body(spans[4]) == ("websocket", "SERVER", "unset", {
        "network.protocol.name": "websocket", "otelauto.tunnel.client_bytes": 10, "otelauto.tunnel.server_bytes": 1 << 40,
        "server.address": "shop.example", "server.port": 8080,
        "network.peer.address": "192.0.2.7", "network.peer.port": 40404, "client.address": "192.0.2.7",
    })


def test_a_failed_connect(spans):
    assert body(spans[5]) == ("connect", "CLIENT", "error", {
        "server.address": "127.0.0.1", "server.port": 5432, "network.peer.address": "127.0.0.1", "network.peer.port": 5432,
        "error.type": "ECONNREFUSED",
    })


def test_a_request_to_a_forward_proxy(spans):
    attributes = spans[6].attributes
    assert attributes["url.full"] == "http://REDACTED:REDACTED@far.example:81/x?sig=REDACTED"
    assert (attributes["server.address"], attributes["server.port"]) == ("far.example", 81)
    assert attributes["network.peer.port"] == 443


def test_evidence_is_there_when_asked_for(spans):
    assert not any("otelauto.evidence" in s.attributes for s in spans)
    with Fake() as c:
        emit(c.endpoint, OTELAUTO_EVIDENCE="true")
        assert c.spans[2].attributes["otelauto.evidence"] == "ambiguous"


@pytest.mark.parametrize("settings, longest", [
    ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"}, 3),
    ({"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9"}, 4),
])
def test_values_are_cut_at_characters(settings, longest):
    with Fake() as c:
        emit(c.endpoint, **settings)
    attributes = c.spans[1].attributes
    assert max(len(v) for v in attributes.values() if isinstance(v, str)) == longest
    assert attributes["http.request.header.x-tenant"] == ["blue"[:longest], "grün"[:longest]]
    assert c.spans[1].name == "GET /users/{id}" and c.spans[1].resource["service.name"] == "emit"


def test_the_resource_names_the_process(spans):
    resource = spans[0].resource
    assert resource["service.name"] == "emit" and resource["telemetry.sdk.name"] != "opentelemetry"
    assert isinstance(resource["process.pid"], int)
    assert len(resource["service.instance.id"]) == 36
    assert resource["process.creation.time"].startswith("20") and resource["process.creation.time"].endswith("Z")


def test_attributes_of_the_user_are_in_the_resource_but_every_process_has_its_own_id():
    with Fake() as c:
        emit(c.endpoint, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=mine,deployment.environment.name=test")
    assert not c.problems
    assert c.spans[0].resource["service.instance.id"] != "mine"
    assert c.spans[0].resource["deployment.environment.name"] == "test"
