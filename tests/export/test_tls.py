"""TLS to the collector: whom we trust, who we say we are."""
import ssl

import pytest

from fake import Fake, emit


def server(pki, name="server", client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / f"{name}.pem", pki / f"{name}.key")
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki / f"{client_ca}.pem")
    return context


def test_a_certificate_of_the_given_ca_is_trusted(pki):
    with Fake(tls=server(pki)) as c:
        got = emit(c.endpoint, batches=3, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"))
        assert got.ok == 21 and c.connections == 1 and len(c.spans) == 21
        assert not c.problems and got.stderr == ""


def test_the_name_is_checked_too(pki):
    with Fake(tls=server(pki)) as c:
        assert emit(f"https://localhost:{c.port}", OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem")).ok == 7
    with Fake(tls=server(pki, "wrong")) as c:
        got = emit(c.endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"))
        assert got.failed == 7 and got.retries == 0 and not c.received


@pytest.mark.parametrize("trusted", ["other", None])
def test_other_certificates_are_refused_and_it_is_not_tried_again(pki, trusted):
    settings = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(pki / f"{trusted}.pem")} if trusted else {}
    with Fake(tls=server(pki)) as c:
        got = emit(c.endpoint, **settings)
        assert got.counts() == {"ok": 0, "rejected": 0, "failed": 7}
        assert got.retries == 0 and not c.received


def test_a_client_certificate_is_shown(pki):
    with Fake(tls=server(pki, client_ca="ca")) as c:
        got = emit(c.endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"),
                   OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(pki / "client.pem"),
                   OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY=str(pki / "client.key"))
        assert got.ok == 7 and len(c.spans) == 7


def test_a_collector_that_wants_one_gets_nothing_without(pki):
    with Fake(tls=server(pki, client_ca="ca")) as c:
        got = emit(c.endpoint, deadline=1000, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"))
        assert got.failed == 7 and not c.received


def test_a_file_that_cannot_be_read_is_said_once(tmp_path):
    got = emit("https://127.0.0.1:1", OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "none.pem"))
    assert got.open == 0 and got.stderr.count("\n") == 1 and "none.pem" in got.stderr


def test_half_of_a_client_certificate_is_said_once(pki):
    got = emit("https://127.0.0.1:1", OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"),
               OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(pki / "client.pem"))
    assert got.open == 0 and got.stderr.count("\n") == 1


def test_tls_without_the_handshake_is_not_waited_for_long(pki):
    """A collector that speaks no TLS on the port."""
    with Fake() as c:
        got = emit(c.endpoint.replace("http:", "https:"), deadline=1500, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"))
        assert got.failed == 7


def test_a_stolen_descriptor_under_tls_costs_no_byte(pki):
    with Fake(tls=server(pki)) as c:
        got = emit(c.endpoint, "steal", batches=3, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"))
        assert got.stolen == got.unharmed == 2 and got.ok == 21 and len(c.spans) == 21


def test_the_parents_session_survives_a_forked_child(pki):
    with Fake(tls=server(pki)) as c:
        got = emit(c.endpoint, "fork", batches=2, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pki / "ca.pem"))
        assert got.ok == 14 and len(c.spans) == 21 and c.connections == 2
