"""What processes leave that end without us: by _exit(), or killed. Whoever of the tree is still there sends it, at its own
end at the latest."""
import sys

import pytest

from lib.collector import find
from lib.metrics import scrape
from lib.preload import Program, run
from preload.test_counts import lost, metrics_port

# No process sends anything before its end.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}

TREE = r"""
import os, signal, socket, sys, time

port, act = int(sys.argv[1]), sys.argv[2]


def call(path):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        while s.recv(4096):
            pass


def child(path, end, more=None):
    pid = os.fork()
    if not pid:
        call(path)
        if more:
            more()
        end()
    return pid


def leave():
    os._exit(0)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def listen():
    s = socket.create_server(("127.0.0.1", 0))
    s.listen()
    return s


if act == "parent calls":
    call("/parent")
    os.waitpid(child("/child", leave), 0)
elif act == "nobody waits":
    call("/parent")
    read, write = os.pipe()
    child("/child", leave)
    os.close(write)
    os.read(read, 1)  # until it is gone
elif act == "killed":
    call("/parent")
    os.waitpid(child("/child", die), 0)
elif act == "parent listens":
    listening = listen()
    os.waitpid(child("/child", leave), 0)
elif act == "grandchild":
    listening = listen()
    os.waitpid(child("/child", leave, lambda: os.waitpid(child("/grandchild", die), 0)), 0)
elif act == "many":
    listening = listen()
    for i in range(12):
        os.waitpid(child(f"/child/{i}", leave), 0)
"""

PATHS = {
    "parent calls": ["/child", "/parent"], "nobody waits": ["/child", "/parent"], "killed": ["/child", "/parent"],
    "parent listens": ["/child"], "grandchild": ["/child", "/grandchild"], "many": sorted(f"/child/{i}" for i in range(12)),
}


@pytest.mark.parametrize("settings", [{}, {"OTEL_METRICS_EXPORTER": "none"}], ids=["endpoint", "no endpoint"])
@pytest.mark.parametrize("act", PATHS)
def test_the_last_process_sends_what_the_others_left(collector, leaf, act, settings):
    result = run([sys.executable, "-c", TREE, leaf.port, act], endpoint=collector.endpoint, settings={**LATE, **settings})
    assert result.status == 0, result.stderr
    spans = find(collector.spans, kind="CLIENT")
    assert sorted(s.path for s in spans) == PATHS[act] == sorted(s.path for s in collector.spans)
    assert len({s.resource["process.pid"] for s in spans}) == len(spans), "each under its own name"
    assert len({s.resource["service.instance.id"] for s in spans}) == len(spans)
