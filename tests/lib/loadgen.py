"""HTTP/1 load over raw sockets: every request has an id of its own in its path and in X-Truth, and every
answer is checked to be complete.

Runs in threads; nothing here is fast, everything is exact."""
import random
import socket
import threading
from collections import Counter


class Broken(Exception):
    """The connection ended before the answer did."""


class Connection:
    """One client connection that reads exactly one answer at a time."""

    def __init__(self, port=None, path=None, host="127.0.0.1", timeout=20, tls=None):
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(path)
        else:
            self.sock = socket.create_connection((host, port), timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=host)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionError as error:
            raise Broken(str(error)) from error
        if not data:
            raise Broken(f"end of stream after {self.buffer[:80]!r}")
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _take(self, count):
        while len(self.buffer) < count:
            self._fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _chunks(self):
        body = b""
        while True:
            size = int(self._line().split(b";")[0], 16)
            if size == 0:
                break
            body += self._take(size)
            self._line()
        while self._line():
            pass
        return body

    def head(self):
        """returns (status, {header: value})"""
        status = int(self._line().split()[1])
        headers = {}
        while True:
            line = self._line()
            if not line:
                return status, headers
            name, _, value = line.partition(b":")
            headers[name.strip().lower().decode()] = value.strip().decode("latin-1")

    def answer(self, method="GET"):
        """One whole answer, 1xx skipped. returns (status, headers, body)"""
        while True:
            status, headers = self.head()
            if status >= 200 or status == 101:
                break
        if method == "HEAD" or status in (101, 204, 304) or (method == "CONNECT" and status == 200):
            return status, headers, b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return status, headers, self._chunks()
        if "content-length" in headers:
            return status, headers, self._take(int(headers["content-length"]))
        while True:
            try:
                self._fill()
            except Broken:
                body, self.buffer = self.buffer, b""
                return status, headers, body

    def request(self, path, method="GET", headers=(), body=b""):
        self.send(request_bytes(path, method, headers, body))
        return self.answer(method)


def request_bytes(path, method="GET", headers=(), body=b"", host="test"):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"] + [f"{k}: {v}" for k, v in headers]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def new_id(rng=random):
    return f"{rng.getrandbits(64):016x}"


class Load:
    """`requests` requests over `connections` connections.

    keep_alive   one connection for all of a worker's requests, else one each
    pipeline     so many requests are sent before the first answer is read
    path, headers  functions of the id
    tolerant     a broken connection is counted and replaced, and its unanswered requests are not repeated
    """

    def __init__(self, port, requests, connections=8, keep_alive=True, pipeline=1, path=None, headers=None,
                 tolerant=False, start_together=False, tls=None):
        self.tls = tls
        self.port, self.requests, self.connections = port, requests, connections
        self.keep_alive, self.pipeline, self.tolerant = keep_alive, pipeline, tolerant
        self.path = path or (lambda ident: f"/t/{ident}")
        self.headers = headers or (lambda ident: [("X-Truth", ident)])
        self.ids = [new_id() for _ in range(requests)]
        self.answers = {}      # id -> (status, body)
        self.broken = 0
        self.errors = []
        self._lock = threading.Lock()
        self._todo = list(reversed(self.ids))
        self._barrier = threading.Barrier(connections) if start_together else None

    def _next(self):
        with self._lock:
            batch = [self._todo.pop() for _ in range(min(self.pipeline, len(self._todo)))]
        return batch

    def _batch(self, connection, batch):
        connection.send(b"".join(request_bytes(self.path(i), headers=self.headers(i)) for i in batch))
        for ident in batch:
            status, _, body = connection.answer()
            with self._lock:
                self.answers[ident] = (status, body)

    def _work(self):
        connection = None
        if self._barrier:
            connection = Connection(self.port, tls=self.tls)
            self._barrier.wait(20)
        while True:
            batch = self._next()
            if not batch:
                break
            try:
                connection = connection or Connection(self.port, tls=self.tls)
                self._batch(connection, batch)
            except (Broken, OSError) as error:
                with self._lock:
                    self.broken += 1
                    if not self.tolerant:
                        self.errors.append(error)
                        return
                if connection:
                    connection.close()
                connection = None
                continue
            if not self.keep_alive:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def run(self):
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            if thread.is_alive():
                raise AssertionError("load still runs")
        if self.errors:
            raise AssertionError(f"{len(self.errors)} connections failed, first: {self.errors[0]!r}")
        return self

    def statuses(self):
        return Counter(status for status, _ in self.answers.values())
