"""Inside TLS the peer gets the program's bytes and whole headers of ours, whatever the library does: it waits, takes parts, insists
on the same buffer, copies, corks. Socket buffers are tiny and nothing blocks."""
import random

import pytest

from lib.certificates import server_context
from lib.inject import TRACEPARENT, Peer, Sent
from lib.preload import Program, app, run

OPENSSL = ["", "ex", "partial", "moving", "partial moving", "ex partial moving", "small", "small partial", "small partial moving",
           "bio", "bio ex partial"]
GNUTLS = ["", "null", "cork", "send2", "small", "small null", "small send2"]


def stream(seed):
    """Requests of all framings, most of them small; returns (bytes, offsets where a header of ours may stand)"""
    rng = random.Random(seed)
    text, allowed = b"", []
    while len(text) < 120000:
        size = rng.choice([0, 0, 0, 10, 700, 3000, 17000, 40000])
        head = b"POST /%d HTTP/1.1\r\nHost: h\r\nX-Pad: %s\r\nContent-Length: %d\r\n" % (len(allowed), b"p" * rng.choice([1, 50, 3000]), size)
        allowed.append(len(text) + len(head))
        text += head + b"\r\n" + (b"GET /not/a/request HTTP/1.1\r\nHost: body\r\n\r\n" * (size // 40 + 1))[:size]
    return text, allowed


def play(driver, words, seed, preload, folder):
    text, allowed = stream(seed)
    path = folder / "stream"
    path.write_bytes(text)
    with Peer(tls=server_context(), receive_buffer=4096, take=5000) as peer:
        with Program([app(driver), str(peer.port), str(path), str(seed), *words.split()], preload=preload) as program:
            result = program.wait(90)
    return Sent(result.stdout, result.stderr, result.status, text, peer.received), allowed


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("driver,words", [("tls_driver", w) for w in OPENSSL] + [("gnutls_driver", w) for w in GNUTLS],
                         ids=lambda v: v.replace(" ", "-") or "plain")
def test_the_peer_gets_the_bytes_and_our_headers(library, tmp_path, driver, words, seed):
    bare, _ = play(driver, words, seed, False, tmp_path)
    assert bare.status == 0 and bare.received == bare.stream, bare.output
    sent, allowed = play(driver, words, seed, True, tmp_path)
    assert (sent.status, sent.errors) == (0, bare.errors), sent.output + sent.errors
    assert sent.output == bare.output
    insertions = sent.insertions()
    # Records shorter than most headers: which of them are whole in a call is a matter of timing.
    assert insertions or "small" in words, "no header at all went out"
    for at, inserted in insertions:
        assert at in allowed and len(TRACEPARENT.findall(inserted)) == 1


def test_corners_of_gnutls(collector):
    """Calls before the handshake, a datagram that is taken back, corked writes that have to wait; both ends in one process."""
    bare = run([app("gnutls_corners")], preload=False)
    ours = run([app("gnutls_corners")], endpoint=collector.endpoint)
    assert (ours.status, ours.stdout, ours.stderr) == (bare.status, bare.stdout, bare.stderr)
    assert bare.status == 0 and bare.stdout.count("told: HTTP/1.1 200 OK") == 3 and "got: sent\n" in bare.stdout
    spans = collector.wait_count(6, where=lambda s: s.attributes.get("http.response.status_code") == 200)
    assert sorted(s.kind for s in spans) == ["CLIENT"] * 3 + ["SERVER"] * 3
