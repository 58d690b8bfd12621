"""The last server of a chain: never instrumented, answers anything, and remembers the exact bytes and headers
of every request."""
import random
import socket
import threading
import time


class Request:
    def __init__(self, method, target, headers, raw, body):
        self.method, self.target, self.headers, self.raw, self.body = method, target, headers, raw, body

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name]

    def get(self, name, default=None):
        """The only value of a header; more than one is an error."""
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{name} came {len(values)} times: {values}")
        return values[0] if values else default

    def __repr__(self):
        return f"<{self.method} {self.target} {self.headers}>"


class Leaf:
    """with Leaf() as leaf: leaf.port, leaf.requests. delay: seconds, or (low, high) to mix up the order of
    answers. path: an AF_UNIX socket instead. tls: an ssl.SSLContext. read_bytes: takes so few bytes at a time (slow reader)."""

    def __init__(self, delay=0, path=None, read_bytes=65536, receive_buffer=0, status=200, body=None, tls=None):
        self.tls = tls
        self.delay, self.path, self.read_bytes, self.receive_buffer = delay, path, read_bytes, receive_buffer
        self.status, self.body = status, body
        self.requests = []
        self.connections = 0
        self.gate = threading.Event()  # clear() it, and no request is answered until it is set
        self.gate.set()
        self._changed = threading.Condition()
        self._rng = random.Random(7)
        self._open = set()

    def __enter__(self):
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.path)
        else:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.receive_buffer:
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            self._listener.bind(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        self._listener.listen(512)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self._changed:
            for sock in list(self._open):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._thread.join(5)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.connections += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if not self.path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain = sock
            if self.tls:
                plain = self.tls.wrap_socket(sock, server_side=True, suppress_ragged_eofs=True)
            with plain:
                self._loop(plain)
                if self.tls:
                    plain.settimeout(5)
                    plain.unwrap()
        except OSError:
            pass
        finally:
            with self._changed:
                self._open.discard(sock)

    def _loop(self, sock):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = sock.recv(self.read_bytes)
                if not more:
                    return
                data += more
            head, rest = data.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            method, target, version = lines[0].split(" ")
            headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
            length = int(dict((k.lower(), v) for k, v in headers).get("content-length", 0))
            while len(rest) < length:
                more = sock.recv(self.read_bytes)
                if not more:
                    return
                rest += more
            request = Request(method, target, headers, head + b"\r\n\r\n", rest[:length])
            data = rest[length:]
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
                pause = self._rng.uniform(*self.delay) if isinstance(self.delay, tuple) else self.delay
            if pause:
                time.sleep(pause)
            self.gate.wait(60)
            close = (request.get("connection") or "").lower() == "close" or version == "HTTP/1.0"
            status = int(target.rsplit("/", 1)[1]) if target.startswith("/status/") else self.status
            body = self.body if self.body is not None else f"leaf {target}".encode()
            sock.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n".encode()
                         + (b"Connection: close\r\n" if close else b"") + b"\r\n"
                         + (b"" if method == "HEAD" else body))
            if close:
                return

    def wait_count(self, count, deadline=15):
        end = time.monotonic() + deadline
        with self._changed:
            while len(self.requests) < count:
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"leaf has {len(self.requests)} requests, not {count}")
                self._changed.wait(left)
            return list(self.requests)
