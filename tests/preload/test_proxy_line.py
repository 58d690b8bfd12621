"""A PROXY header in front of a client's requests goes over the wire as it is, in whatever calls; our header stands behind it,
in the requests."""
import random
import socket
import struct

import pytest

from preload.test_inject import HEAD, POST, blanks, check

V2 = b"\r\n\r\n\0\r\nQUIT\n"
ADDRESSES = socket.inet_aton("192.0.2.7") + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 50000, 80)
HEADERS = {
    "v1": b"PROXY TCP4 192.0.2.7 127.0.0.1 50000 80\r\n",
    "v1 tcp6": b"PROXY TCP6 2001:db8::9 ::1 50000 80\r\n",
    "v1 unknown": b"PROXY UNKNOWN\r\n",
    "v2": V2 + b"\x21\x11" + struct.pack(">H", len(ADDRESSES)) + ADDRESSES,
    "v2 with TLVs": V2 + b"\x21\x11" + struct.pack(">H", len(ADDRESSES) + 203) + ADDRESSES + b"\x04\x00\xc8" + b"GET / HTTP/1.1\r\n\r\n".ljust(200, b"n"),
    "v2 local": V2 + b"\x20\0\0\0",
}


@pytest.fixture(params=HEADERS)
def header(request):
    return HEADERS[request.param]


@pytest.mark.parametrize("call", ["write {n}", "send {n}", "writev {h},{r}", "sendmsg 7,{m},{r}", "sendmsg {h},20,{t}"])
def test_header_and_request_in_one_call(library, header, call):
    stream = header + POST
    values = {"n": len(stream), "h": len(header), "r": len(POST), "m": len(header) - 7, "t": len(POST) - 20}
    check([call.format(**values)], stream, blanks(stream, len(header)))


def test_header_by_itself(library, header):
    stream = header + HEAD + POST
    check([f"write {len(header)}", f"write {len(HEAD)}", f"write {len(POST)}"], stream,
          blanks(stream, len(header), len(header + HEAD)))


@pytest.mark.parametrize("cut", [1, 5, 6, 11, 12, 13, 14])
def test_header_cut_in_two(library, header, cut):
    """What ends it and begins the request is one call: nobody can say where, before it is sent."""
    stream = header + POST
    check([f"write {cut}", f"write {len(stream) - cut}"], stream, [])
    check([f"write {cut}", f"write {len(header) - cut}", f"write {len(POST)}"], stream, blanks(stream, len(header)))


def test_byte_by_byte(library, header):
    check(["each 1"], header + POST, [])


@pytest.mark.parametrize("seed", range(6))
def test_any_buffers(library, header, seed):
    rng = random.Random(seed)
    stream = header + HEAD + POST
    cuts = sorted(rng.sample(range(1, len(stream)), rng.randint(1, 6)))
    lengths = [b - a for a, b in zip([0] + cuts, cuts + [len(stream)])]
    check([f"{'writev' if seed % 2 else 'sendmsg'} {','.join(map(str, lengths))}"], stream,
          (1, blanks(stream, len(header), len(header + HEAD))))


def test_pipelined_requests(library, header):
    stream = header + HEAD + HEAD
    check([f"write {len(stream)}"], stream, blanks(stream, len(header), len(header + HEAD)))


@pytest.mark.parametrize("seed", range(4))
def test_short_writes(library, header, seed):
    """The kernel takes a little at a time: the header, ours and the program's own bytes are cut anywhere."""
    rng = random.Random(seed)
    head = b"GET /long HTTP/1.1\r\nHost: upstream\r\nX-Pad: " + b"p" * rng.randint(2000, 9000) + b"\r\n\r\n"
    stream = header + head
    check(["sndbuf 1", "nonblock", f"write {len(stream)}"], stream, (0, blanks(stream, len(header))), take=rng.randint(1, 200),
          receive_buffer=1)


@pytest.mark.parametrize("first", [
    b"PROXY TCP4 192.0.2.7 127.0.0.1 50000\r\n", b"PROXY TCP4 1.2.3.256 127.0.0.1 1 2\r\n", b"PROXY table 7\r\n",
    HEADERS["v1"] * 2, HEADERS["v2"] + HEADERS["v1"], V2 + b"\x21\x11\0\x01x", V2 + b"\x11\x11\0\x0c" + ADDRESSES,
    b"PROXY UNKNOWN" + b"x" * 100 + b"\r\n",
], ids=["no port", "no address", "another's", "twice", "twice, both", "too short", "version 1", "too long"])
@pytest.mark.parametrize("split", [False, True], ids=["one", "two"])
def test_what_is_none_is_left_alone_for_good(library, first, split):
    stream = first + HEAD * 3
    check([f"write {len(first)}", f"write {len(HEAD) * 3}"] if split else [f"write {len(stream)}"], stream, [])
