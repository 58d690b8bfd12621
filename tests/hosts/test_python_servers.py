"""gunicorn (processes, threads), uvicorn and aiohttp, each calling an upstream for every request."""
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from kit import OTHER_HOSTS, both, exact, kill, leaf_saw, listen, wait_until
from lib.collector import find
from lib.loadgen import Connection, Load
from lib.truth import SETTINGS, judge
from load import Storm


# A larger queue than the standard one would not be in shared memory, where it outlives a worker.
HEADERS = {k: v for k, v in SETTINGS.items() if k != "OTEL_BSP_MAX_QUEUE_SIZE"}


def python_with(*modules):
    check = subprocess.run([sys.executable, "-c", "".join(f"import {m};" for m in modules)], capture_output=True)
    if check.returncode:
        pytest.fail(f"no {modules} in the tests' environment: see tests/requirements.txt")
    return sys.executable


@contextmanager
def started(way, argv, leaf, service, workers=0, settings=None):
    port = way.port()
    words = [str(w).format(port=port, leaf=leaf.port) for w in argv]
    with way.program(words, service=service, settings={"LEAF": str(leaf.port), **HEADERS, **(settings or {})},
                     cwd=str(OTHER_HOSTS)) as program:
        tree = listen(program, port)
        wait_until(lambda: len(tree.workers()) >= workers, what=f"{workers} workers")
        yield program, tree, port


def gunicorn(*options):
    return [python_with("gunicorn"), "-m", "gunicorn", "-b", "127.0.0.1:{port}", "--log-level", "warning", *options, "wsgi:app"]


def uvicorn(*options):
    return [python_with("uvicorn"), "-m", "uvicorn", "--port", "{port}", "--log-level", "warning", *options, "asgi:app"]


# name: (words, processes it forks, whether it keeps connections alive, whether every parent can be told)
SERVERS = {
    "gunicorn sync": (lambda: gunicorn("-w", "4"), 4, False, True),
    "gunicorn preload": (lambda: gunicorn("-w", "4", "--preload"), 4, False, True),
    "gunicorn threads": (lambda: gunicorn("-w", "2", "--threads", "8"), 2, True, True),
    "uvicorn": (lambda: uvicorn(), 0, True, False),
    "uvicorn workers": (lambda: uvicorn("--workers", "2"), 2, True, False),
    "aiohttp": (lambda: [python_with("aiohttp"), "aiohttp_server.py", "{port}", "{leaf}"], 0, True, False),
    "http.server": (lambda: [python_with("http.server"), "threads_server.py", "{port}", "{leaf}"], 0, True, True),
}
each = pytest.mark.parametrize("name", SERVERS)


@each
def test_serving_and_calling(ways, leaf, name):
    argv, workers, keep_alive, certain = SERVERS[name]

    def scenario(way):
        with started(way, argv(), leaf, "app", workers) as (program, tree, port):
            with Connection(port) as c:
                first = [c.request("/x/one")[::2]]
            load = Load(port, 300, 8, keep_alive=keep_alive).run()
            requests = leaf.wait_count(301)
            assert len(requests) == 301
            leaf_saw(leaf, 301, way.ours)
            if way.ours:
                executed = name == "uvicorn workers"  # multiprocessing's spawn
                exact(way, tree, 301, executed=executed)
                exact(way, tree, 301, role="CLIENT", executed=executed)
                verdict = judge(requests, way.collector.spans)
                assert not verdict.wrong, verdict.wrong[0]
                assert verdict["right"] == 301 or not certain, verdict
            way.same_fds(tree)
            return first, load.statuses(), way.seen(program)
    both(ways, scenario)


@pytest.mark.parametrize("name", ["gunicorn sync", "gunicorn threads"])
def test_workers_killed_and_reloaded_under_load(ways, leaf, name):
    argv, workers, keep_alive, _ = SERVERS[name]

    def scenario(way):
        with started(way, argv(), leaf, "app", workers) as (program, tree, port):
            with Storm(port, path=lambda i: f"/x/{i}") as storm:
                for turn in range(4):
                    before = set(tree.workers())
                    if turn % 2:
                        program.send_signal(signal.SIGHUP)
                        wait_until(lambda: not before & set(tree.workers()), 60, "the old workers to leave")
                    else:
                        kill(min(before), signal.SIGKILL)
                    wait_until(lambda: len(set(tree.workers()) - before) >= (workers if turn % 2 else 1), 30, "new workers")
                    storm.wait_more(100)
            # A thread of the killed worker may have answered and not come to the note of it.
            killed = 2 * (8 if "threads" in name else 1)
            assert storm.broken <= 2 * storm.connections
            del leaf.requests[:]
            if way.ours:
                storm.judge(way, tree, also_calls=True, killed=killed)
            return storm.statuses(), program.result or program.stop().status
    both(ways, scenario)


def test_context_of_the_caller(ways, leaf):
    """A request that brings a traceparent: the whole chain is in its trace."""
    def scenario(way):
        argv, workers, _, _ = SERVERS["gunicorn sync"]
        trace, parent = "3c" * 16, "4d" * 8
        with started(way, argv(), leaf, "app", workers) as (program, tree, port):
            with Connection(port) as c:
                c.request("/x/1", headers=[("traceparent", f"00-{trace}-{parent}-01")])
            request, = leaf.wait_count(1)
            del leaf.requests[:]
            if way.ours:
                server, = way.collector.wait_count(1, kind="SERVER")
                call, = way.collector.wait_count(1, kind="CLIENT")
                assert (server.trace_id, server.parent_id) == (call.trace_id, parent) == (trace, parent)
                assert call.parent_id == server.span_id
                assert request.get("traceparent").split("-")[1:3] == [trace, call.span_id]
            else:
                assert request.get("traceparent") is None  # the application does not pass it on
            return way.seen(program)
    both(ways, scenario)
