"""A stand-in for a MongoDB server: enough of it for drivers to find, insert and fail. It counts what it is asked."""
import socket
import struct
import threading
from collections import Counter

import bson

DOCUMENTS = [{"_id": i, "name": "hunter2"} for i in range(5)]


def answer(command):
    name = next(iter(command))
    if name in ("hello", "isMaster", "ismaster"):
        return {"ok": 1.0, "isWritablePrimary": True, "ismaster": True, "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48000000,
                "maxWriteBatchSize": 100000, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": False, "helloOk": True,
                "logicalSessionTimeoutMinutes": 30}
    if name == "find":
        return {"ok": 1.0, "cursor": {"id": 77, "ns": "shop." + command["find"], "firstBatch": DOCUMENTS[:2]}}
    if name == "getMore":
        return {"ok": 1.0, "cursor": {"id": 0, "ns": "shop." + command["collection"], "nextBatch": DOCUMENTS[2:]}}
    if name == "insert" and command["insert"] == "unique":
        return {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "hunter2"}]}
    if name in ("insert", "update", "delete"):
        return {"ok": 1.0, "n": 1, "nModified": 1}
    if name in ("ping", "endSessions", "killCursors", "drop"):
        return {"ok": 1.0}
    return {"ok": 0.0, "errmsg": "hunter2", "code": 59, "codeName": "CommandNotFound"}


class Server:
    """with Server() as server: server.port, server.asked"""

    def __init__(self):
        self.asked, self.last = Counter(), 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        file = connection.makefile("rb")
        while len(head := file.read(16)) == 16:
            length, request, _, op = struct.unpack("<iiii", head)
            body = file.read(length - 16)
            flags = 0
            if op == 2004:
                command = bson.decode(body[4 + body.index(b"\0", 4) - 4 + 1 + 8:])
            else:
                flags, = struct.unpack_from("<I", body)
                command = self.sections(body[4:-4] if flags & 1 else body[4:])
            self.asked[next(iter(command))] += 1
            if flags & 2:
                continue
            document = bson.encode(answer(command))
            self.last += 1
            if op == 2004:
                data = struct.pack("<iqii", 8, 0, 0, 1) + document
                op = 1
            else:
                data = struct.pack("<I", 0) + b"\0" + document
            connection.sendall(struct.pack("<iiii", 16 + len(data), self.last, request, op) + data)

    @staticmethod
    def sections(body):
        command = None
        while body:
            kind, length = body[0], struct.unpack_from("<i", body, 1)[0]
            if kind == 0:
                command = bson.decode(body[1:1 + length])
            body = body[1 + length:]
        return command
