"""Requests whose header blocks are as mixed as a compressor's can be, all on one connection; what is random comes from a seed.
mixed_headers.py PORT COUNT   prints each answer: stream, status, length of the body; then stays until it is killed"""
import random
import signal
import socket
import sys
from pathlib import Path

from hpack import Decoder, Encoder

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from lib import http2  # noqa: E402

port, count = map(int, sys.argv[1:])
dice = random.Random(count)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_=;,.!$&'()*+ <>[]{}^|~#%/"
words = ["".join(dice.choices(LETTERS, k=size)).strip() or "w" for size in range(1, 400, 3)]
paths = ["/index.html"] * 20 + [f"/known/{i}" for i in range(40)]


def text(longest):
    return "".join(dice.choices(LETTERS, k=dice.randrange(1, longest))).strip() or "x"


def fields(stream):
    """(method, fields of the table, fields apart from it)"""
    method = dice.choice(["GET"] * 6 + ["HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS"])
    path = dice.choice(paths) if dice.random() < 0.7 else f"/only/{stream}/" + "p" * dice.choice([0, 5, 60, 700])
    table = [(":method", method), (":scheme", "http"), (":path", path), (":authority", dice.choice(["a.example", "b.example:8080"]))]
    dice.shuffle(table)
    table.append(("x-id", str(stream)))
    for _ in range(dice.randrange(4)):
        kind = dice.randrange(6)
        value = dice.choice(words) if kind < 4 else text(300) if kind < 5 else ""
        name = dice.choice(["x-mixed", "x-mixed", "cookie", "user-agent", "accept", f"x-{dice.randrange(60)}"])
        table.append((name, value, dice.random() < 0.1))
    if dice.random() < 0.002:  # takes the whole table
        table.append(("x-fill", text(5000)))
    apart = [(b"x-mixed", dice.choice(words).encode(), dice.choice([0, 0x10]))] if dice.random() < 0.2 else []
    return method, table, apart


def request(encoder, stream):
    method, table, apart = fields(stream)
    if dice.random() < 0.01:
        encoder.header_table_size = dice.choice([0, 64, 1000, 4096, 8192])
    block = encoder.encode(table, huffman=dice.random() < 0.7) + b"".join(http2.literal(*field) for field in apart)
    body = b"b" * dice.randrange(60) if method in ("POST", "PUT") else None
    end = http2.END_STREAM if body is None else 0
    pieces = [block]
    if dice.random() < 0.1 and len(block) > 4:
        cut = dice.randrange(1, len(block))
        pieces = [block[:cut], block[cut:]] if dice.random() < 0.7 else [block[:cut], b"", block[cut:]]
    out = [http2.headers(stream, pieces[0], end | (http2.END_HEADERS if len(pieces) == 1 else 0),
                         dice.randrange(40) if dice.random() < 0.1 else None, dice.random() < 0.1)]
    for i, piece in enumerate(pieces[1:], 2):
        out.append(http2.frame(http2.CONTINUATION, http2.END_HEADERS if i == len(pieces) else 0, stream, piece))
    if body is not None:
        out.append(http2.frame(http2.DATA, http2.END_STREAM, stream, body))
    return b"".join(out)


class Answers:
    def __init__(self, sock):
        self.sock, self.buffer, self.decoder = sock, bytearray(), Decoder()
        self.decoder.max_allowed_table_size = 65536
        self.status, self.size, self.settings = {}, {}, 0

    def frames(self):
        self.buffer += self.sock.recv(1 << 18) or sys.exit("the connection ended")
        at = 0
        while len(self.buffer) - at >= 9:
            length = int.from_bytes(self.buffer[at:at + 3], "big")
            if len(self.buffer) - at < 9 + length:
                break
            yield self.buffer[at + 3], self.buffer[at + 4], int.from_bytes(self.buffer[at + 5:at + 9], "big"), \
                bytes(self.buffer[at + 9:at + 9 + length])
            at += 9 + length
        del self.buffer[:at]

    def read(self):
        """returns how many ended"""
        ended = 0
        for kind, flags, stream, payload in self.frames():
            if kind == http2.HEADERS:
                assert flags & http2.END_HEADERS and not flags & (http2.PADDED | http2.HAS_PRIORITY)
                self.status[stream] = dict(self.decoder.decode(payload))[":status"]
            elif kind == http2.DATA:
                self.size[stream] = self.size.get(stream, 0) + len(payload)
            elif kind == http2.SETTINGS and not flags & 1:
                self.settings += 1
                self.sock.sendall(http2.frame(http2.SETTINGS, 1, 0))
            elif kind in (http2.RST_STREAM, http2.GOAWAY):
                sys.exit(f"frame {kind} on {stream}: {payload!r}")
            ended += kind in (http2.HEADERS, http2.DATA) and flags & http2.END_STREAM
        return ended


sock = socket.create_connection(("127.0.0.1", port))
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.sendall(http2.PREFACE + http2.settings(push=0) + http2.frame(http2.WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")))
answers, encoder, sent, ended = Answers(sock), Encoder(), 0, 0
while not answers.settings:  # they say how large the table may be
    answers.read()
while ended < count:
    batch = b""
    if dice.random() < 0.02:
        batch += http2.settings(table=dice.choice([0, 50, 1000, 4096, 10000]))
    requests = min(dice.randrange(1, 40), count - sent, 90 - sent + ended)
    while requests > 0 and len(batch) < 6000:  # the copies of more frames than that may not fit in one call
        batch += request(encoder, 2 * sent + 1)
        sent, requests = sent + 1, requests - 1
    if batch:
        sock.sendall(batch)
    ended += answers.read()
print("\n".join(f"{stream} {answers.status[stream]} {answers.size.get(stream, 0)}" for stream in range(1, 2 * count, 2)))
print("done", flush=True)
signal.pause()
