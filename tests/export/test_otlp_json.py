"""OTLP in JSON: the same spans as in protobuf, in the mapping that OTLP has for itself."""
import json

from fake import Fake, answer, emit, ok

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

JSON = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
AS_JSON = [("Content-Type", "application/json")]


def json_ok(body=b"{}"):
    return answer(200, AS_JSON, body)


def shape(message):
    """A request without what is new in every run: ids and times."""
    copy = ExportTraceServiceRequest()
    copy.CopyFrom(message)
    for group in copy.resource_spans:
        attributes = [kv for kv in group.resource.attributes
                      if kv.key not in ("process.pid", "service.instance.id", "process.creation.time")]
        del group.resource.attributes[:]
        group.resource.attributes.extend(attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                span.end_time_unix_nano -= span.start_time_unix_nano
                for event in span.events:
                    event.time_unix_nano -= span.start_time_unix_nano
                span.start_time_unix_nano = 0
                for item in [span, *span.links]:
                    item.trace_id, item.span_id = b"", b""
                span.parent_span_id = b"p" if span.parent_span_id else b""
    return copy


def test_json_says_what_protobuf_says():
    with Fake(ok()) as a, Fake(json_ok()) as b:
        assert emit(a.endpoint, spans=70).ok == 70
        assert emit(b.endpoint, spans=70, **JSON).ok == 70
        assert not a.problems and not b.problems, a.problems + b.problems
        first, second = shape(a.received[0].message), shape(b.received[0].message)
        assert first.resource_spans[0].scope_spans == second.resource_spans[0].scope_spans
        assert first == second


def test_the_request_is_what_otlp_http_asks_for():
    with Fake(json_ok()) as c:
        emit(c.endpoint, **JSON)
        request = c.received[0]
    assert request.first == "POST /v1/traces HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert b"\n" not in request.body and b": " not in request.body


def test_gzip_and_the_signal_s_own_protocol():
    with Fake(json_ok()) as c:
        emit(c.endpoint, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/json", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
             OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        assert c.received[0].headers["content-encoding"] == "gzip"
        assert len(c.spans) == 7 and not c.problems


def test_text_that_is_not_utf8_still_makes_valid_json():
    with Fake(json_ok()) as c:
        c.convention = False
        got = emit(c.endpoint, "bad", batches=3, spans=300, **JSON)
        assert got.ok == 900 and len(c.spans) == 900


def test_partial_success_is_read():
    said = json.dumps({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}).encode()
    with Fake(json_ok(said)) as c:
        got = emit(c.endpoint, OTEL_LOG_LEVEL="info", **JSON)
    assert got.counts() == {"ok": 4, "rejected": 3, "failed": 0}
    assert "too old" in got.stderr


def test_an_error_s_words_are_shown():
    with Fake(answer(400, AS_JSON, b'{"code":3,"message":"no such tenant"}')) as c:
        got = emit(c.endpoint, OTEL_LOG_LEVEL="info", **JSON)
    assert got.failed == 7 and "no such tenant" in got.stderr
