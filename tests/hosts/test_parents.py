"""64 parallel requests through each server to an upstream, with the true parent in the payload: a wrong parent is a defect, none
is honest. The table is printed at the end of the run. (Python, node and nginx: tests/preload/test_truth.py)"""
from contextlib import contextmanager

import pytest

from kit import Way, listen
from lib.truth import SETTINGS, drive
from test_java import classes, java  # noqa: F401 (a fixture)
from webs import apache, haproxy, lighttpd


@pytest.fixture
def way(folder, collector):
    return Way(True, folder, collector, {})


def through(start):
    """start(leaf's port) gives (program, tree, port); drive() wants the port."""
    @contextmanager
    def run(leaf_port):
        with start(leaf_port) as (program, _, port):
            yield port
            assert program.process.poll() is None
    return run


# The share of right parents. Where a server reads several requests before it acts on them, it is a matter of timing: any.
SERVERS = {
    "apache event": (lambda way: lambda up: apache(way, "event", up=up, settings=SETTINGS), 1.0),
    "apache prefork": (lambda way: lambda up: apache(way, "prefork", up=up, settings=SETTINGS), 1.0),
    "lighttpd": (lambda way: lambda up: lighttpd(way, up=up, settings=SETTINGS), 0.0),
    "haproxy": (lambda way: lambda up: haproxy(way, up, 2, settings=SETTINGS), 0.0),
}


@pytest.mark.parametrize("same_path", [False, True], ids=["own-path", "same-path"])
@pytest.mark.parametrize("name", SERVERS)
def test_web_servers(way, name, same_path):
    make, share = SERVERS[name]
    title = name + (", same path" if same_path else "")
    # Apache's event MPM closes connections that wait for their next request while all threads are busy.
    verdict = drive(title, way.collector, through(make(way)), rounds=2, same_path=same_path, keep_alive=name != "apache event")
    assert verdict["right"] >= share * 128, verdict


@pytest.mark.parametrize("client", ["old", "new"])
def test_java(way, classes, client):  # noqa: F811
    @contextmanager
    def start(leaf_port):
        port = way.port()
        with way.program([*java(classes), "Server", port, leaf_port, client], service="java", settings=SETTINGS) as program:
            yield program, listen(program, port), port
    verdict = drive(f"java, {client} client", way.collector, through(start), rounds=2)
    assert client == "new" or verdict["right"] == 128, verdict
