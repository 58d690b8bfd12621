"""Injection is invisible to the program and exact on the wire: the peer receives the program's bytes and, where the
rules allow, whole header lines of ours; see docs/context.md and rules 24-28 of the failure modes."""
import random

import pytest

from lib.inject import TRACEPARENT, play

HEAD = b"GET /path?q=1 HTTP/1.1\r\nHost: upstream\r\nUser-Agent: driver\r\nAccept: */*\r\n\r\n"
BODY = b"name=value&text=" + b"z" * 84
POST = b"POST /form HTTP/1.1\r\nHost: upstream\r\nContent-Length: 100\r\n\r\n" + BODY
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LIES = b"GET /not/a/request HTTP/1.1\r\nHost: body\r\n\r\n"  # request-like text for bodies


def check(script, stream, want, **options):
    """Plays a script bare and under the preload. want: offsets of the blank lines that must get our header; or a
    (minimum, allowed offsets) pair when the rules leave it open."""
    bare = play(script, stream, preload=False, **options)
    assert bare.received == stream and bare.status == 0, bare.output
    sent = play(script, stream, **options)
    assert sent.status == 0, sent.output + sent.errors
    assert sent.errors == bare.errors
    assert sent.output.replace("stuck\n", "") == bare.output.replace("stuck\n", "")
    insertions = sent.insertions()
    offsets = [at for at, _ in insertions]
    for _, text in insertions:
        assert len(TRACEPARENT.findall(text)) == 1, text
    if isinstance(want, tuple):
        minimum, allowed = want
        assert set(offsets) <= set(allowed) and len(offsets) >= minimum, (offsets, allowed)
    else:
        assert offsets == want, f"headers inserted at {offsets}, wanted at {want}"
    return sent


def blanks(stream, *starts):
    """Offset of the second CRLF of each header that starts at one of `starts`."""
    return [stream.index(b"\r\n\r\n", start) + 2 for start in starts]


@pytest.mark.parametrize("call", ["write {n}", "send {n}", "sendto {n}", "copy {n}", "send {n} more", "send {n} dontwait",
                                  "writev {n}", "sendmsg {n}", "sendmmsg {n}", "printf {n}"])
@pytest.mark.parametrize("stream", [HEAD, POST], ids=["get", "post"])
def test_whole_request_in_one_call_gets_the_header(library, call, stream):
    # What stdio writes never passes through our names.
    want = [] if call.startswith("printf") else blanks(stream, 0)
    check([call.format(n=len(stream))], stream, want)


@pytest.mark.parametrize("cut", list(range(1, len(HEAD))), ids=str)
def test_every_split_of_the_header_over_two_writes(library, cut):
    check([f"write {cut}", f"write {len(HEAD) - cut}"], HEAD, [])


@pytest.mark.parametrize("first,second", [("send {} more", "send {}"), ("send {} more", "write {}"),
                                          ("sendmsg {} more", "writev {}")])
@pytest.mark.parametrize("cut", [1, 3, 14, 24, len(HEAD) - 3, len(HEAD) - 2, len(HEAD) - 1])
def test_splits_with_msg_more_and_mixed_calls(library, first, second, cut):
    check([first.format(cut), second.format(len(HEAD) - cut)], HEAD, [])


@pytest.mark.parametrize("cut", list(range(1, len(POST) - 1, 3)) + [len(POST) - 101, len(POST) - 100, len(POST) - 99],
                         ids=str)
def test_header_and_part_of_the_body_then_the_rest(library, cut):
    """The header is whole in the first call or it is not; the body never matters."""
    want = blanks(POST, 0) if cut >= POST.index(b"\r\n\r\n") + 4 else []
    check([f"write {cut}", f"write {len(POST) - cut}"], POST, want)


def test_byte_by_byte(library):
    check(["each 1"], POST, [])


@pytest.mark.parametrize("call", ["writev", "sendmsg", "sendmmsg"])
@pytest.mark.parametrize("seed", range(12))
def test_whole_request_in_any_iovec_split(library, call, seed):
    rng = random.Random(seed)
    stream = HEAD if seed % 2 else POST
    cuts = sorted(rng.sample(range(1, len(stream)), rng.randint(1, 30)))
    lengths = [b - a for a, b in zip([0] + cuts, cuts + [len(stream)])]
    for _ in range(rng.randint(0, 4)):  # empty ones are legal
        lengths.insert(rng.randint(0, len(lengths)), 0)
    check([f"{call} {','.join(map(str, lengths))}"], stream, blanks(stream, 0))


@pytest.mark.parametrize("call", ["writev", "sendmsg"])
@pytest.mark.parametrize("count", [1, 2, 3, 11, 12, 13, 100, 1020, 1021])
def test_one_byte_iovecs_up_to_the_kernels_limit(library, call, count):
    body = b"b" * 2000
    stream = b"POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n" + body
    lengths = ["1"] * (count - 1) + [str(len(stream) - count + 1)]
    check([f"{call} {','.join(lengths)}"], stream, (0 if count > 100 else 1, blanks(stream, 0)))


@pytest.mark.parametrize("count", [1022, 1023, 1024])
def test_no_room_in_the_iovec_array_no_header(library, count):
    """iovcnt + 2 > IOV_MAX: the kernel would refuse what it accepts from the program."""
    stream = b"POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n" + b"b" * 2000
    lengths = ["1"] * (count - 1) + [str(len(stream) - count + 1)]
    check([f"writev {','.join(lengths)}"], stream, (0, blanks(stream, 0) if count == 1022 else []))


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "nonblocking"])
@pytest.mark.parametrize("call", ["write {n}", "send {n}", "writev {a},{b}", "sendmsg {a},{b}"])
@pytest.mark.parametrize("size", [3000, 50000, 400000])
def test_short_writes_to_a_reader_that_holds(library, blocking, call, size):
    """A small send buffer and a peer that reads nothing until the program is stuck, then a few bytes at a time."""
    stream = b"POST /big HTTP/1.1\r\nHost: upstream\r\nContent-Length: %d\r\n\r\n" % size + b"b" * size
    script = ["sndbuf 1"] + ([] if blocking else ["nonblock"])
    script.append(call.format(n=len(stream), a=40, b=len(stream) - 40))
    # 3000 bytes fit into any buffer: nobody would get stuck.
    hold = not blocking and size > 100000
    check(script, stream, (0, blanks(stream, 0)), take=1000, hold=hold, receive_buffer=2048)


@pytest.mark.parametrize("seed", range(10))
def test_short_writes_inside_a_long_header(library, seed):
    """The header alone is larger than the buffer: the cut can fall into it, into ours, or behind both."""
    rng = random.Random(seed)
    pad = rng.randint(2000, 9000)
    stream = b"GET /long HTTP/1.1\r\nHost: upstream\r\nX-Pad: " + b"p" * pad + b"\r\n\r\n"
    script = ["sndbuf 1", "nonblock", f"write {len(stream)}"]
    check(script, stream, (0, blanks(stream, 0)), take=rng.randint(1, 200), receive_buffer=1)


def test_eagain_before_the_first_byte_of_a_request(library):
    """The buffer is full when the next request is sent: nothing of it, and nothing of ours, has gone."""
    body = b"b" * 300000
    first = b"POST /fill HTTP/1.1\r\nHost: upstream\r\nContent-Length: 300000\r\n\r\n" + body
    stream = first + HEAD
    script = ["sndbuf 1", "nonblock", f"write {len(first)}", f"write {len(HEAD)}"]
    check(script, stream, (1, blanks(stream, 0, len(first))), take=4000, hold=True, receive_buffer=2048)


@pytest.mark.parametrize("split", ["write {n}", "each 7", "writev 70,{m}"])
def test_request_like_text_in_a_body_is_a_body(library, split):
    body = LIES * 5
    stream = b"POST /lies HTTP/1.1\r\nHost: upstream\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    want = [] if split.startswith("each") else blanks(stream, 0)
    check([split.format(n=len(stream), m=len(stream) - 70)], stream, want)


def test_request_like_text_in_a_body_that_comes_by_itself(library):
    head = b"POST /lies HTTP/1.1\r\nHost: upstream\r\nContent-Length: %d\r\n\r\n" % (len(LIES) * 3)
    stream = head + LIES * 3
    check([f"write {len(head)}"] + [f"write {len(LIES)}"] * 3, stream, blanks(stream, 0))


@pytest.mark.parametrize("cut", [0, 5, 40])
def test_request_like_text_in_chunks_and_trailers(library, cut):
    chunk = b"%x;ext=1\r\n" % len(LIES) + LIES + b"\r\n"
    tail = b"0\r\nX-Trailer: GET / HTTP/1.1\r\n\r\n"
    head = b"POST /chunks HTTP/1.1\r\nHost: upstream\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream = head + chunk * 3 + tail + HEAD
    script = [f"write {len(head)}"]
    for piece in (len(chunk),) * 3 + (len(tail),):
        script += [f"write {cut}", f"write {piece - cut}"] if 0 < cut < piece else [f"write {piece}"]
    script.append(f"write {len(HEAD)}")
    check(script, stream, blanks(stream, 0, len(stream) - len(HEAD)))


def test_keep_alive_requests_each_get_one(library):
    stream = HEAD + POST + HEAD
    script = [f"write {len(HEAD)}", "answer", f"write {len(POST)}", "answer", f"write {len(HEAD)}", "answer"]
    sent = check(script, stream, blanks(stream, 0, len(HEAD), len(HEAD + POST)), answers=[OK] * 3)
    ids = [t.split(b"-")[2] for t in TRACEPARENT.findall(sent.received)]
    assert len(set(ids)) == 3, "every request has a span id of its own"


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
def test_pipelined_requests_in_one_call(library, count):
    stream = HEAD * count
    allowed = blanks(stream, *range(0, len(stream), len(HEAD)))
    check([f"write {len(stream)}"], stream, (min(count, 1), allowed))


def test_pipelined_requests_cut_in_the_middle(library):
    stream = HEAD + HEAD + HEAD
    first = len(HEAD) + 20
    allowed = blanks(stream, 0, 2 * len(HEAD))
    check([f"write {first}", f"write {len(stream) - first}"], stream, (1, allowed))


def test_sendmmsg_with_a_request_each(library):
    stream = HEAD * 3
    check([f"sendmmsg {len(HEAD)};{len(HEAD)};{len(HEAD)}"], stream,
          (1, blanks(stream, 0, len(HEAD), 2 * len(HEAD))))


def test_header_by_write_and_body_by_sendfile(library):
    stream = POST[:-100] + b"f" * 100
    check([f"send {len(stream) - 100} more", "sendfile 100"], stream, blanks(stream, 0))


def test_header_from_a_file_or_a_pipe_is_left_alone(library):
    check([f"sendfile {len(HEAD)}"], HEAD, [])
    check([f"splice {len(HEAD)}"], HEAD, [])


def test_corked_connection(library):
    check(["cork 1", f"write {len(POST) - 100}", "write 100", "cork 0"], POST, blanks(POST, 0))


def test_zerocopy_is_never_rewritten(library):
    check(["zerocopy-on", f"send {len(HEAD)} zerocopy"], HEAD, [])


def test_out_of_band_byte_is_not_part_of_a_request(library):
    """Bytes before and after arrive as they are; where the urgent one goes is the kernel's business."""
    sent = play([f"write {len(HEAD)}", "send 1 oob"], HEAD + b"!")
    assert sent.status == 0, sent.output
    assert TRACEPARENT.sub(b"", sent.received).rstrip(b"!") == HEAD


def test_unix_socket(library):
    check([f"write {len(HEAD)}"], HEAD, (0, blanks(HEAD, 0)), unix=True)


@pytest.mark.parametrize("name,first", [
    ("tls client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("redis", b"*1\r\n$4\r\nPING\r\n"), ("smtp", b"EHLO me\r\n"), ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("http/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("almost http", b"GET /path HTTP/3.1\r\nHost: x\r\n"),
    ("http/0.9", b"GET /old\r\n"), ("response", b"HTTP/1.1 200 OK\r\nHost: x\r\n"), ("lower case", b"get / http/1.1\r\n"),
    ("sip", b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n"), ("rtsp", b"OPTIONS rtsp://a RTSP/1.0\r\nCSeq: 1\r\n"),
    ("nul", b"\0"), ("blank lines", b"\r\n\r\n\r\n"),
])
@pytest.mark.parametrize("split", [False, True], ids=["one", "cut"])
def test_other_protocols_are_left_alone_for_good(library, name, first, split):
    """Also when the first bytes are followed by perfect requests."""
    stream = first + b"\r\n" + HEAD * 3
    script = ["each 5"] if split else [f"write {len(first)}", f"write {len(stream) - len(first)}"]
    allowed = blanks(stream, *(stream.index(HEAD) + i * len(HEAD) for i in range(3))) if name == "blank lines" else []
    check(script, stream, (0, allowed))


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes(library, seed):
    rng = random.Random(seed)
    stream = rng.randbytes(rng.randint(1, 5000))
    script, left = [], len(stream)
    while left:
        n = rng.randint(1, min(left, 900))
        script.append(f"{rng.choice(['write', 'send', 'writev', 'sendmsg'])} {n}")
        left -= n
    check(script, stream, [])


@pytest.mark.parametrize("request_line", [
    b"CONNECT upstream:443 HTTP/1.1\r\nHost: upstream:443\r\n\r\n",
])
def test_connect_is_hop_by_hop_and_the_tunnel_is_opaque(library, request_line):
    stream = request_line + HEAD
    established = b"HTTP/1.1 200 Connection established\r\n\r\n"
    check([f"write {len(request_line)}", f"recv {len(established)}", f"write {len(HEAD)}"], stream, [],
          answers=[established])


def test_after_an_upgrade_the_bytes_belong_to_another_protocol(library):
    upgrade = b"GET /chat HTTP/1.1\r\nHost: u\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    stream = upgrade + HEAD
    check([f"write {len(upgrade)}", "answer", f"write {len(HEAD)}"], stream, blanks(stream, 0),
          answers=[b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"])


@pytest.mark.parametrize("header", [
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    b"TraceParent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n",
    b"traceparent: broken\r\n",
    b"traceparent: \r\n",
])
def test_a_context_of_the_programs_own_is_left_alone(library, header):
    stream = b"GET / HTTP/1.1\r\nHost: upstream\r\n" + header + b"\r\n"
    check([f"write {len(stream)}"], stream, [])


@pytest.mark.parametrize("stream", [
    b"GET / HTTP/1.1\nHost: upstream\n\n",
    b"GET / HTTP/1.1\r\nHost: upstream\r\nX-Fold: a\r\n  b\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET http://upstream/abs HTTP/1.1\r\nHost: upstream\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: upstream\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: upstream\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: upstream\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nHost: upstream\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: upstream\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    b"BREW /pot HTTP/1.1\r\nHost: upstream\r\n\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\nHost: upstream\r\nX: \xff\xfe\r\n\r\n",
], ids=lambda s: s.decode("latin-1").split("HTTP")[0].strip() + str(len(s)))
def test_unusual_requests_keep_their_bytes(library, stream):
    allowed = [i + 1 for i in range(2, len(stream)) if stream[i:i + 1] == b"\n"
               and stream[i + 1:i + 3] in (b"\n", b"\r\n") or stream[i:i + 2] == b"\n\n"][:1]
    check([f"write {len(stream)}"], stream, (0, allowed))


def test_large_headers_keep_their_bytes(library):
    stream = b"GET / HTTP/1.1\r\nHost: upstream\r\nX-Large: " + b"l" * 60000 + b"\r\n\r\n" + HEAD
    first = len(stream) - len(HEAD)
    check([f"write {first}", f"write {len(HEAD)}"], stream, (0, blanks(stream, 0, first)))


def test_switched_off_by_propagators_none(library):
    check([f"write {len(HEAD)}"], HEAD, [], settings={"OTEL_PROPAGATORS": "none"})


def test_excluded_hosts_get_no_header(library):
    check([f"write {len(HEAD)}"], HEAD, [], settings={"OTELAUTO_EXCLUDE_HOSTS": "other,up*"})


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_of_sending_calls(library, seed):
    """Requests of all framings, cut at random over random calls, on small buffers, with slow and fast readers."""
    rng = random.Random(1000 + seed)
    stream, starts = b"", []
    for _ in range(rng.randint(1, 6)):
        starts.append(len(stream))
        size = rng.choice([0, 0, 10, 3000, 40000])
        kind = rng.choice(["get", "length", "chunked"]) if size else "get"
        pad = b"X-Pad: " + b"p" * rng.choice([0, 10, 3000]) + b"\r\n"
        body = (LIES * (size // len(LIES) + 1))[:size]
        if kind == "get":
            stream += b"GET /r HTTP/1.1\r\nHost: upstream\r\n" + pad + b"\r\n"
        elif kind == "length":
            stream += b"POST /r HTTP/1.1\r\nHost: upstream\r\n" + pad + b"Content-Length: %d\r\n\r\n" % size + body
        else:
            stream += b"POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + pad + b"\r\n%x\r\n" % size + body
            stream += b"\r\n0\r\n\r\n"
    script = (["sndbuf 1"] if rng.random() < 0.6 else []) + (["nonblock"] if rng.random() < 0.5 else [])
    left = len(stream)
    while left:
        n = min(left, rng.choice([1, 7, 100, 1000, 20000, 100000]))
        call = rng.choice(["write", "copy", "send", "sendto", "writev", "sendmsg", "sendmmsg"])
        if call in ("writev", "sendmsg", "sendmmsg") and n > 3:
            a, b = sorted(rng.sample(range(1, n), 2))
            script.append(f"{call} {a},{b - a},{n - b}")
        else:
            script.append(f"{call} {n}" + (" more" if call == "send" and rng.random() < 0.3 else ""))
        left -= n
    check(script, stream, (0, blanks(stream, *starts)), take=rng.choice([50, 1000, 65536]),
          receive_buffer=rng.choice([0, 2048]))
