"""Plays scripts of sending calls (test-apps/inject_driver.c) to a peer that keeps every byte, and judges the
difference: only whole header lines of ours, only in front of the blank line of an HTTP/1 request's header."""
import re
import socket
import tempfile
import threading
import time
from pathlib import Path

from .preload import Program, app

OURS = re.compile(rb"((?:traceparent|tracestate|baggage|b3|x-b3-[a-z]+|uber-trace-id|uberctx-[^:\r\n]+|"
                  rb"x-amzn-trace-id): [\x20-\x7e]*\r?\n)+", re.I)
TRACEPARENT = re.compile(rb"traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})\r?\n")


class Peer:
    """Accepts one connection and reads it to its end.

    take      bytes per recv
    hold      reads nothing before release() is called
    tls       an ssl.SSLContext: the bytes are those inside TLS
    answers   sent, one each time the given number of blank lines has come in (for drivers that wait)
    """

    def __init__(self, take=65536, hold=False, answers=(), receive_buffer=0, path=None, answer_after=b"\r\n\r\n", tls=None):
        self.tls = tls
        self.take, self.answers, self.path = take, list(answers), path
        self.answer_after = answer_after
        self.received = b""
        self.receive_buffer = receive_buffer
        self._free = threading.Event()
        if not hold:
            self._free.set()

    def __enter__(self):
        self._listener = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        if self.receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self._listener.bind(self.path or ("127.0.0.1", 0))
        self.port = 0 if self.path else self._listener.getsockname()[1]
        self._listener.listen(1)
        self._listener.settimeout(20)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def release(self):
        self._free.set()

    def _read(self):
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.settimeout(30)
        if self.tls:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return
        with sock:
            self._free.wait(30)
            sent = 0
            while True:
                try:
                    data = sock.recv(self.take)
                except OSError:
                    return
                if not data:
                    return
                self.received += data
                while sent < len(self.answers) and self.received.count(self.answer_after) > sent:
                    sock.sendall(self.answers[sent])
                    sent += 1

    def __exit__(self, *_):
        self._free.set()
        self._thread.join(20)
        self._listener.close()


class Sent:
    """What one script did: the driver's output, and both byte streams."""

    def __init__(self, output, errors, status, stream, received):
        self.output, self.errors, self.status, self.stream, self.received = output, errors, status, stream, received

    def insertions(self):
        """[(offset in the stream, inserted bytes)]; AssertionError when the difference is anything else."""
        found, at, pos = [], 0, 0
        blanks = [m.end() for m in re.finditer(rb"\n(?=\r?\n)", self.stream)]
        for stop in blanks + [len(self.stream)]:
            want, have = self.stream[at:stop], self.received[pos:pos + stop - at]
            if want != have:
                i = next((i for i, (a, b) in enumerate(zip(want, have)) if a != b), min(len(want), len(have)))
                raise AssertionError(f"byte {at + i}: sent …{self.stream[max(0, at + i - 40):at + i + 40]!r}, "
                                     f"received …{self.received[max(0, pos + i - 40):pos + i + 40]!r}")
            at, pos = stop, pos + stop - at
            # Ours stand where the stream has the blank line.
            match = OURS.match(self.received, pos)
            if match and stop in blanks and not self.stream.startswith(match.group(0), at):
                found.append((at, match.group(0)))
                pos = match.end()
        assert pos == len(self.received), f"{len(self.received) - pos} bytes too many: {self.received[pos:pos + 80]!r}"
        return found


def play(script, stream, preload=True, endpoint=None, take=65536, hold=False, answers=(), settings=None,
         receive_buffer=0, unix=False, deadline=30):
    """Runs `script` (lines; the connect line is put in front, shutdown and reading to the end are added).

    hold   the peer reads only when the driver has been stuck once
    """
    with tempfile.TemporaryDirectory(prefix="otelauto-test-") as folder:
        path = f"{folder}/peer.sock" if unix else None
        with Peer(take, hold, answers, receive_buffer, path) as peer:
            lines = [f"unix {path}" if unix else f"connect {peer.port}"] + list(script) + ["shutdown", "recv 0"]
            Path(folder, "script").write_text("\n".join(lines) + "\n")
            Path(folder, "stream").write_bytes(stream)
            argv = [app("inject_driver"), f"{folder}/script", f"{folder}/stream"]
            with Program(argv, endpoint=endpoint, service="driver", settings=settings, preload=preload) as program:
                end = time.monotonic() + deadline
                while hold and program.process.poll() is None and "stuck" not in program.stdout:
                    assert time.monotonic() < end, "the driver never got stuck"
                    time.sleep(0.005)
                peer.release()
                result = program.wait(deadline)
        output = result.stdout.replace(str(peer.port), "PORT")
        return Sent(output, result.stderr, result.status, stream, peer.received)
