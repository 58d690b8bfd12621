"""The judges themselves: each must refuse what it is there to refuse. Needs no library."""
import gzip
import http.client
import time

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lib.collector import Collector, Span, build_trees
from lib.expect import Script, check_trees
from lib.inject import Sent
from lib.leaf import Request
from lib.truth import judge

T, S1, S2, S3 = "aa" * 16, "01" * 8, "02" * 8, "03" * 8
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OURS = f"traceparent: 00-{T}-{S1}-01\r\n".encode()


def message(**changes):
    """A good export with one span; changes are set on the span."""
    m = ExportTraceServiceRequest()
    group = m.resource_spans.add(schema_url="https://example.test/1")
    for key in ("service.name", "service.instance.id", "telemetry.sdk.name", "telemetry.sdk.language"):
        group.resource.attributes.add(key=key).value.string_value = "x"
    scope = group.scope_spans.add(schema_url="https://example.test/1")
    scope.scope.name = "x"
    span = scope.spans.add(trace_id=bytes.fromhex(T), span_id=bytes.fromhex(S1), name="GET /", kind=2, flags=0x101)
    span.start_time_unix_nano = time.time_ns() - 1000
    span.end_time_unix_nano = time.time_ns()
    for key, value in {"http.request.method": "GET", "url.path": "/", "url.scheme": "http"}.items():
        span.attributes.add(key=key).value.string_value = value
    for key, value in changes.items():
        setattr(span, key, value)
    return m, span


def post(collector, body, path="/v1/traces", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=10)
    head = {"Content-Type": "application/x-protobuf", "User-Agent": "t", **{k.replace("_", "-"): v for k, v in headers.items()}}
    connection.request("POST", path, body, head)
    status = connection.getresponse().status
    connection.close()
    return status


def test_collector_takes_a_good_export_plain_and_compressed():
    with Collector() as c:
        assert post(c, message()[0].SerializeToString()) == 200
        body = gzip.compress(message(span_id=bytes.fromhex(S2))[0].SerializeToString())
        assert post(c, body, Content_Encoding="gzip") == 200
        assert len(c.spans) == 2 and not c.problems, c.problems


@pytest.mark.parametrize("changes", [
    {"trace_id": b""}, {"trace_id": bytes(16)}, {"span_id": bytes(8)}, {"span_id": b"123"}, {"kind": 0}, {"kind": 9},
    {"parent_span_id": bytes(8)}, {"parent_span_id": bytes.fromhex(S1)}, {"end_time_unix_nano": 5}, {"name": ""},
    {"flags": 1}, {"flags": 0x100},
], ids=str)
def test_collector_notes_what_no_span_may_be(changes):
    with Collector() as c:
        post(c, message(**changes)[0].SerializeToString())
        assert c.problems


@pytest.mark.parametrize("spoil", [
    lambda m, s: s.attributes.add(key="url.path"),
    lambda m, s: s.attributes.add(key="").value.__setattr__("string_value", "x"),
    lambda m, s: s.attributes.add(key="empty"),
    lambda m, s: s.status.__setattr__("code", 2),
    lambda m, s: s.attributes.add(key="error.type").value.__setattr__("string_value", "x"),
    lambda m, s: s.attributes.add(key="http.response.status_code").value.__setattr__("string_value", "200"),
    lambda m, s: s.attributes.add(key="http.response.status_code").value.__setattr__("int_value", 500),
    lambda m, s: s.links.add(),
    lambda m, s: s.attributes.__delitem__(1),
    lambda m, s: m.resource_spans[0].__setattr__("schema_url", ""),
    lambda m, s: m.resource_spans[0].resource.attributes.__delitem__(0),
    lambda m, s: s.MergeFromString(b"\xf8\x3f\x01"),
])
def test_collector_notes_what_the_conventions_forbid(spoil):
    m, span = message()
    spoil(m, span)
    with Collector() as c:
        post(c, m.SerializeToString())
        assert c.problems


def test_collector_notes_breaches_of_the_protocol():
    good = message()[0].SerializeToString()
    for body, options in [(good, {"path": "/other"}), (good, {"Content_Type": "application/json"}), (b"\xff", {}),
                          (b"", {}), (good, {"traceparent": "x"})]:
        with Collector() as c:
            post(c, body, **options)
            assert c.problems, options
    with Collector() as c:
        post(c, good)
        post(c, good)
        assert "came twice" in c.problems[0]


def span(kind, span_id, parent="", path="/", trace=T, links=()):
    m, s = message(kind={"SERVER": 2, "CLIENT": 3}[kind], span_id=bytes.fromhex(span_id))
    s.parent_span_id = bytes.fromhex(parent)
    s.trace_id = bytes.fromhex(trace)
    del s.attributes[:]
    s.attributes.add(key="url.path" if kind == "SERVER" else "url.full").value.string_value = \
        path if kind == "SERVER" else "http://leaf" + path
    for link in links:
        s.links.add(trace_id=bytes.fromhex(T), span_id=bytes.fromhex(link))
    return Span(s, {"service.name": "x"})


def test_expect_accepts_its_tree_and_refuses_others(tmp_path):
    file = tmp_path / "a.expect"
    file.write_text('@ about it\'s a test\nSERVER "GET /" url.path=/\n  CLIENT*2 "GET /" url.full=~http://leaf/.*\n')
    script = Script(file)
    good = [span("SERVER", S1), span("CLIENT", S2, S1), span("CLIENT", S3, S1)]
    assert script.total() == 3 and check_trees(script, good, {}) is None
    assert "missing" in check_trees(script, good[:2], {})
    assert "unexpected" in check_trees(script, good + [span("SERVER", "04" * 8)], {})
    assert "missing" in check_trees(script, good[:2] + [span("CLIENT", S3)], {})
    assert "not there" in check_trees(script, good + [span("CLIENT", "04" * 8, "05" * 8)], {})
    assert build_trees([span("CLIENT", S2, S1)])[1], "a parent in nobody's hands dangles"


def call(ident, span_id=S2, trace=T):
    return Request("GET", f"/leaf/{ident}", [("traceparent", f"00-{trace}-{span_id}-01")], b"", b"")


def test_truth_knows_right_linked_none_and_wrong():
    mine, other = span("SERVER", S1, path="/t/a"), span("SERVER", S3, path="/t/b")
    cases = [(span("CLIENT", S2, S1, "/leaf/a"), "right"), (span("CLIENT", S2, S3, "/leaf/a"), "wrong"),
             (span("CLIENT", S2, "", "/leaf/a", links=[S3, S1]), "linked"), (span("CLIENT", S2, "", "/leaf/a"), "none"),
             (span("CLIENT", S2, "", "/leaf/a", links=[S3]), "none"), (span("CLIENT", S2, "09" * 8, "/leaf/a"), "wrong"),
             (span("CLIENT", S2, S1, "/leaf/a", trace="bb" * 16), "wrong")]
    for client, result in cases:
        verdict = judge([call("a")], [mine, other, client])
        assert verdict[result] == 1 and sum(verdict.counts.values()) == 1, (client, result, verdict)
    assert judge([call("a", "07" * 8)], [mine])["wrong"] == 1, "a context that no span has"


@pytest.mark.parametrize("received,allowed", [
    (HEAD, []), (HEAD[:-2] + OURS + b"\r\n", [len(HEAD) - 2]),
    (HEAD[:16] + OURS + HEAD[16:], None), (HEAD + OURS, None), (HEAD[:-2] + b"x-other: 1\r\n\r\n", None),
    (HEAD[:-1], None), (HEAD + b"!", None), (HEAD[:-2] + OURS[:-2] + b"\r\n", None), (b"!" + HEAD[1:], None), (b"", None),
])
def test_the_difference_may_only_be_our_header_lines(received, allowed):
    sent = Sent("", "", 0, HEAD, received)
    if allowed is None:
        with pytest.raises(AssertionError):
            sent.insertions()
    else:
        assert [at for at, _ in sent.insertions()] == allowed
