"""A strict OTLP/HTTP collector on 127.0.0.1 that keeps what it receives.

It decodes with the official message definitions and notes every breach of the protocol or of the
specification in `problems`; a test that ends with problems fails (see conftest.py).
"""
import gzip
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
STATUS = {0: "unset", 1: "ok", 2: "error"}
DEADLINE = 15.0


def plain_value(value):
    """An AnyValue as a Python value."""
    which = value.WhichOneof("value")
    if which == "array_value":
        return [plain_value(v) for v in value.array_value.values]
    if which == "kvlist_value":
        return {kv.key: plain_value(kv.value) for kv in value.kvlist_value.values}
    return getattr(value, which) if which else None


class Span:
    """One received span, flattened."""

    def __init__(self, span, resource):
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.name = span.name
        self.kind = KINDS.get(span.kind, str(span.kind))
        self.status = STATUS.get(span.status.code, str(span.status.code))
        self.start = span.start_time_unix_nano
        self.end = span.end_time_unix_nano
        self.flags = span.flags
        self.trace_state = span.trace_state
        self.attributes = {kv.key: plain_value(kv.value) for kv in span.attributes}
        self.events = [(e.name, {kv.key: plain_value(kv.value) for kv in e.attributes}) for e in span.events]
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.resource = resource

    @property
    def service(self):
        return self.resource.get("service.name", "")

    @property
    def path(self):
        """The path of the request, for servers and clients alike."""
        if "url.path" in self.attributes:
            return self.attributes["url.path"]
        rest = self.attributes.get("url.full", "").partition("://")[2]
        return "/" + rest.partition("/")[2].partition("?")[0] if rest else ""

    def __repr__(self):
        status = self.attributes.get("http.response.status_code", self.attributes.get("error.type", ""))
        return f"<{self.kind} {self.name!r} {self.path} {status} {self.service} {self.span_id} < {self.parent_id or '-'}>"


def unknown_fields(message, where=""):
    """Names every field that the official definition does not have."""
    for field in UnknownFieldSet(message):
        yield f"{where or type(message).__name__}: unknown field {field.field_number}"
    for descriptor, value in message.ListFields():
        if descriptor.type != descriptor.TYPE_MESSAGE:
            continue
        # protobuf 7 spells the question differently from older ones.
        repeated = getattr(descriptor, "is_repeated", None)
        if repeated is None:
            repeated = descriptor.label == descriptor.LABEL_REPEATED
        for item in value if repeated else [value]:
            yield from unknown_fields(item, f"{where}.{descriptor.name}")


def span_problems(span):
    """What the specification does not allow in a span."""
    if len(span.trace_id) != 16 or not any(span.trace_id):
        yield f"trace id {span.trace_id.hex()!r}"
    if len(span.span_id) != 8 or not any(span.span_id):
        yield f"span id {span.span_id.hex()!r}"
    if len(span.parent_span_id) not in (0, 8) or (span.parent_span_id and not any(span.parent_span_id)):
        yield f"parent id {span.parent_span_id.hex()!r}"
    if span.parent_span_id == span.span_id:
        yield "span is its own parent"
    if span.kind not in KINDS:
        yield f"kind {span.kind}"
    if span.end_time_unix_nano < span.start_time_unix_nano:
        yield "ends before it starts"
    if abs(span.end_time_unix_nano / 1e9 - time.time()) > 600:
        yield f"end time {span.end_time_unix_nano} is not today"
    if not span.name:
        yield "no name"
    if span.status.code not in (0, 2):
        yield f"status {span.status.code}"
    if not span.flags & 0x100:
        yield f"flags {span.flags:#x} do not say whether the parent is remote"
    if not span.flags & 0x01:
        yield "an unsampled span was exported"
    for what, items in [("span", [span]), ("event", span.events), ("link", span.links)]:
        for item in items:
            keys = [kv.key for kv in item.attributes]
            if len(keys) != len(set(keys)):
                yield f"{what} has an attribute twice: {sorted(keys)}"
            if "" in keys:
                yield f"{what} has an attribute without key"
            for kv in item.attributes:
                if kv.value.WhichOneof("value") is None:
                    yield f"{what} attribute {kv.key} has no value"
    for link in span.links:
        if not any(link.trace_id) or not any(link.span_id):
            yield "link without ids"
    yield from convention_problems(span)


def convention_problems(span):
    """What the HTTP semantic conventions (1.44.0) require of every HTTP span."""
    attributes = {kv.key: plain_value(kv.value) for kv in span.attributes}
    if "http.request.method" not in attributes:
        return
    required = ["url.path", "url.scheme"] if span.kind == 2 else ["url.full", "server.address"]
    if attributes["http.request.method"] == "CONNECT":  # its target is no URL
        required = ["server.address"]
    for key in required:
        if key not in attributes:
            yield f"{KINDS.get(span.kind)} span without {key}"
    status = attributes.get("http.response.status_code")
    if status is not None and not isinstance(status, int):
        yield f"status code {status!r} is not a number"
        return
    failed = "error.type" in attributes
    if failed != (span.status.code == 2):
        yield f"error.type {attributes.get('error.type')!r} with status {span.status.code}"
    if status is not None and status >= (500 if span.kind == 2 else 400) and not failed:
        yield f"{status} without error.type"


class Store:
    """Spans in the order they came; safe from any thread."""

    def __init__(self):
        self._changed = threading.Condition()
        self._spans = []
        self.problems = []
        self.at_least_once = False  # a batch may come again, word for word, when its sender was killed over it
        self.repeated = 0
        self.requests = 0
        self.scopes = []

    def note(self, problem):
        with self._changed:
            self.problems.append(problem)

    def add(self, message):
        spans = []
        for group in message.resource_spans:
            resource = {kv.key: plain_value(kv.value) for kv in group.resource.attributes}
            if len(resource) != len(group.resource.attributes):
                self.note("resource has an attribute twice")
            for key in ("service.name", "service.instance.id", "telemetry.sdk.name", "telemetry.sdk.language"):
                if not resource.get(key):
                    self.note(f"resource without {key}")
            if not group.schema_url:
                self.note("resource without schema url")
            for scope in group.scope_spans:
                if not scope.schema_url:
                    self.note("scope without schema url")
                if not scope.scope.name:
                    self.note("scope without name")
                for span in scope.spans:
                    for problem in span_problems(span):
                        self.note(f"{span.name!r}: {problem}")
                    spans.append(Span(span, resource))
        with self._changed:
            known = {s.span_id: s for s in self._spans}
            for span in spans:
                first = known.get(span.span_id)
                if not first:
                    known[span.span_id] = span
                    self._spans.append(span)
                    continue
                self.repeated += 1
                if not self.at_least_once or vars(first) != vars(span):
                    self.problems.append(f"span {span.span_id} came twice")
            self.requests += 1
            self._changed.notify_all()

    @property
    def spans(self):
        with self._changed:
            return list(self._spans)

    def clear(self):
        with self._changed:
            self._spans.clear()

    def wait_for(self, predicate, deadline=DEADLINE, what=""):
        """Waits until predicate(spans) is true and returns its value; fails with the spans at hand."""
        end = time.monotonic() + deadline
        with self._changed:
            while True:
                result = predicate(list(self._spans))
                if result:
                    return result
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            listing = "\n".join(f"  {s}" for s in self._spans[:50])
            sorts = Counter(f"{s.service} {s.kind} {s.name}" for s in self._spans)
            counts = "\n".join(f"  {n} times {sort}" for sort, n in sorted(sorts.items())[:50])
            raise AssertionError(f"not within {deadline} s: {what or predicate}; have {len(self._spans)} spans\n{counts}\n{listing}")

    def wait_count(self, count, deadline=DEADLINE, **wanted):
        """Waits for `count` spans that match, and returns all that match."""
        self.wait_for(lambda spans: len(find(spans, **wanted)) >= count, deadline, f"{count} spans {wanted}")
        return find(self.spans, **wanted)


def find(spans, kind=None, name=None, path=None, service=None, where=None, **attributes):
    """Spans that match everything given. Attribute names have dots for double underscores."""
    def matches(span):
        return ((kind is None or span.kind == kind) and (name is None or span.name == name)
                and (path is None or span.path == path) and (service is None or span.service == service)
                and (where is None or where(span))
                and all(span.attributes.get(k.replace("__", ".")) == v for k, v in attributes.items()))
    return [s for s in spans if matches(s)]


def in_order(spans):
    """By when they began: batches do not arrive in the order in which they were sent."""
    return sorted(spans, key=lambda s: s.start)


class Node:
    def __init__(self, span):
        self.span = span
        self.children = []

    def draw(self, depth=0):
        s = self.span
        lines = ["  " * depth + f"{s.kind} {s.name!r} {s.path} "
                 f"{s.attributes.get('http.response.status_code', s.attributes.get('error.type', ''))} ({s.service})"]
        for child in self.children:
            lines.extend(child.draw(depth + 1))
        return lines


def build_trees(spans):
    """Links spans of all services by their parents. returns (roots, spans whose parent is not there)"""
    nodes = {s.span_id: Node(s) for s in spans}
    roots, dangling = [], []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id)
        if parent and parent.span.trace_id == node.span.trace_id:
            parent.children.append(node)
        elif node.span.parent_id:
            dangling.append(node)
        else:
            roots.append(node)
    for node in nodes.values():
        node.children.sort(key=lambda n: n.span.start)
    return sorted(roots, key=lambda n: n.span.start), dangling


def draw(spans):
    roots, dangling = build_trees(spans)
    lines = [line for root in roots for line in root.draw()]
    lines += [f"parent {n.span.parent_id} unknown: {line}" for n in dangling for line in n.draw()]
    return "\n".join(lines)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:  # a sender that was killed
            pass

    def do_POST(self):
        try:
            self.take()
        except ConnectionError:
            pass
        except Exception as error:
            self.server.store.note(f"the collector stumbled: {error!r}")
            raise

    def take(self):
        store = self.server.store
        length = self.headers.get("Content-Length")
        if length is None:
            store.note("POST without Content-Length")
            return self.answer(411, b"", "text/plain")
        body = self.rfile.read(int(length))
        if self.path != "/v1/traces":
            store.note(f"POST to {self.path}")
            return self.answer(404, b"", "text/plain")
        if self.headers.get("Content-Type") != "application/x-protobuf":
            store.note(f"Content-Type {self.headers.get('Content-Type')!r}")
            return self.answer(415, b"", "text/plain")
        if not self.headers.get("User-Agent", "").strip():
            store.note("no User-Agent")
        for name in ("traceparent", "b3", "uber-trace-id"):
            if name in self.headers:
                store.note(f"our own export carries {name}")
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding != "identity":
            store.note(f"Content-Encoding {encoding}")
        self.server.encodings.append(encoding)
        self.server.request_headers.append(dict(self.headers))
        message = ExportTraceServiceRequest()
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            store.note(f"undecodable: {error}")
            return self.answer(400, b"", "text/plain")
        for problem in unknown_fields(message):
            store.note(problem)
        if not message.resource_spans:
            store.note("empty export")
        store.add(message)
        return self.answer(200, ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Collector(Store):
    """`with Collector() as c:` … c.endpoint, c.spans, c.wait_for(…)."""

    def __init__(self, port=0):
        super().__init__()
        self._wanted_port = port

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", self._wanted_port), Handler)
        self._server.daemon_threads = True
        self._server.store = self
        self._server.encodings = self.encodings = []
        self._server.request_headers = self.request_headers = []
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
