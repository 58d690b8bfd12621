"""OTLP over gRPC, against a real server and against one that plays with frames."""
import struct
import time
import gzip

import grpc
import pytest

from fake import Fake, closed_port, emit
from fake_grpc import (EXPORT, FINE, Grpc, RawH2, fail, goaway, hang_up, ok, partial, reset, respond, retry_details,
                       status)

GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
FAILED = {"ok": 0, "rejected": 0, "failed": 7}
DONE = {"ok": 7, "rejected": 0, "failed": 0}
Code = grpc.StatusCode


def strict(c):
    assert not c.problems, "\n".join(sorted(set(c.problems)))


def test_every_span_arrives_once_over_one_connection():
    with Grpc() as c:
        got = emit(c.endpoint, batches=5, spans=100, **GRPC)
        assert got.counts() == {"ok": 500, "rejected": 0, "failed": 0}
        assert (got.requests, got.retries, got.errors) == (5, 0, 0)
        assert len({s.span_id for s in c.spans}) == 500
        strict(c)
    assert got.stderr == "" and got.wire == 1


def test_a_batch_larger_than_every_window_arrives():
    with Grpc() as c:
        assert emit(c.endpoint, spans=2048, batches=2, **GRPC).ok == 4096
        strict(c)


def test_the_request_is_what_grpc_asks_for():
    with RawH2(FINE) as c:
        emit(c.endpoint, OTEL_EXPORTER_OTLP_HEADERS="X-Tenant=a%20b,te=gzip", **GRPC)
        headers, body = c.requests[0]
    assert headers[":path"] == EXPORT and headers[":method"] == "POST" and headers[":scheme"] == "http"
    assert headers["te"] == "trailers" and headers["content-type"] == "application/grpc"
    assert headers["x-tenant"] == "a b" and "grpc-encoding" not in headers and "expect" not in headers
    assert headers["user-agent"].startswith("otelauto/0.")
    flag, length = struct.unpack(">BI", body[:5])
    assert flag == 0 and length == len(body) - 5


def test_gzip_is_said_and_flagged():
    with RawH2(FINE) as raw:
        emit(raw.endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="gzip", **GRPC)
        headers, body = raw.requests[0]
    assert headers["grpc-encoding"] == "gzip" and "content-encoding" not in headers
    assert body[0] == 1 and len(gzip.decompress(body[5:])) > 500
    with Grpc() as c:
        assert emit(c.endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="gzip", spans=500, **GRPC).ok == 500
        assert c.calls[0]["grpc-encoding"] if "grpc-encoding" in c.calls[0] else True
        strict(c)


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/ignored/path", "http://localhost:{}", "127.0.0.1:{}"])
def test_forms_of_the_endpoint(form):
    with Grpc() as c:
        got = emit(form.format(c.port), OTEL_EXPORTER_OTLP_INSECURE="true", **GRPC)
        assert got.counts() == DONE


def test_partial_success_is_read():
    with Grpc(partial(3, "too old")) as c:
        got = emit(c.endpoint, OTEL_LOG_LEVEL="info", **GRPC)
    assert got.counts() == {"ok": 4, "rejected": 3, "failed": 0} and "too old" in got.stderr


@pytest.mark.parametrize("code", [Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.OUT_OF_RANGE,
                                  Code.UNAVAILABLE, Code.DATA_LOSS])
def test_codes_that_pass_are_repeated(code):
    with Grpc(fail(code), ok()) as c:
        got = emit(c.endpoint, **GRPC)
        assert got.counts() == DONE and got.retries == 1 and len(c.calls) == 2
        strict(c)


@pytest.mark.parametrize("code", [Code.UNKNOWN, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.ALREADY_EXISTS,
                                  Code.PERMISSION_DENIED, Code.RESOURCE_EXHAUSTED, Code.FAILED_PRECONDITION,
                                  Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAUTHENTICATED])
@pytest.mark.parametrize("headers_first", [False, True])
def test_other_codes_are_final(code, headers_first):
    with Grpc(fail(code, "näh", headers_first=headers_first)) as c:
        got = emit(c.endpoint, OTEL_LOG_LEVEL="info", **GRPC)
        assert got.counts() == FAILED and got.retries == 0 and len(c.calls) == 1
    assert code.name in got.stderr and "n??h" in got.stderr


def test_resource_exhausted_with_retry_info_is_repeated_not_before_its_time():
    with Grpc(fail(Code.RESOURCE_EXHAUSTED, details=retry_details(1, 200_000_000)), ok()) as c:
        begin = time.monotonic()
        got = emit(c.endpoint, **GRPC)
        assert got.counts() == DONE and got.retries == 1 and time.monotonic() - begin >= 1.2


def test_a_retry_delay_beyond_the_deadline_ends_it_at_once():
    with Grpc(fail(Code.UNAVAILABLE, details=retry_details(100, code=14))) as c:
        begin = time.monotonic()
        assert emit(c.endpoint, deadline=20000, **GRPC).counts() == FAILED
        assert time.monotonic() - begin < 15 and len(c.calls) == 1


# -- frames --

@pytest.mark.parametrize("action, outcome, retries", [
    (respond(("grpc-status", "0")), DONE, 0),                                # trailers only
    (respond(("grpc-status", "3")), FAILED, 0),
    (respond(("grpc-status", "14")), DONE, 1),
    (respond(body=b"\0\0\0\0\0"), FAILED, 0),                                # no status at all
    (status(404), FAILED, 0),
    (status(503), DONE, 1),
    (status(401), FAILED, 0),
    (reset(7), DONE, None),                                                  # refused: curl may repeat by itself
    (reset(8), DONE, 1),
    (goaway(), DONE, None),
    (hang_up(), DONE, None),
    (respond(trailers=[("grpc-status", "0")]), DONE, 0),                     # no message
    (respond(body=b"\0\0\0\0\5ab", trailers=[("grpc-status", "0")]), DONE, 0),  # half a message: it was accepted
])
def test_endings_frame_by_frame(action, outcome, retries):
    with RawH2(action, FINE) as c:
        got = emit(c.endpoint, **GRPC)
        assert got.counts() == outcome
        assert retries is None or got.retries == retries


def test_small_windows_and_a_connection_that_ends_do_not_confuse_it():
    with RawH2(FINE, hang_up(), FINE, settings={4: 1000, 5: 16384}) as c:
        got = emit(c.endpoint, spans=200, batches=3, **GRPC)
        assert got.ok == 600
        bodies = {len(body) for _, body in c.requests}
        assert all(size > 50_000 for size in bodies)


def test_a_server_that_speaks_http1_is_no_collector():
    with Fake() as c:
        got = emit(c.endpoint, deadline=1500, **GRPC)
        assert got.counts() == FAILED and not c.received


def test_a_server_that_says_nothing_runs_into_the_timeout():
    with Grpc(lambda *_: time.sleep(2)) as c:
        begin = time.monotonic()
        got = emit(c.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="300", deadline=1000, **GRPC)
        assert got.counts() == FAILED and time.monotonic() - begin < 10


def test_nobody_there():
    port, keeper = closed_port()
    with keeper:
        got = emit(f"http://127.0.0.1:{port}", deadline=1000, **GRPC)
    assert got.counts() == FAILED and got.retries >= 1


def test_the_first_batch_can_be_given_up():
    with Grpc(lambda fake, request, context: (time.sleep(1), ok()(fake, request, context))[1], ok()) as c:
        got = emit(c.endpoint, "cancel", batches=2, **GRPC)
        assert got.failed == 7 and got.ok == 7


def test_stolen_descriptors_are_left_alone():
    with Grpc() as c:
        got = emit(c.endpoint, "steal", batches=3, **GRPC)
        assert got.ok == 21 and got.stolen and got.unharmed == got.stolen
        strict(c)


def test_a_child_exports_over_its_own_connection():
    with Grpc() as c:
        got = emit(c.endpoint, "fork", **GRPC)
        assert got.ok == 7 and len(c.spans) == 14
        strict(c)


# -- TLS --

@pytest.fixture
def tls(pki):
    keys = (pki / "server.key").read_bytes(), (pki / "server.pem").read_bytes()
    return str(pki / "ca.pem"), grpc.ssl_server_credentials([keys])


def test_tls_by_alpn(tls):
    ca, credentials = tls
    with Grpc(tls=credentials) as c:
        got = emit(f"https://localhost:{c.port}", OTEL_EXPORTER_OTLP_CERTIFICATE=ca, spans=500, **GRPC)
        assert got.ok == 500
        got = emit(f"localhost:{c.port}", OTEL_EXPORTER_OTLP_CERTIFICATE=ca, **GRPC)
        assert got.counts() == DONE
        strict(c)


def test_a_certificate_nobody_vouches_for_is_final(tls):
    _, credentials = tls
    with Grpc(tls=credentials) as c:
        got = emit(f"https://localhost:{c.port}", OTEL_LOG_LEVEL="info", **GRPC)
        assert got.counts() == FAILED and got.retries == 0 and not c.calls
    assert "not trusted" in got.stderr
