"""P2: copies of a real server, visited in random order (bench/visit.c): plain, plain again, and with the library."""
import contextlib
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from . import machine, process
from .result import Check, Control, Result, both, measure, median, near
from .pairs import ANCHOR_DRIFT

COPIES = ("plain", "plain again", "100 %", "0 %", "disabled")

NGINX = """
daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log crit; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile off; keepalive_requests 1000000000; default_type text/html;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir};
  scgi_temp_path {dir};
  upstream behind {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} {tls};
    location /proxied/ {{
      proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
    location / {{ root {dir}; }}
  }}
}}
"""


class Missing(Exception):
    """The server is not installed."""


def _path(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not found:
        raise Missing(f"no {name} here")
    return found


class Fleet:
    """Starts servers and stops them all in the end."""

    def __init__(self):
        self.stack = contextlib.ExitStack()

    def start(self, command, env):
        return self.stack.enter_context(process.Program(command, env, machine.HOT))

    def folder(self):
        return Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="otelauto-bench-")))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()


def _own(name):
    """One of bench/servers: prints its port."""
    return lambda fleet, env: int(fleet.start([machine.tool(name)], env).line())


def _node(fleet, env):
    return int(fleet.start([_path("node"), machine.TOP / "bench/servers/hello.js"], env).line())


def _nginx(fleet, env, tls=""):
    if not hasattr(fleet, "upstream"):
        fleet.upstream = _own("epoll")(fleet, machine.plain_env())
    folder, port = fleet.folder(), process.free_port()
    (folder / "index.html").write_text("x" * 611 + "\n")
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder, port=port, upstream=fleet.upstream, tls=tls))
    fleet.start([_path("nginx"), "-p", folder, "-c", folder / "nginx.conf"], env)
    process.wait_until(lambda: process.accepts(port), "nginx listens")
    return port


def _nginx_tls(fleet, env, more=""):
    if not hasattr(fleet, "certificate"):
        folder = fleet.certificate = fleet.folder()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=bench", "-keyout", str(folder / "key"), "-out", str(folder / "cert")],
                       check=True, capture_output=True)
    return _nginx(fleet, env, f"ssl{more}; ssl_certificate {fleet.certificate}/cert; ssl_certificate_key {fleet.certificate}/key")


def _redis(fleet, env):
    port = process.free_port()
    fleet.start([_path("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                 "--dir", fleet.folder()], env)
    process.wait_until(lambda: process.accepts(port), "redis listens")
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$16\r\n0123456789abcdef\r\n")
        s.recv(64)
    return port


def _grpc(fleet, env):
    """The greeter of the tests, in C++."""
    _path("grpc_cpp_plugin")
    greeter = subprocess.run([machine.TOP / "scripts/lib/greeter", machine.BUILD / "greeter"], check=True, stdout=subprocess.PIPE,
                             text=True).stdout.strip()
    port = process.free_port()
    fleet.start([greeter, "serve", port], env)
    process.wait_until(lambda: process.accepts(port), "the greeter listens")
    return port


def _envs(bench):
    sink = bench.sink.port
    return (machine.plain_env(), machine.plain_env(), machine.library_env(sink),
            machine.library_env(sink, "always_off"), machine.disabled_env(sink))


def _visit(bench, ports, conns, apart, options):
    blocks = (5 if conns > 1 else 20) if bench.fast else 100 if conns > 1 else 1000
    return process.run_json(
        [machine.tool("visit"), "--ports", ",".join(map(str, ports)), "--conns", conns, "--blocks", blocks,
         "--requests", 14, "--discard", 4, "--cpu", machine.OTHER if apart else machine.HOT, *options],
        machine.plain_env())


def _compare(bench, start, conns, apart, options):
    """Ratios and differences per copy, medians over runs; fresh processes in each, because the luck of their memory
    layout stays with them."""
    runs = 1 if bench.fast else 5 if conns > 1 else 3
    reports = []
    for _ in range(runs):
        with Fleet() as fleet:
            ports = [start(fleet, env) for env in _envs(bench)]
            reports.append(_visit(bench, ports, conns, apart, options))
    copies = {}
    for i, name in enumerate(COPIES):
        copies[name] = {key: median([r["servers"][i][key] for r in reports])
                        for key in ("ratio", "added_ns", "median_ns", "p99_ns")}
    drift = max(abs(r["anchor_drift"] - 1) for r in reports)
    return copies, drift, median([r["getppid_ns"] for r in reports])


def _row(name, goal, what, start, conns=1, full=(None, None), none=(None, None), options=(), apart=False):
    """apart: the client has the other processor, so that the server is what is busy; else both have one."""
    @measure(name)
    def run(bench):
        try:
            copies, drift, anchor = _compare(bench, start, conns, apart, options)
        except Missing as missing:
            yield Result(name, goal, what, [], problem=str(missing))
            return
        allowed = 0.02 if conns > 1 else 0.01
        checks = [Check("100 %", copies["100 %"]["ratio"], *full, "x"),
                  Check("0 %", copies["0 %"]["ratio"], *none, "x"),
                  Check("disabled", copies["disabled"]["ratio"], None, None, "x"),
                  Check("added at 100 %", copies["100 %"]["added_ns"], None, None, "ns")]
        # Each ratio compares neighbours in time, so a clock that moves matters less here than in P1.
        control = both(near("A/A", copies["plain again"]["ratio"], 1 - allowed, 1 + allowed),
                       Control(drift < 5 * ANCHOR_DRIFT, f"clock moved {drift * 100:.0f} %"))
        yield Result(name, goal, what, checks, control, {"copies": copies, "getppid_ns": anchor})


_row("p2-nginx", "5", "nginx, static file", _nginx, 1, (1.05, 1.03), (1.035, None), ("--path", "/index.html"))
_row("p2-nginx-32", "6", "nginx, static file, 32 connections", _nginx, 32, (1.08, 1.05), (1.06, None),
     ("--path", "/index.html"), apart=True)
_row("p2-nginx-tls", "5", "nginx, static file inside TLS", _nginx_tls, 1, (1.05, 1.03), (1.035, None),
     ("--path", "/index.html", "--tls", "1"))
_row("p2-nginx-h2", "11", "nginx, static file by HTTP/2 inside TLS", lambda fleet, env: _nginx_tls(fleet, env, " http2"), 1, (1.08, None),
     options=("--path", "/index.html", "--tls", "1", "--kind", "http2"))
_row("p2-grpc", "11", "gRPC server in C++, unary call", _grpc, 1, options=("--kind", "grpc"))
_row("p2-nginx-proxy", "5", "nginx as proxy (one served, one called)", _nginx, 1, options=("--path", "/proxied/x"))
_row("p2-redis", "7", "redis-server, GET", _redis, 1, (1.03, 1.015), options=("--kind", "redis"))
_row("p2-redis-32", "7", "redis-server, GET, 32 connections", _redis, 32, (1.03, 1.015), options=("--kind", "redis"))
_row("p2-redis-32-apart", "-", "redis-server, GET, 32 connections, client apart", _redis, 32, options=("--kind", "redis"), apart=True)
_row("p2-epoll", "-", "a small epoll server in C", _own("epoll"))
_row("p2-epoll-32", "-", "the same, 32 connections", _own("epoll"), 32, apart=True)
_row("p2-threads", "8", "a thread per connection, in C", _own("threads"), 1, (1.04, 1.025))
_row("p2-node", "9", "node, http module", _node, 1, (1.03, 1.02))
