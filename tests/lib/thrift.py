"""Reads Jaeger's Thrift structs strictly, in the binary and the compact encoding: known fields only, each once, in
rising order, with the right types, required ones present, nothing left over."""
import struct

TAG = {1: ("key", "string", True), 2: ("vType", "i32", True), 3: ("vStr", "string", False), 5: ("vBool", "bool", False),
       6: ("vLong", "i64", False)}
REF = {1: ("refType", "i32", True), 2: ("traceIdLow", "i64", True), 3: ("traceIdHigh", "i64", True),
       4: ("spanId", "i64", True)}
LOG = {1: ("timestamp", "i64", True), 2: ("fields", [TAG], True)}
SPAN = {1: ("traceIdLow", "i64", True), 2: ("traceIdHigh", "i64", True), 3: ("spanId", "i64", True),
        4: ("parentSpanId", "i64", True), 5: ("operationName", "string", True), 6: ("references", [REF], False),
        7: ("flags", "i32", True), 8: ("startTime", "i64", True), 9: ("duration", "i64", True),
        10: ("tags", [TAG], False), 11: ("logs", [LOG], False)}
PROCESS = {1: ("serviceName", "string", True), 2: ("tags", [TAG], False)}
BATCH = {1: ("process", PROCESS, True), 2: ("spans", [SPAN], True)}
ARGS = {1: ("batch", BATCH, True)}

BINARY = {"bool": 2, "i32": 8, "i64": 10, "string": 11, "struct": 12, "list": 15}
COMPACT = {"i32": 5, "i64": 6, "string": 8, "struct": 12, "list": 9}


class Wrong(Exception):
    pass


def kind_of(kind):
    return "struct" if isinstance(kind, dict) else "list" if isinstance(kind, list) else kind


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at:self.at + count]
        if len(piece) != count:
            raise Wrong("ends too early")
        self.at += count
        return piece

    def byte(self):
        return self.take(1)[0]

    def end(self):
        if self.at != len(self.data):
            raise Wrong(f"{len(self.data) - self.at} bytes too many")

    def value(self, kind):
        if isinstance(kind, dict):
            return self.struct(kind)
        if isinstance(kind, list):
            return [self.value(kind[0]) for _ in range(self.list_head())]
        if kind == "string":
            return self.take(self.size()).decode("utf-8")
        return getattr(self, kind)()

    def struct(self, fields):
        out, last = {}, 0
        while (head := self.field_head(last)) is not None:
            number, wire = head
            if number <= last or number not in fields:
                raise Wrong(f"field {number} after {last}")
            name, kind, _ = fields[number]
            out[name] = self.field_value(kind, wire)
            last = number
        missing = [name for name, _, required in fields.values() if required and name not in out]
        if missing:
            raise Wrong(f"without {missing}")
        return out


class Binary(Reader):
    def i32(self):
        return struct.unpack(">i", self.take(4))[0]

    def i64(self):
        return struct.unpack(">q", self.take(8))[0]

    size = i32

    def list_head(self):
        if self.byte() != BINARY["struct"]:
            raise Wrong("a list of something else")
        return self.i32()

    def field_head(self, last):
        wire = self.byte()
        return (struct.unpack(">h", self.take(2))[0], wire) if wire else None

    def field_value(self, kind, wire):
        if wire != BINARY[kind_of(kind)]:
            raise Wrong(f"type {wire} for {kind_of(kind)}")
        return bool(self.byte()) if kind == "bool" else self.value(kind)


class Compact(Reader):
    def size(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def i64(self):
        value = self.size()
        return value >> 1 ^ -(value & 1)

    i32 = i64

    def list_head(self):
        byte = self.byte()
        if byte & 15 != COMPACT["struct"]:
            raise Wrong("a list of something else")
        return byte >> 4 if byte < 0xf0 else self.size()

    def field_head(self, last):
        byte = self.byte()
        if not byte:
            return None
        return (last + (byte >> 4) if byte >> 4 else self.i64()), byte & 15

    def field_value(self, kind, wire):
        if kind == "bool":
            return {1: True, 2: False}[wire]
        if wire != COMPACT[kind_of(kind)]:
            raise Wrong(f"type {wire} for {kind_of(kind)}")
        return self.value(kind)


def batch(body):
    reader = Binary(body)
    out = reader.struct(BATCH)
    reader.end()
    return out


def packet(data):
    """One emitBatch."""
    reader = Compact(data)
    if reader.take(2) != b"\x82\x81":
        raise Wrong("no oneway message")
    reader.size()
    if reader.take(reader.size()) != b"emitBatch":
        raise Wrong("another message")
    out = reader.struct(ARGS)["batch"]
    reader.end()
    return out


def tags(items):
    out = {}
    for tag in items:
        values = {k: v for k, v in tag.items() if k.startswith("v") and k != "vType"}
        wanted = {0: "vStr", 2: "vBool", 3: "vLong"}[tag["vType"]]
        if set(values) != {wanted}:
            raise Wrong(f"tag {tag}")
        if tag["key"] in out:
            raise Wrong(f"tag {tag['key']} twice")
        out[tag["key"]] = values[wanted]
    return out
