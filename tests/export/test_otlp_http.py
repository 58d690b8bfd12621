"""What the OTLP exporter puts on the wire and how it takes answers, against the official definitions."""
import time
from email.utils import formatdate
from urllib.parse import quote

import pytest

from fake import Fake, answer, closed_port, delayed, drip, emit, ok, partial, raw, silent

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse


def strict(fake):
    assert not fake.problems, "\n".join(sorted(set(fake.problems)))


# -- delivery --

def test_every_span_arrives_once_over_one_connection():
    with Fake() as c:
        got = emit(c.endpoint, batches=5, spans=100)
        assert got.counts() == {"ok": 500, "rejected": 0, "failed": 0}
        assert len(c.spans) == 500 and len({s.span_id for s in c.spans}) == 500
        assert c.connections == 1
        assert (got.requests, got.retries, got.errors) == (5, 0, 0)
        strict(c)
    assert got.stderr == ""


def test_the_request_is_what_otlp_http_asks_for():
    with Fake() as c:
        emit(c.endpoint)
        request = c.received[0]
    assert request.first == "POST /v1/traces HTTP/1.1"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["user-agent"].startswith("otelauto/0.") and "OTel-OTLP-Exporter-C/" in request.headers["user-agent"]
    assert "content-encoding" not in request.headers and "expect" not in request.headers
    assert "transfer-encoding" not in request.headers


def test_gzip_is_what_was_asked_for_and_decodes():
    with Fake() as c:
        plain = emit(c.endpoint, spans=500)
        zipped = emit(c.endpoint, spans=500, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        assert plain.ok == zipped.ok == 500
        assert c.received[1].headers["content-encoding"] == "gzip"
        assert len(c.received[1].body) < len(c.received[0].body) / 3
        emit(c.endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="gzip", OTEL_EXPORTER_OTLP_TRACES_COMPRESSION="none")
        assert "content-encoding" not in c.received[2].headers
        strict(c)


def test_a_large_batch_in_one_request():
    with Fake() as c:
        got = emit(c.endpoint, spans=2048)
        assert got.ok == 2048 and len(c.received) == 1 and len(c.received[0].body) > 900_000
        strict(c)


def test_text_that_is_not_utf8_still_makes_a_valid_request():
    with Fake() as c:
        got = emit(c.endpoint, "bad", spans=500)
        assert got.ok == 500 and len(c.spans) == 500
        assert {s.name for s in c.spans} == {"caf\ufffd \ufffd\ufffd"}
        wrong = [p for p in c.problems if "utf" in p.lower() or "unknown" in p or "longer" in p or "twice" in p]
        assert not wrong


# -- where to --

@pytest.mark.parametrize("setting, value, path", [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "{}", "/v1/traces"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "{}/", "/v1/traces"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "{}/pfx", "/pfx/v1/traces"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "{}/pfx/?a=b#c", "/pfx/v1/traces"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "{}", "/"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "{}/custom?token=x", "/custom?token=x"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "{}/v1/traces/", "/v1/traces/"),
])
def test_paths_follow_the_rules_for_base_and_signal_endpoints(setting, value, path):
    with Fake() as c:
        assert emit(**{setting: value.format(c.endpoint)}).ok == 7
        assert c.received[0].path == path


def test_the_signals_own_endpoint_wins():
    with Fake() as c, Fake() as other:
        emit(other.endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=c.endpoint + "/v1/traces")
        assert len(c.received) == 1 and not other.received


@pytest.mark.parametrize("form", ["unix://{}", "unix:{}", "http+unix://{quoted}", "http+unix://{quoted}/"])
def test_a_unix_socket_is_an_endpoint(tmp_path, form):
    path = str(tmp_path / "c.sock")
    with Fake(unix=path) as c:
        assert emit(form.format(path, quoted=quote(path, safe="")), batches=2).ok == 14
        assert c.received[0].path == "/v1/traces" and c.received[0].headers["host"] == "localhost"
        strict(c)


def test_localhost_by_name():
    with Fake() as c:
        assert emit(f"http://localhost:{c.port}").ok == 7


@pytest.mark.parametrize("value", ["localhost:4318", "ftp://x", "http://", "http://:80", "unix:relative", "http://a b",
                                   "http+unix://%zz/", "unix:///" + "x" * 120])
def test_a_wrong_endpoint_is_said_once_and_nothing_is_sent(value):
    got = emit(OTEL_EXPORTER_OTLP_ENDPOINT=value)
    assert got.open == 0
    assert got.stderr.count("OTEL_EXPORTER_OTLP_ENDPOINT") == 1 and got.stderr.count("\n") == 1


def test_a_password_in_the_url_is_never_printed():
    with Fake() as c:
        got = emit(c.endpoint.replace("//", "//user:hunter2@"), OTEL_LOG_LEVEL="debug")
        assert got.ok == 7 and "hunter2" not in got.stderr


# -- headers --

def test_headers_are_decoded_and_sent():
    with Fake() as c:
        emit(c.endpoint, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abc%3D, x-empty = ,x-list=a%2Cb,")
        headers = c.received[0].headers
        assert headers["authorization"] == "Bearer abc=" and headers["x-list"] == "a,b"
        assert "X-Empty:" in [line.title() for line in c.received[0].lines]


def test_the_signals_own_headers_replace_the_general_ones():
    with Fake() as c:
        emit(c.endpoint, OTEL_EXPORTER_OTLP_HEADERS="x-a=1", OTEL_EXPORTER_OTLP_TRACES_HEADERS="x-b=2")
        assert "x-a" not in c.received[0].headers and c.received[0].headers["x-b"] == "2"


def test_malformed_headers_are_skipped_with_one_warning_that_shows_no_value():
    with Fake() as c:
        got = emit(c.endpoint, OTEL_EXPORTER_OTLP_HEADERS=(
            "secretkey,x-crlf=hunter2%0D%0AEvil:1,x-cut=hunter2%2,bad name=hunter2,content-length=5,x-good=1"))
        headers = c.received[0].headers
        assert headers["x-good"] == "1"
        assert not {"evil", "x-crlf", "x-cut", "bad name"} & set(headers)
        assert got.ok == 7
    assert got.stderr.count("OTEL_EXPORTER_OTLP_HEADERS") == 1 and "5 members" in got.stderr
    assert "hunter2" not in got.stderr and "secretkey" not in got.stderr


# -- answers --

def test_partial_success_is_counted_and_not_repeated():
    with Fake(partial(3, "too old")) as c:
        got = emit(c.endpoint)
        assert got.counts() == {"ok": 4, "rejected": 3, "failed": 0} and len(c.received) == 1


def test_more_rejected_than_sent_counts_as_all():
    with Fake(partial(1000, "")) as c:
        assert emit(c.endpoint).counts() == {"ok": 0, "rejected": 7, "failed": 0}


def test_a_warning_alone_is_a_success():
    with Fake(partial(0, "slow down")) as c:
        got = emit(c.endpoint, OTEL_LOG_LEVEL="info")
        assert got.counts() == {"ok": 7, "rejected": 0, "failed": 0} and "slow down" in got.stderr


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xff\xff", b"\x0a\x7f"])
def test_a_200_with_another_body_is_a_success(body):
    with Fake(answer(200, (), body)) as c:
        assert emit(c.endpoint).ok == 7


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 500, 501, 505])
def test_other_errors_are_final(status):
    with Fake(answer(status), ok()) as c:
        got = emit(c.endpoint)
        assert got.counts() == {"ok": 0, "rejected": 0, "failed": 7} and len(c.received) == 1
        assert (got.requests, got.retries, got.errors) == (0, 0, 1)
    assert got.stderr == ""


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status):
    with Fake() as elsewhere, Fake(answer(status, [("Location", elsewhere.endpoint + "/v1/traces")])) as c:
        assert emit(c.endpoint).failed == 7
        assert len(c.received) == 1 and not elsewhere.received


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_transient_errors_are_repeated(status):
    with Fake(answer(status), answer(status), ok()) as c:
        got = emit(c.endpoint)
        assert got.counts() == {"ok": 7, "rejected": 0, "failed": 0}
        assert len(c.received) == 3 and len({r.body for r in c.received}) == 1
        assert (got.requests, got.retries, got.errors) == (1, 2, 0)
        strict(c)


def test_pauses_grow():
    with Fake(answer(503)) as c:
        got = emit(c.endpoint, deadline=4500)
        assert got.failed == 7 and got.errors == 1
        pauses = [b.at - a.at for a, b in zip(c.received, c.received[1:])]
        assert len(pauses) >= 2
        for pause, least in zip(pauses, [0.25, 0.5, 1.0, 2.0]):
            assert pause >= least


def test_retry_after_in_seconds_is_waited_for():
    with Fake(answer(503, [("retry-after", "2")]), ok()) as c:
        assert emit(c.endpoint).ok == 7
        assert c.received[1].at - c.received[0].at >= 2


def test_retry_after_as_a_date_is_waited_for():
    with Fake(ok()) as c:
        until = int(time.time()) + 3
        c.script = [answer(429, [("Retry-After", formatdate(until, usegmt=True))]), ok()]
        assert emit(c.endpoint).ok == 7
        assert c.received[1].at >= until


def test_retry_after_past_the_deadline_gives_up_at_once():
    with Fake(answer(503, [("Retry-After", "3600")]), ok()) as c:
        got = emit(c.endpoint, deadline=600000, timeout=30)
        assert got.failed == 7 and len(c.received) == 1


def test_retry_after_that_nobody_understands_is_ignored():
    with Fake(answer(503, [("Retry-After", "soon")]), ok()) as c:
        assert emit(c.endpoint).ok == 7


# -- what the heir of a process that is killed will see --

WAITS, OUT = 0, 1


def test_a_batch_is_out_from_its_request_to_its_end():
    with Fake() as c:
        assert emit(c.endpoint).wire == OUT
    with Fake(silent()) as c:
        assert emit(c.endpoint, "cancel").wire == OUT


def test_a_batch_waits_until_it_has_a_connection_and_between_attempts():
    with Fake(answer(503, [("Retry-After", "60")])) as c:
        got = emit(c.endpoint, "cancel", deadline=600000)
        assert got.wire == WAITS and len(c.received) == 1
    port, keeper = closed_port()
    with keeper:
        assert emit(f"http://127.0.0.1:{port}", deadline=1500).wire == WAITS


# -- collectors that are ill --

def test_nobody_listens():
    port, keeper = closed_port()
    with keeper:
        got = emit(f"http://127.0.0.1:{port}", deadline=1500)
    assert got.counts() == {"ok": 0, "rejected": 0, "failed": 7} and got.retries >= 1 and got.errors == 1
    assert got.stderr == ""


def test_no_socket_at_the_path(tmp_path):
    assert emit(f"unix://{tmp_path}/none", deadline=1000).failed == 7


def test_the_collector_comes_back():
    with Fake(raw(reset=True), raw(), raw(b"HTTP/1.1 2", reset=True), ok()) as c:
        got = emit(c.endpoint, deadline=20000)
        assert got.ok == 7 and got.retries == 3 and len(c.received) == 4
        strict(c)


def test_accepts_and_is_silent():
    with Fake(silent()) as c:
        got = emit(c.endpoint, deadline=2500, OTEL_EXPORTER_OTLP_TIMEOUT="400")
        assert got.failed == 7 and got.retries >= 1 and len(c.received) == got.retries + 1


def test_silent_at_first():
    with Fake(silent(), ok()) as c:
        assert emit(c.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="300").ok == 7


def test_one_byte_a_second():
    with Fake(drip()) as c:
        got = emit(c.endpoint, deadline=2500, OTEL_EXPORTER_OTLP_TIMEOUT="1000")
        assert got.failed == 7


def test_the_deadline_bounds_a_request_without_timeout():
    with Fake(silent()) as c:
        got = emit(c.endpoint, deadline=1200, OTEL_EXPORTER_OTLP_TIMEOUT="0", timeout=30)
        assert got.failed == 7 and len(c.received) == 1


def test_a_status_that_was_cut_off_behind_counts_as_it_is():
    """Accepted is accepted: sending again would double the spans."""
    with Fake(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", reset=True)) as c:
        got = emit(c.endpoint)
        assert got.ok == 7 and len(c.received) == 1
    with Fake(raw(b"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nabc", reset=True), ok()) as c:
        got = emit(c.endpoint)
        assert got.ok == 7 and len(c.received) == 2


def test_an_endless_answer_is_a_failure_and_not_repeated():
    with Fake(raw(b"HTTP/1.1 200 OK\r\n\r\n", *([b"x" * 65536] * 100)), ok()) as c:
        got = emit(c.endpoint)
        assert got.failed == 7 and len(c.received) == 1
    assert got.arena < 3 << 20


def test_endless_headers_are_a_failure():
    with Fake(raw(b"HTTP/1.1 200 OK\r\n", *([b"x-y: " + b"z" * 60000 + b"\r\n"] * 20))) as c:
        got = emit(c.endpoint, deadline=1000)
        assert got.failed == 7


def test_something_that_is_not_http():
    with Fake(raw(b"220 smtp.example ready\r\n"), ok()) as c:
        got = emit(c.endpoint, deadline=1000)
        assert got.ok + got.failed == 7


def test_continue_before_the_answer():
    response = ExportTraceServiceResponse().SerializeToString()
    with Fake(raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(response), response))) as c:
        assert emit(c.endpoint).ok == 7


def test_an_idle_connection_that_the_collector_closed_is_replaced():
    def once(fake, conn, request):
        ok()(fake, conn, request)
        return False
    with Fake(once) as c:
        got = emit(c.endpoint, batches=4)
        assert got.ok == 28 and len(c.spans) == 28 and c.connections == 4
        strict(c)


def test_giving_up_on_request():
    with Fake(silent(), ok()) as c:
        got = emit(c.endpoint, "cancel", batches=2)
        assert got.counts() == {"ok": 7, "rejected": 0, "failed": 7} and got.calls == 2
        strict(c)


# -- the host's environment and descriptors --

def test_proxies_of_the_environment_are_not_used():
    port, keeper = closed_port()
    with keeper, Fake() as c:
        proxy = f"http://127.0.0.1:{port}"
        got = emit(c.endpoint, http_proxy=proxy, HTTP_PROXY=proxy, ALL_PROXY=proxy, all_proxy=proxy, HOME="/nonexistent")
        assert got.ok == 7


def test_descriptors_are_few_high_and_close_on_exec():
    with Fake() as c:
        got = emit(c.endpoint, batches=2)
        assert len(got.fds) == 1 and min(got.fds) >= 900 and not got.inherit


def test_a_host_that_closes_all_descriptors_loses_nothing():
    """Its sockets get our numbers: they are neither written, read nor closed."""
    with Fake() as c:
        got = emit(c.endpoint, "steal", batches=3)
        assert got.stolen == got.unharmed == 2
        assert got.ok == 21 and len(c.spans) == 21
        strict(c)


def test_a_descriptor_taken_in_the_middle_of_a_request_makes_it_start_again():
    with Fake(delayed(1.0, ok()), ok()) as c:
        got = emit(c.endpoint, "midway", batches=2)
        assert got.stolen == got.unharmed == 1 and got.ok == 14 and got.retries == 1


def test_giving_up_when_the_descriptor_was_taken():
    with Fake(silent(), ok()) as c:
        got = emit(c.endpoint, "midway", "cancel", batches=2)
        assert got.stolen == got.unharmed == 1 and got.calls == 2 and got.ok + got.failed == 14


def test_a_loop_that_comes_too_late_does_not_send():
    with Fake(answer(503), ok()) as c:
        got = emit(c.endpoint, "late", deadline=1000)
        assert got.failed == 7 and len(c.received) == 1


def test_a_forked_child_closes_its_copies_and_has_a_connection_of_its_own():
    with Fake() as c:
        got = emit(c.endpoint, "fork")
        before, after = [line for line in got.lines if "child" in line]
        assert before["fds"] == [] and len(after["fds"]) == 1 and after["ok"] == 14
        assert got.ok == 7 and c.connections == 2 and len(c.spans) == 14
        strict(c)
