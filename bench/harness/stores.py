"""P2 for data stores: a client that asks one server, or one client for each of several servers, in random order (bench/ask.c): plain,
plain again, and with the library on the side that is measured."""
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

from . import machine, process
from .result import Check, Result, measure, median, near
from .servers import COPIES, Fleet, Missing, _envs, _path, _redis

ROWS = 1000


def _as_user(name, *command):
    """Servers of databases refuse to run as root."""
    return [_path("setpriv"), f"--reuid={name}", f"--regid={name}", "--clear-groups", *command] if os.geteuid() == 0 else [*command]


def _run(*command, text=None):
    done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True, check=False, env=machine.plain_env())
    if done.returncode:
        raise process.Failed(f"{Path(command[0]).name}: {(done.stdout + done.stderr).strip()[-300:]}")
    return done.stdout


def _data_folder(fleet, user):
    folder = fleet.folder()
    if os.geteuid() == 0:
        try:
            shutil.chown(folder, user, user)
        except LookupError as error:
            raise Missing(f"no user {user} here") from error
    return folder


def _postgres_tool(name):
    folders = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return folders[-1] if folders else _path(name)


def _postgres(fleet, env):
    folder, port = _data_folder(fleet, "postgres"), process.free_port()
    _run(*_as_user("postgres", _postgres_tool("initdb"), "-D", f"{folder}/data", "-A", "trust", "-N", "--no-instructions", "-U", "postgres"))
    fleet.start(_as_user("postgres", _postgres_tool("postgres"), "-D", f"{folder}/data", "-p", port, "-k", folder, "-c",
                         "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "autovacuum=off"), env)
    psql = [_path("psql"), "-X", "-q", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "postgres"]

    def answers():
        return subprocess.run([*map(str, psql), "-c", "SELECT 1"], capture_output=True, check=False).returncode == 0
    process.wait_until(answers, "PostgreSQL answers")
    _run(*psql, text="CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));"
                     f"INSERT INTO pgbench_accounts SELECT i, 1, 0, '' FROM generate_series(1, {ROWS}) i; VACUUM ANALYZE;")
    return port


def _mariadb(fleet, env):
    folder, port = _data_folder(fleet, "mysql"), process.free_port()
    _run(_path("mariadb-install-db"), "--no-defaults", f"--datadir={folder}/data", "--auth-root-authentication-method=normal",
         *(["--user=mysql"] if os.geteuid() == 0 else []))
    fleet.start([_path("mariadbd"), "--no-defaults", f"--datadir={folder}/data", f"--socket={folder}/socket", f"--port={port}",
                 "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=16M",
                 *(["--user=mysql"] if os.geteuid() == 0 else [])], env)
    root = [_path("mariadb"), "--no-defaults", "-S", f"{folder}/socket", "-u", "root"]

    def answers():
        return subprocess.run([*map(str, root), "-e", "SELECT 1"], capture_output=True, check=False).returncode == 0
    process.wait_until(answers, "MariaDB answers", 60)
    rows = ",".join(f"({i}, {i})" for i in range(1, ROWS + 1))
    _run(*root, text="CREATE DATABASE bench; CREATE USER bench@'127.0.0.1' IDENTIFIED BY 'bench';"
                     "GRANT ALL ON bench.* TO bench@'127.0.0.1'; USE bench;"
                     f"CREATE TABLE bench (id int PRIMARY KEY, v int); INSERT INTO bench VALUES {rows};")
    return port


def _client(fleet, env, port, options):
    client = fleet.start([machine.tool("ask"), "--port", port, *options], env)
    if client.line() != "ready":
        raise process.Failed("the client is not ready")
    return client


def _visit(clients, blocks):
    """Medians of each client's blocks, in the order in which they are compared."""
    told = [[] for _ in clients]
    for _ in range(blocks):
        for i in random.sample(range(len(clients)), len(clients)):
            told[i].append(clients[i].ask()["ns"])
    return told


def _run_once(bench, start, of_server, options):
    with Fleet() as fleet:
        if of_server:
            ports = [start(fleet, env) for env in _envs(bench)]
            clients = [_client(fleet, machine.plain_env(), port, options) for port in ports]
        else:
            port = start(fleet, machine.plain_env())
            clients = [_client(fleet, env, port, options) for env in _envs(bench)]
        return _visit(clients, 5 if bench.fast else 1000)


def _compare(bench, start, of_server, options):
    copies = {name: {"ratio": [], "added_ns": [], "median_ns": []} for name in COPIES}
    for _ in range(1 if bench.fast else 3):
        told = _run_once(bench, start, of_server, options)
        for name, own in zip(COPIES, told):
            copies[name]["ratio"].append(median(own) / median(told[0]))
            copies[name]["added_ns"].append(median([a - b for a, b in zip(own, told[0])]))
            copies[name]["median_ns"].append(median(own))
    return {name: {key: median(values) for key, values in of.items()} for name, of in copies.items()}


def _row(name, what, start, options, of_server=False, gate=None, each=1):
    """each: commands in what is timed as one"""
    @measure(name)
    def run(bench):
        try:
            copies = _compare(bench, start, of_server, options)
        except (Missing, socket.error) as missing:
            yield Result(name, "12", what, [], problem=str(missing))
            return
        checks = [Check("100 %", copies["100 %"]["ratio"], gate, None, "x"), Check("0 %", copies["0 %"]["ratio"], None, None, "x"),
                  Check("disabled", copies["disabled"]["ratio"], None, None, "x"),
                  Check("added at 100 %", copies["100 %"]["added_ns"] / each, None, None, "ns")]
        yield Result(name, "12", what, checks, near("A/A", copies["plain again"]["ratio"], 0.99, 1.01), {"copies": copies})


_row("p2-ask-pg", "asking PostgreSQL through libpq, pgbench's select", _postgres, ("--kind", "pg"), gate=1.06)
_row("p2-ask-pg-prepared", "asking PostgreSQL through libpq, prepared", _postgres, ("--kind", "pg-prepared"), gate=1.06)
_row("p2-ask-mysql", "asking MariaDB through libmariadb, by primary key", _mariadb, ("--kind", "mysql"), gate=1.06)
_row("p2-ask-mysql-prepared", "asking MariaDB through libmariadb, prepared", _mariadb, ("--kind", "mysql-prepared"), gate=1.06)
_row("p2-ask-redis", "asking Redis, GET", _redis, ("--kind", "redis"), gate=1.06)
_row("p2-ask-redis-16", "asking Redis, 16 GETs in a call (added: for each)", _redis, ("--kind", "redis", "--pipeline", "16"), each=16)
_row("p2-redis-16", "redis-server, 16 GETs in a call (added: for each)", _redis, ("--kind", "redis", "--pipeline", "16"), True, each=16)
