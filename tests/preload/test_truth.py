"""Who caused what, under concurrency: 64 parallel requests to each kind of server. A wrong parent is a defect
everywhere; where causality can be seen, right parents are demanded too. The table is printed at the end of the run."""
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib.leaf import Leaf
from lib.loadgen import Connection
from lib.preload import Program, app, free_port, wait_for_port, wait_until
from lib.truth import SETTINGS, drive, judge

HOSTS = Path(__file__).parent / "hosts"


def settings(**more):
    return {**SETTINGS, **more}


def c_server(collector, name, *arguments):
    @contextmanager
    def start(leaf_port):
        with Program([app(name), leaf_port, *arguments], endpoint=collector.endpoint, service=name,
                     settings=settings()) as program:
            yield program.port
    return start


def host_server(collector, argv, service, env=None):
    """argv: words with {port} and {leaf}."""
    @contextmanager
    def start(leaf_port):
        port = free_port()
        words = [w.format(port=port, leaf=leaf_port) for w in argv]
        more = {k: v.format(port=port, leaf=leaf_port) for k, v in (env or {}).items()}
        with Program(words, endpoint=collector.endpoint, service=service, settings=settings(**more),
                     cwd=str(HOSTS)) as program:
            wait_for_port(port)
            yield port
            assert program.process.poll() is None, program.stderr
    return start


# (program, arguments, share of right parents that the way it works allows to see)
CERTAIN, SOME = 1.0, 0.0
C_SERVERS = [
    ("thread_server", (), CERTAIN), ("prefork_server", ("64",), CERTAIN), ("pool_server", ("64",), CERTAIN),
    ("epoll_proxy", (), CERTAIN), ("coro_server", (), CERTAIN), ("epoll_defer", (), SOME), ("batch_server", (), SOME),
    ("offload_server", ("16",), SOME),
]
IDS = [name for name, _, _ in C_SERVERS]


def demand(verdict, share, total):
    assert verdict["wrong"] == 0
    assert verdict["right"] >= share * total, f"{verdict} of {total}"


@pytest.mark.parametrize("name,arguments,share", C_SERVERS, ids=IDS)
def test_parallel_requests_in_c_servers(collector, name, arguments, share):
    verdict = drive(name, collector, c_server(collector, name, *arguments))
    demand(verdict, share, 256)


@pytest.mark.parametrize("name,arguments,share", C_SERVERS, ids=IDS)
def test_same_path_for_all_so_that_only_causality_tells(collector, name, arguments, share):
    verdict = drive(f"{name}, same path", collector, c_server(collector, name, *arguments), same_path=True)
    demand(verdict, share, 256)


@pytest.mark.parametrize("name,arguments,share", C_SERVERS, ids=IDS)
def test_callers_context_is_never_given_to_another(collector, name, arguments, share):
    verdict = drive(f"{name}, remote parents", collector, c_server(collector, name, *arguments), remote=True)
    demand(verdict, share, 256)


@pytest.mark.parametrize("name,arguments,share", C_SERVERS, ids=IDS)
def test_a_connection_for_each_request(collector, name, arguments, share):
    verdict = drive(f"{name}, new connections", collector, c_server(collector, name, *arguments), keep_alive=False,
                    same_path=True)
    demand(verdict, share, 256)


@pytest.mark.parametrize("name,arguments,share", [c for c in C_SERVERS if c[0] != "prefork_server"],
                         ids=[i for i in IDS if i != "prefork_server"])
def test_one_request_at_a_time_is_always_right(collector, name, arguments, share):
    """But for a thread's first call on behalf of a loop that may not have gone back to wait yet."""
    verdict = drive(f"{name}, one at a time", collector, c_server(collector, name, *arguments), parallel=1, rounds=30,
                    delay=0)
    # A worker that is quicker than the loop, which has not gone on to wait, could be anybody.
    demand(verdict, 1 / 30 if name == "offload_server" else CERTAIN, 30)


@pytest.mark.parametrize("name", ["epoll_defer", "shared_server", "offload_server"])
def test_work_that_overlaps_just_a_little(collector, name):
    """Two at a time: the place where guessing is most tempting."""
    drive(f"{name}, two at a time", collector, c_server(collector, name, "2"), parallel=2, rounds=100)


@pytest.mark.parametrize("parallel", [2, 4, 64])
def test_tasks_that_workers_take_from_each_other(collector, parallel):
    """Links at most, but for requests that were alone."""
    drive(f"shared_server dup, {parallel} at a time", collector, c_server(collector, "shared_server", "4", "dup"),
          parallel=parallel, rounds=256 // parallel, delay=(0.0, 0.005))


def test_connection_that_becomes_ready_when_anothers_answer_was_read(collector):
    """HAProxy's loop: what was read is worked on after connections that became ready have sent. The second request comes in a
    turn that another thread woke, so that nobody can tell what its connection is opened for; it becomes ready in the turn
    that reads the first one's answer."""
    with Leaf() as leaf, c_server(collector, "batch_server")(leaf.port) as port:
        def ask(name):
            c = Connection(port)
            c.send(f"GET /t/{name} HTTP/1.1\r\nHost: x\r\nX-Truth: {name}\r\n\r\n".encode())
            return c
        for i in range(8):  # what it does with one request at a time tells nothing about two
            with ask(f"warm-{i}") as c:
                assert c.answer()[0] == 200
        leaf.gate.clear()
        with ask("first") as first:
            leaf.wait_count(9)
            with ask("second") as second:
                wait_until(lambda: leaf.connections == 10, what="the second request's connection")
                leaf.gate.set()
                assert first.answer()[0] == second.answer()[0] == 200
        requests = leaf.wait_count(10)
        collector.wait_count(10, kind="SERVER")
        collector.wait_count(10, kind="CLIENT")
    verdict = judge(requests, collector.spans)
    assert not verdict.wrong, verdict.wrong
    assert verdict["right"] >= 9, verdict


def python_with(*modules):
    """The interpreter that runs the tests, when it has the modules."""
    check = subprocess.run([sys.executable, "-c", "".join(f"import {m};" for m in modules)], capture_output=True)
    if check.returncode:
        pytest.skip(f"no Python with {', '.join(modules)}")
    return sys.executable


def need(command):
    path = shutil.which(command)
    if not path:
        pytest.skip(f"no {command}")
    return path


def hosts(collector):
    yield "python asyncio", lambda: host_server(collector, [python_with("asyncio"), "asyncio_server.py", "{port}", "{leaf}"],
                                                "asyncio"), SOME
    yield "python threads", lambda: host_server(collector, [python_with("http.server"), "threads_server.py", "{port}", "{leaf}"],
                                                "threads"), CERTAIN
    yield "aiohttp", lambda: host_server(collector, [python_with("aiohttp"), "aiohttp_server.py", "{port}", "{leaf}"],
                                         "aiohttp"), SOME
    yield "uvicorn", lambda: host_server(
        collector, [python_with("uvicorn"), "-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "asgi:app"],
        "uvicorn", {"LEAF": "{leaf}"}), SOME
    yield "gunicorn sync", lambda: host_server(
        collector, [python_with("gunicorn"), "-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "4", "--log-level", "error",
                    "wsgi:app"], "gunicorn", {"LEAF": "{leaf}"}), CERTAIN
    yield "gunicorn threads", lambda: host_server(
        collector, [python_with("gunicorn"), "-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "2", "--threads", "16",
                    "--log-level", "error", "wsgi:app"], "gunicorn", {"LEAF": "{leaf}"}), CERTAIN
    yield "node", lambda: host_server(collector, [need("node"), "node_server.js", "{port}", "{leaf}"], "node"), SOME
    yield "nginx", lambda: nginx_server(collector), CERTAIN


def nginx_server(collector):
    binary = need("nginx")

    @contextmanager
    def start(leaf_port):
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="otelauto-test-") as folder:
            text = (HOSTS / "nginx.conf").read_text().replace("@PORT@", str(port)).replace("@LEAF@", str(leaf_port))
            Path(folder, "nginx.conf").write_text(text)
            argv = [binary, "-p", folder, "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]
            with Program(argv, endpoint=collector.endpoint, service="nginx", settings=settings()) as program:
                wait_for_port(port)
                yield port
                assert program.process.poll() is None, program.stderr
    return start


HOST_NAMES = [name for name, _, _ in hosts(None)]


@pytest.mark.parametrize("index", range(len(HOST_NAMES)), ids=HOST_NAMES)
@pytest.mark.parametrize("same_path", [False, True], ids=["own-path", "same-path"])
def test_parallel_requests_in_real_runtimes(collector, index, same_path):
    name, make, share = list(hosts(collector))[index]
    verdict = drive(name + (", same path" if same_path else ""), collector, make(), same_path=same_path, rounds=2,
                    keep_alive=not name.startswith("gunicorn"))
    demand(verdict, share, 128)


@pytest.mark.parametrize("parallel", [4, 32])
def test_second_call_from_a_queue_in_memory(collector, parallel):
    """A request that waits for its first answer is not done: what else it has to do may be run behind another's."""
    start = host_server(collector, [need("node"), "node_server.js", "{port}", "{leaf}", "twice"], "node")
    drive(f"node, two calls, {parallel} at a time", collector, start, parallel=parallel, rounds=512 // parallel,
          delay=(0.0, 0.005), calls_per_request=2)
