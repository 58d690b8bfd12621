"""Records what passes between a client and a server: one file for each direction of each connection.

    python3 tests/lib/record.py LISTEN_PORT TARGET FOLDER NAME    until interrupted; TARGET is HOST:PORT or a path

writes FOLDER/rec_NAME.client.in and FOLDER/rec_NAME.server.in; the second connection is called rec_NAME-2 and so on.
"""
import socket
import sys
import threading
from pathlib import Path


class Recorder:
    """with Recorder(target, folder, name) as port: let a client talk to 127.0.0.1:port"""

    def __init__(self, target, folder, name, port=0, limit=24_000):
        self.target, self.folder, self.name, self.limit = target, Path(folder), name, limit
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.threads, self.count = [], 0

    def __enter__(self):
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()
        return self.port

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)
        for thread in self.threads:
            thread.join(10)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            name = self.name if self.count == 1 else f"{self.name}-{self.count}"
            if isinstance(self.target, tuple):
                server = socket.create_connection(self.target)
            else:
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
            for source, sink, who in ((client, server, "client"), (server, client, "server")):
                thread = threading.Thread(target=self.copy, args=(source, sink, f"rec_{name}.{who}.in"), daemon=True)
                thread.start()
                self.threads.append(thread)

    def copy(self, source, sink, name):
        kept = b""
        try:
            while data := source.recv(65536):
                kept += data[:self.limit - len(kept)]
                sink.sendall(data)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        (self.folder / name).write_bytes(kept)


def main():
    listen, target, folder, name = sys.argv[1:]
    if not target.startswith("/"):
        host, port = target.rsplit(":", 1)
        target = (host, int(port))
    recorder = Recorder(target, folder, name, int(listen))
    with recorder:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
