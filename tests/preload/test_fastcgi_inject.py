"""A request by FastCGI gets one more PARAMS record, whole and in front of the one that ends them, or nothing; and the program
sees its own byte counts whatever the kernel takes."""
import random
import re

import pytest

from lib.inject import play

OURS = re.compile(rb"\x01\x04\x00\x01\x00\x49\x07\x00\x10\x37HTTP_TRACEPARENT00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\x00{7}")


def record(kind, content, padding=0):
    return bytes([1, kind, 0, 1]) + len(content).to_bytes(2, "big") + bytes([padding, 0]) + content + bytes(padding)


def param(name, value):
    return bytes([len(name)]) + (0x80000000 | len(value)).to_bytes(4, "big") + name + value


def request(body=b"", more=b""):
    """returns (bytes, where the record stands that ends the parameters)"""
    params = param(b"REQUEST_METHOD", b"POST") + param(b"REQUEST_URI", b"/shop?x=1") + param(b"HTTP_HOST", b"shop") + more
    head = record(1, b"\0\1\1\0\0\0\0\0") + record(4, params, -len(params) % 8)
    stdin = b"".join(record(5, body[i:i + 32768]) for i in range(0, len(body), 32768))
    return head + record(4, b"") + stdin + record(5, b""), len(head)


GET, END = request()


def check(script, stream, ends, want, **options):
    """want: at which of `ends` there must be a record of ours; None: that depends on the kernel"""
    bare = play(script, stream, preload=False, **options)
    assert bare.received == stream and bare.status == 0, bare.output
    sent = play(script, stream, **options)
    assert sent.status == 0, sent.output + sent.errors
    assert sent.errors == bare.errors
    assert sent.output.replace("stuck\n", "") == bare.output.replace("stuck\n", "")
    rest, found = sent.received, []
    for end in ends:
        ours = OURS.match(rest, end)
        if ours:
            found.append(end)
            rest = rest[:end] + rest[ours.end():]
    assert rest == stream
    if want is not None:
        assert found == want
    return found


@pytest.mark.parametrize("call", ["write {n}", "send {n}", "sendto {n}", "copy {n}", "writev {n}", "sendmsg {n}", "sendmmsg {n}"])
@pytest.mark.parametrize("unix", [False, True])
def test_whole_request_in_one_call(library, call, unix):
    check([call.format(n=len(GET))], GET, [END], [END], unix=unix)


@pytest.mark.parametrize("cut", range(1, len(GET), 3))
def test_split_over_two_writes(library, cut):
    """The record that ends the parameters is whole in one call, and no parameter was cut, or nothing is added."""
    found = check([f"write {cut}", f"write {len(GET) - cut}"], GET, [END], None)
    assert found == [END] or cut < END + 8


@pytest.mark.parametrize("calls", [[16, END - 16, 8, 8], [END, len(GET) - END], [16, len(GET) - 16], [END + 8, 8]])
def test_records_by_calls_of_their_own(library, calls):
    check([f"write {n}" for n in calls], GET, [END], [END])


def test_byte_by_byte(library):
    check(["each 1"], GET, [END], [])


@pytest.mark.parametrize("call", ["writev", "sendmsg", "sendmmsg"])
@pytest.mark.parametrize("seed", range(8))
def test_any_iovec_split(library, call, seed):
    rng = random.Random(seed)
    stream, end = request(b"b" * 3000)
    cuts = sorted(rng.sample(range(1, len(stream)), rng.randint(1, 30)))
    lengths = [b - a for a, b in zip([0] + cuts, cuts + [len(stream)])]
    for _ in range(rng.randint(0, 4)):
        lengths.insert(rng.randint(0, len(lengths)), 0)
    check([f"{call} {','.join(map(str, lengths))}"], stream, [end], [end])


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "nonblocking"])
@pytest.mark.parametrize("size", [3000, 50000, 400000])
def test_short_writes_to_a_reader_that_holds(library, blocking, size):
    stream, end = request(b"b" * size)
    script = ["sndbuf 1"] + ([] if blocking else ["nonblock"]) + [f"write {len(stream)}"]
    check(script, stream, [end], None, take=1000, hold=not blocking and size > 100000, receive_buffer=2048)


@pytest.mark.parametrize("seed", range(8))
def test_short_writes_inside_long_parameters(library, seed):
    rng = random.Random(seed)
    stream, end = request(more=param(b"HTTP_X_PAD", b"p" * rng.randint(2000, 9000)))
    script = ["sndbuf 1", "nonblock", f"write {len(stream)}"]
    check(script, stream, [end], None, take=rng.randint(1, 200), receive_buffer=1)


def test_eagain_before_the_first_byte_of_a_request(library):
    first, end = request(b"b" * 300000)
    script = ["sndbuf 1", "nonblock", f"write {len(first)}", f"write {len(GET)}"]
    found = check(script, first + GET, [end, len(first) + END], None, take=4000, hold=True, receive_buffer=2048)
    assert len(first) + END in found or not found or found == [end]


def test_what_looks_like_a_request_in_a_body_is_a_body(library):
    stream, end = request(GET * 20)
    check(["write 200", f"write {len(stream) - 200}"], stream, [end], None)
    check([f"write {len(stream)}"], stream, [end], [end])
    check([f"write {end + 8 + 8}", "each 128"], stream, [end], [end])


def test_a_context_that_the_program_sets_is_left_alone(library):
    given = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    stream, end = request(more=param(b"HTTP_TRACEPARENT", given))
    check([f"write {len(stream)}"], stream, [end], [])
