"""Injection into HTTP/2 requests is invisible to the program and exact on the wire: the peer receives the program's
frames and, where the rules allow, a field of ours behind the others of a request; see docs/http2.md."""
import random
import sys

import pytest

from lib.http2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, OURS, PING, PREFACE, WINDOW_UPDATE, added, frame,
                       frames, get, headers, literal, settings)
from lib.inject import Peer, play
from lib.preload import Program
from preload.test_counts import wait_sum

START = PREFACE + settings(window=65535) + frame(WINDOW_UPDATE, 0, 0, b"\0\1\0\0")
ONE = START + headers(1, get(b"/one"))
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def requests(count, first=1):
    """A stream of requests and other frames between them. The second and later use what the first put into the table."""
    out = START
    for i in range(count):
        stream = first + 2 * i
        block = get(b"/n/%d" % i) if i == 0 else b"\x82\x86\x04\x05/n/%02d\xbe" % (i % 100)
        out += headers(stream, block, END_HEADERS | (END_STREAM if i % 3 else 0))
        if i % 3 == 0:
            out += frame(DATA, 0, stream, b"d" * (37 * i % 500)) + frame(DATA, END_STREAM, stream)
        if i % 5 == 0:
            out += frame(PING, 0, 0, b"12345678")
    return out


def check(script, stream, want, **options):
    """Plays a script bare and under the preload. want: streams that must get our field; or a (minimum, allowed) pair when
    the rules leave it open."""
    bare = play(script, stream, preload=False, **options)
    assert bare.received == stream and bare.status == 0, bare.output
    sent = play(script, stream, **options)
    assert sent.status == 0, sent.output + sent.errors
    assert sent.errors == bare.errors
    assert sent.output.replace("stuck\n", "") == bare.output.replace("stuck\n", "")
    found = added(stream, sent.received)
    got = sorted(s for s, fields in found.items() if fields)
    for s in got:
        assert [n for n, _ in found[s]] == [b"traceparent"] and OURS.fullmatch(found[s][0][1]), found[s]
    assert len({found[s][0][1] for s in got}) == len(got), "each request has a span of its own"
    if isinstance(want, tuple):
        assert set(got) <= set(want[1]) and len(got) >= want[0], (got, want)
    else:
        assert got == want, f"fields added to {got}, wanted {want}"
    return sent


@pytest.mark.parametrize("call", ["write {n}", "send {n}", "sendto {n}", "copy {n}", "send {n} more", "send {n} dontwait",
                                  "writev {n}", "sendmsg {n}", "sendmmsg {n}"])
def test_a_request_in_one_call_gets_the_field(library, call):
    check([call.format(n=len(ONE))], ONE, [1])


def test_stdio_never_passes_through_our_names(library):
    check([f"printf {len(ONE)}"], ONE, [])


@pytest.mark.parametrize("cut", range(1, len(ONE)))
def test_every_split_over_two_writes(library, cut):
    """The frame is whole in the second call, or it is cut."""
    whole = cut <= len(START)
    check([f"write {cut}", f"write {len(ONE) - cut}"], ONE, [1] if whole else [])


def test_byte_by_byte(library):
    check(["each 1"], ONE, [])


@pytest.mark.parametrize("count", [2, 10, 100])
def test_many_requests_in_one_call(library, count):
    stream = requests(count)
    check([f"write {len(stream)}"], stream, [2 * i + 1 for i in range(count)])


def test_more_requests_in_one_call_than_are_rewritten(library):
    stream = requests(300)
    check([f"write {len(stream)}"], stream, (100, [2 * i + 1 for i in range(300)]))


def test_a_call_for_each_frame(library):
    stream = requests(30)
    found, _ = frames(stream)
    lengths = [len(PREFACE)] + [9 + len(payload) for _, _, _, payload in found]
    check([f"write {n}" for n in lengths], stream, [2 * i + 1 for i in range(30)])


def test_frame_headers_and_payloads_in_calls_of_their_own(library):
    stream = requests(10)
    found, _ = frames(stream)
    script = [f"write {len(PREFACE)}"]
    for _, _, _, payload in found:
        script += ["write 9"] + ([f"write {len(payload)}"] if payload else [])
    check(script, stream, [])


@pytest.mark.parametrize("call", ["writev", "sendmsg", "sendmmsg"])
@pytest.mark.parametrize("seed", range(12))
def test_any_iovec_split(library, call, seed):
    rng = random.Random(seed)
    stream = requests(rng.randint(1, 12))
    cuts = sorted(rng.sample(range(1, len(stream)), rng.randint(1, 40)))
    lengths = [b - a for a, b in zip([0] + cuts, cuts + [len(stream)])]
    for _ in range(rng.randint(0, 4)):  # empty ones are legal
        lengths.insert(rng.randint(0, len(lengths)), 0)
    check([f"{call} {','.join(map(str, lengths))}"], stream, list(range(1, 2 * stream.count(b"/n/"), 2)))


@pytest.mark.parametrize("seed", range(20))
def test_any_split_over_calls(library, seed):
    """Whatever the calls: a request is the program's, with our field behind it or not."""
    rng = random.Random(seed)
    stream = requests(20)
    cuts = sorted(rng.sample(range(1, len(stream)), rng.randint(1, 30)))
    calls = [f"write {b - a}" for a, b in zip([0] + cuts, cuts + [len(stream)])]
    check(calls, stream, (0, list(range(1, 40, 2))))


@pytest.mark.parametrize("make", [
    lambda b: headers(1, b, pad=0), lambda b: headers(1, b, pad=7), lambda b: headers(1, b, pad=255),
    lambda b: headers(1, b, priority=True), lambda b: headers(1, b, pad=20, priority=True),
], ids=["pad 0", "pad 7", "pad 255", "priority", "both"])
def test_padding_and_priority_stay_where_they_are(library, make):
    stream = START + make(get(b"/p")) + headers(3, b"\x82\x86\x84\xbe")
    check([f"write {len(stream)}"], stream, [1, 3])


@pytest.mark.parametrize("parts", [2, 3, 10])
def test_continuation_gets_the_field_in_its_last_frame(library, parts):
    block = get(b"/long", *[literal(b"x-%d" % i, b"v" * 50) for i in range(20)])
    step = len(block) // parts + 1
    pieces = [block[i:i + step] for i in range(0, len(block), step)]
    stream = START + headers(1, pieces[0], END_STREAM)
    for i, piece in enumerate(pieces[1:], 2):
        stream += frame(CONTINUATION, END_HEADERS if i == len(pieces) else 0, 1, piece)
    stream += headers(3, b"\x82\x86\x84\xbe")
    check([f"write {len(stream)}"], stream, [1, 3])
    check([f"write {len(START) + 9 + step}", f"write {len(stream) - len(START) - 9 - step}"], stream, [1, 3])
    check([f"write {len(START) + 20}", f"write {len(stream) - len(START) - 20}"], stream, [1, 3])
    check([f"write {len(stream) - 60}", "write 60"], stream, [3])


@pytest.mark.parametrize("how", [0, 0x10, 0x40], ids=["plain", "never indexed", "indexed"])
@pytest.mark.parametrize("name", [b"traceparent", b"b3"])
def test_a_context_of_the_programs_own_is_left_alone(library, how, name):
    value = PARENT if name == b"traceparent" else PARENT[3:52] + b"-1"
    stream = START + headers(1, get(b"/x", literal(name, value, how))) + headers(3, get(b"/y"))
    sent = play([f"write {len(stream)}"], stream, settings={"OTEL_PROPAGATORS": "tracecontext,b3"})
    found = added(stream, sent.received)
    assert not found[1] and [n for n, _ in found[3]] == [b"traceparent", b"b3"]


def test_a_context_in_the_table_is_seen_each_time(library):
    stream = (START + headers(1, get(b"/x", literal(b"traceparent", PARENT, 0x40))) + headers(3, b"\x82\x86\x84\xbf\xbe") +
              headers(5, b"\x82\x86\x84\xbf"))
    check([f"write {len(stream)}"], stream, [5])


def test_trailers_of_a_request_get_nothing(library):
    stream = (START + headers(1, get(b"/t"), END_HEADERS) + frame(DATA, 0, 1, b"body") +
              headers(1, literal(b"x-sum", b"1")) + headers(3, b"\x82\x86\x84\xbe"))
    check([f"write {len(stream)}"], stream, [1, 3])


def test_a_frame_that_would_be_too_long_for_the_peer_is_left_alone(library):
    block = get(b"/big", literal(b"x-big", b"v" * (16384 - 69 - 40)))
    room = 16384 - len(block)
    fits = get(b"/big", literal(b"x-big", b"v" * (16384 - 69 - 40 + room - 69)))
    too_long = get(b"/big", literal(b"x-big", b"v" * (16384 - 69 - 40 + room - 68)))
    assert len(fits) + 69 == 16384 and len(too_long) + 69 == 16385
    for block, want in ((fits, (0, [1])), (too_long, [])):
        stream = START + headers(1, block)
        check([f"write {len(stream)}"], stream, want)


def test_names_of_all_propagators_in_lower_case(library):
    stream = START + headers(1, get(b"/x"))
    sent = play([f"write {len(stream)}"], stream, settings={"OTEL_PROPAGATORS": "tracecontext,b3multi,b3,jaeger,xray"})
    names = [n for n, _ in added(stream, sent.received)[1]]
    assert b"traceparent" in names and b"x-b3-traceid" in names and b"uber-trace-id" in names
    assert all(n == n.lower() for n in names)


def test_no_propagators_no_fields(library):
    check([f"write {len(ONE)}"], ONE, [], settings={"OTEL_PROPAGATORS": "none"})


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "nonblocking"])
@pytest.mark.parametrize("size", [3000, 50000, 400000])
def test_short_writes_to_a_reader_that_holds(library, blocking, size):
    """A small send buffer and a peer that reads nothing until the program is stuck, then a few bytes at a time."""
    stream = START
    for i in range(size // 5000 + 1):
        stream += headers(2 * i + 1, get(b"/n/%d" % i) if not i else b"\x82\x86\x84\xbe", END_HEADERS)
        stream += frame(DATA, END_STREAM, 2 * i + 1, b"d" * 5000)
    script = ["sndbuf 1"] + ([] if blocking else ["nonblock"]) + [f"write {len(stream)}"]
    hold = not blocking and size > 100000
    check(script, stream, (0, list(range(1, 2 * stream.count(b"\x00\x13\x88"), 2))), take=1000, hold=hold,
          receive_buffer=2048)


@pytest.mark.parametrize("seed", range(25))
def test_short_writes_among_small_frames(library, seed):
    """The kernel cuts wherever it likes: in a frame of the program's, in ours, between them."""
    rng = random.Random(seed)
    count = rng.randint(60, 400)
    stream = START
    for i in range(count):
        block = get(b"/n/%d" % i) if not i else b"\x82\x86\x84\xbe" + literal(b"x", b"v" * rng.randint(0, 300))
        stream += headers(2 * i + 1, block)
    script = ["sndbuf 1", "nonblock", f"{rng.choice(['write', 'send', 'copy'])} {len(stream)}"]
    sent = check(script, stream, (1, list(range(1, 2 * count, 2))), take=rng.randint(1, 700), receive_buffer=1)
    assert len(sent.received) >= len(stream)


def test_upgrade_from_http1(library):
    """The request in HTTP/1 gets a header line, what follows the answer gets fields."""
    ask = (b"GET /up HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
           b"HTTP2-Settings: AAMAAABk\r\n\r\n")
    answer = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + settings() +
              headers(1, b"\x88"))
    rest = PREFACE + settings() + headers(3, get(b"/three"))
    sent = play([f"write {len(ask)}", f"recv {len(answer)}", f"write {len(rest)}"], ask + rest, answers=[answer])
    assert sent.status == 0, sent.output
    at = sent.received.index(PREFACE)
    line = sent.received[:at].replace(ask[:-2], b"")
    assert line.startswith(b"traceparent: 00-") and line.endswith(b"\r\n\r\n")
    found = added(rest, sent.received[at:])
    assert [n for n, _ in found[3]] == [b"traceparent"]


def test_requests_whose_copies_do_not_fit_are_counted_as_too_many(collector, tmp_path):
    """Few of them, but large: not all of their frames fit the room for copies."""
    stream = START + b"".join(headers(2 * i + 1, get(b"/big", literal(b"x-big", b"v" * 1500))) for i in range(30))
    (tmp_path / "stream").write_bytes(stream)
    script = "import socket, sys, threading; print('port 1', flush=True); " \
             "s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); " \
             "s.sendall(open(sys.argv[2], 'rb').read()); s.shutdown(1); s.recv(1); s.close(); threading.Event().wait()"
    with Peer() as peer, Program([sys.executable, "-c", script, peer.port, tmp_path / "stream"], endpoint=collector.endpoint) as program:
        metrics = wait_sum(program, "otelauto_injections_total", 30)
        given = [s for s, fields in added(stream, peer.received).items() if fields]
    assert 5 <= len(given) < 30
    assert metrics.sum("otelauto_injections_total", result="injected") == len(given)
    assert metrics.sum("otelauto_injections_total", result="too_many") == 30 - len(given)
