"""A collector that misbehaves on request, and the runner of emit_spans.

Each request takes the next action of the script; the last one repeats. What arrives is decoded and judged by
the strict store of lib/collector.py when the action is one that accepts."""
import gzip
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from lib import otlp_json
from lib.collector import Store, unknown_fields

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("OTELAUTO_APPS", TOP / "build-tests" / "test-apps")).parent
EMIT = BUILD / "tests" / "export" / "emit_spans"
PROTOBUF = [("Content-Type", "application/x-protobuf")]


# -- actions: what is done with a request that was read --

def answer(status=200, headers=(), body=b""):
    def act(fake, conn, request):
        if status == 200:
            fake.accept(request)
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{k}: {v}" for k, v in headers), f"Content-Length: {len(body)}"]
        conn.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return True
    return act


def ok():
    return answer(200, PROTOBUF, ExportTraceServiceResponse().SerializeToString())


def partial(rejected, message):
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return answer(200, PROTOBUF, response.SerializeToString())


def raw(*chunks, pause=0.0, reset=False):
    """Sends pieces as they are, then closes, or resets."""
    def act(fake, conn, request):
        for chunk in chunks:
            conn.sendall(chunk)
            if fake.stopped.wait(pause):
                break
        if reset:
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    return act


def drip():
    """One byte a second, for ever."""
    return raw(*([b"H", b"T", b"T", b"P"] + [b"x"] * 60), pause=1.0)


def silent():
    def act(fake, conn, request):
        fake.stopped.wait(60)
        return False
    return act


def delayed(seconds, then):
    def act(fake, conn, request):
        fake.stopped.wait(seconds)
        return then(fake, conn, request)
    return act


class Request:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body, self.at = path, headers, body, time.time()


class Fake(Store):
    """`with Fake(ok()) as c:` … c.endpoint, c.spans, c.received."""

    def __init__(self, *script, unix=None, tls=None, convention=True):
        super().__init__()
        self.script = list(script) or [ok()]
        self.unix, self.tls = unix, tls
        self.received = []
        self.connections = 0
        self.stopped = threading.Event()

    def __enter__(self):
        if self.unix:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(self.unix)
            self.endpoint = f"unix://{self.unix}"
        else:
            self.socket = socket.socket()
            self.socket.bind(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
            self.endpoint = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self.socket.listen(64)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()

    def serve(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(conn,), daemon=True).start()

    def talk(self, conn):
        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            self.connections += 1
            while (request := self.read(conn)) and self.next_action()(self, conn, request):
                pass
        except (OSError, ssl.SSLError):
            pass
        finally:
            conn.close()

    def next_action(self):
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def read(self, conn):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = conn.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        named = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if "content-length" not in named:  # HTTP/2's preface, say
            return None
        while len(body) < int(named["content-length"]):
            body += conn.recv(1 << 20)
        request = Request(first.split(" ")[1], named, body)
        request.first, request.lines = first, lines
        self.received.append(request)
        return request

    def accept(self, request):
        body = request.body
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest()
        request.message = message
        if request.headers["content-type"] == "application/json":
            self.accept_json(message, body)
            return
        message.ParseFromString(body)
        for problem in unknown_fields(message):
            self.note(problem)
        if message.SerializeToString() is None or len(message.SerializeToString()) != len(body):
            self.note("the request is longer than it need be")
        self.add(message)

    def accept_json(self, message, body):
        try:
            otlp_json.message(body, message)
        except (otlp_json.Wrong, otlp_json.json_format.ParseError, ValueError) as problem:
            self.note(str(problem))
        self.add(message)


def closed_port():
    """A port of 127.0.0.1 that refuses, and the socket that keeps it so."""
    keeper = socket.socket()
    keeper.bind(("127.0.0.1", 0))
    return keeper.getsockname()[1], keeper


class Outcome:
    def __init__(self, done, lines):
        self.stderr = done.stderr
        self.lines = [json.loads(line) for line in lines]
        self.__dict__.update(self.lines[-1])

    def counts(self):
        return {"ok": self.ok, "rejected": self.rejected, "failed": self.failed}


def emit(endpoint=None, *options, exporter="otlp", batches=1, spans=7, deadline=15000, cwd=None, timeout=60, **env):
    """Runs emit_spans with these settings and nothing else in its environment."""
    environ = {"OTEL_SERVICE_NAME": "emit", **env}
    if endpoint:
        environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    done = subprocess.run([EMIT, exporter, str(batches), str(spans), str(deadline), *options], env=environ, cwd=cwd,
                          capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"emit_spans ended with {done.returncode}: {done.stderr}"
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    return Outcome(done, lines)
