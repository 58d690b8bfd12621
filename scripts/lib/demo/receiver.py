"""Takes spans by OTLP/HTTP in protobuf and keeps them: the smallest collector that the demo can do with."""
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = {2: "server", 3: "client"}


def fields(data):
    """Yields (number, value) of a protobuf message; a length-delimited value is bytes, the others are numbers."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}.get(wire) or (varint() if wire == 2 else None)
        if size is None or at + size > len(data):
            raise ValueError(f"no protobuf: wire type {wire} at byte {at}")
        value = data[at:at + size]
        at += size
        yield number, value if wire == 2 else int.from_bytes(value, "little")


def take(data, number):
    return [value for n, value in fields(data) if n == number]


def attributes(items):
    """{key: text or number} of KeyValue messages. Other kinds of values are left out."""
    found = {}
    for item in items:
        pair = dict(fields(item))
        for kind, value in fields(pair.get(2, b"")):
            if kind == 1:
                found[pair[1].decode()] = value.decode(errors="replace")
            elif kind == 3:
                found[pair[1].decode()] = value
    return found


class Span:
    def __init__(self, data, service):
        one = dict(fields(data))
        self.service = service
        self.trace_id = one[1].hex()
        self.span_id = one[2].hex()
        self.parent_id = one.get(4, b"").hex()
        self.name = one[5].decode()
        self.kind = KINDS.get(one.get(6), "other")
        self.start, self.end = one[7], one[8]
        self.attributes = attributes(take(data, 9))

    @property
    def url(self):
        return self.attributes.get("url.full") or self.attributes.get("url.path", "")

    @property
    def status(self):
        return self.attributes.get("http.response.status_code") or self.attributes.get("error.type", "-")


def spans_of(request):
    """The spans of one ExportTraceServiceRequest."""
    for group in take(request, 1):
        resource = attributes(kv for part in take(group, 1) for kv in take(part, 1))
        for scope in take(group, 2):
            for span in take(scope, 2):
                yield Span(span, resource.get("service.name", "?"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.server.receiver.add(spans_of(body))
            self.send_response(200)
        except (IndexError, KeyError, ValueError) as error:
            self.server.receiver.trouble = f"an export could not be read: {error!r}"
            self.send_response(400)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Receiver:
    """`with Receiver() as r:` … r.endpoint, r.traces()."""

    def __enter__(self):
        self.trouble = None
        self._spans = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.receiver = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def add(self, spans):
        spans = list(spans)
        with self._changed:
            self._spans.extend(spans)
            self._changed.notify_all()

    def wait_count(self, count, seconds):
        """Waits for that many spans; returns how many there are."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._spans) >= count, seconds)
            return len(self._spans)

    def traces(self):
        """{trace id: its spans}"""
        found = {}
        with self._changed:
            for span in self._spans:
                found.setdefault(span.trace_id, []).append(span)
        return found

    def forget(self):
        with self._changed:
            self._spans.clear()
