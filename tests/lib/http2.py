"""HTTP/2 frames and header blocks, as plain as they come: what a test sends, and what a peer makes of what it got."""
import re

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY = 1, 4, 8, 32
STATIC = {2: (b":method", b"GET"), 3: (b":method", b"POST"), 4: (b":path", b"/"), 6: (b":scheme", b"http"),
          8: (b":status", b"200")}
NAMES = {1: b":authority", 4: b":path", 31: b"content-type"}
OURS = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def frame(kind, flags, stream, body=b""):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def settings(**values):
    ids = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "list": 6}
    return frame(SETTINGS, 0, 0, b"".join(ids[k].to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in values.items()))


def integer(value, bits, first=0):
    if value < (1 << bits) - 1:
        return bytes([first | value])
    out, value = [first | ((1 << bits) - 1)], value - ((1 << bits) - 1)
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def literal(name, value, how=0):
    """how: 0 without indexing, 0x10 never indexed, 0x40 into the table"""
    return bytes([how]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def get(path=b"/", *fields):
    """The fields of a GET request; the path is not indexed, the authority is (once a connection)."""
    return b"\x82\x86\x04" + integer(len(path), 7) + path + literal(b":authority", b"a.example", 0x40) + b"".join(fields)


def headers(stream, block, flags=END_STREAM | END_HEADERS, pad=None, priority=False):
    body = (b"\x00\x00\x00\x00\x10" if priority else b"") + block
    if pad is not None:
        body = bytes([pad]) + body + bytes(pad)
        flags |= PADDED
    return frame(HEADERS, flags | (HAS_PRIORITY if priority else 0), stream, body)


class Decoder:
    """Header blocks without Huffman codes."""

    def __init__(self):
        self.table, self.size, self.max = [], 0, 4096

    def number(self, block, at, bits):
        value, at = block[at] & ((1 << bits) - 1), at + 1
        if value < (1 << bits) - 1:
            return value, at
        shift = 0
        while True:
            value, shift, at = value + ((block[at] & 127) << shift), shift + 7, at + 1
            if not block[at - 1] & 128:
                return value, at

    def text(self, block, at):
        assert not block[at] & 128, "Huffman"
        length, at = self.number(block, at, 7)
        assert at + length <= len(block)
        return block[at:at + length], at + length

    def field(self, index):
        return STATIC[index] if index < 62 else self.table[index - 62]

    def decode(self, block):
        """[(name, value, first byte)]"""
        fields, at = [], 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = self.number(block, at, 7)
                fields.append((*self.field(index), first))
                continue
            if first & 0xe0 == 0x20:
                self.max, at = self.number(block, at, 5)
                self.add()
                continue
            index, at = self.number(block, at, 6 if first & 0x40 else 4)
            if index:
                name = NAMES[index] if index < 62 else self.table[index - 62][0]
            else:
                name, at = self.text(block, at)
            value, at = self.text(block, at)
            fields.append((name, value, first))
            if first & 0x40:
                self.add(name, value)
        return fields

    def add(self, *field):
        if field:
            self.table.insert(0, field)
            self.size += 32 + len(field[0]) + len(field[1])
        while self.size > self.max:
            name, value = self.table.pop()
            self.size -= 32 + len(name) + len(value)


def frames(stream):
    """[(type, flags, stream, payload)], and the bytes behind the last whole one."""
    assert stream.startswith(PREFACE), stream[:40]
    at, out = len(PREFACE), []
    while at + 9 <= len(stream):
        length = int.from_bytes(stream[at:at + 3], "big")
        if at + 9 + length > len(stream):
            break
        out.append((stream[at + 3], stream[at + 4], int.from_bytes(stream[at + 5:at + 9], "big"),
                    stream[at + 9:at + 9 + length]))
        at += 9 + length
    return out, stream[at:]


def fragment(kind, flags, payload):
    """(what is in front, the fields, the padding)"""
    front = 0
    pad = 0
    if kind == HEADERS and flags & PADDED:
        front, pad = 1, payload[0]
    if kind == HEADERS and flags & HAS_PRIORITY:
        front += 5
    return payload[:front], payload[front:len(payload) - pad], payload[len(payload) - pad:]


def added(sent, received):
    """Judges what a peer received of what a client sent: the same frames, but for fields of ours at the end of header
    blocks. returns {stream: [(name, value)]} for every request"""
    (ours, rest), (theirs, their_rest) = frames(sent), frames(received)
    assert rest == their_rest and len(ours) == len(theirs), (len(ours), len(theirs), rest[:40], their_rest[:40])
    decoder, found, block = Decoder(), {}, b""
    for (kind, flags, stream, payload), got in zip(ours, theirs):
        assert got[:3] == (kind, flags, stream), (got[:3], (kind, flags, stream))
        if kind not in (HEADERS, CONTINUATION):
            assert got[3] == payload
            continue
        front, fields, padding = fragment(kind, flags, payload)
        their_front, their_fields, their_padding = fragment(kind, flags, got[3])
        assert front == their_front and padding == their_padding
        if flags & END_HEADERS:
            assert their_fields.startswith(fields), f"stream {stream}: {fields!r} became {their_fields!r}"
        else:
            assert their_fields == fields
        block += their_fields
        if flags & END_HEADERS:
            decoder.decode(block[:len(block) - len(their_fields) + len(fields)])
            extra = decoder.decode(their_fields[len(fields):])
            assert all(not how & 0xf0 for _, _, how in extra), "ours must leave the table alone"
            assert stream not in found or not extra, "trailers have no context"
            found.setdefault(stream, [(name, value) for name, value, _ in extra])
            block = b""
    return found
