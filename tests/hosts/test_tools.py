"""Tools that people run in a shell with LD_PRELOAD set: git, apt-get, gcc, make, openssl, and small ones."""
import hashlib
import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib.certificates import certificate
from kit import both, command, library_for_all, listen, need, need_root, wait_until
from webs import access_log, nginx

GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", "GIT_AUTHOR_NAME": "a",
       "GIT_AUTHOR_EMAIL": "a@test", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@test",
       "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A bare repository with some history."""
    folder = tmp_path_factory.mktemp("git")
    env = {**os.environ, **GIT}
    work = folder / "work"

    def git(*words):
        subprocess.run(["git", "-C", str(work), *words], check=True, capture_output=True, env=env)
    work.mkdir()
    git("init", "-q", "-b", "main")
    for i in range(30):
        (work / f"file{i}").write_text(f"{i}\n" * 500 * i)
        git("add", ".")
        git("commit", "-q", "-m", f"change {i}")
    (work / "large").write_bytes(os.urandom(1500000))
    git("add", ".")
    git("commit", "-q", "-m", "large")
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(folder / "r.git")], check=True, env=env, capture_output=True)
    for words in (["update-server-info"], ["config", "http.receivepack", "true"]):
        subprocess.run(["git", "-C", str(folder / "r.git"), *words], check=True, env=env)
    return folder


DUMB = "server { listen 127.0.0.1:@PORT@; root @ROOT@; }"
SMART = """server {
    listen 127.0.0.1:@PORT@;
    client_max_body_size 0;
    location / {
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME @BACKEND@;
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROJECT_ROOT @ROOT@;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param REMOTE_USER tester;
      fastcgi_pass unix:@FOLDER@/fcgi.sock;
    }
  }"""


@contextmanager
def fcgiwrap(way, smart):
    """Runs git-http-backend for nginx, itself under the preload."""
    if not smart:
        yield
        return
    argv = [need("fcgiwrap"), "-c", "2", "-s", f"unix:{way.folder}/fcgi.sock"]
    with way.program(argv, service="fcgiwrap", settings=GIT) as program:
        wait_until(lambda: (way.folder / "fcgi.sock").exists())
        (way.folder / "fcgi.sock").chmod(0o666)
        yield
        program.stop()
        assert not program.stderr, program.stderr


@pytest.mark.parametrize("smart", [False, True], ids=["files", "smart"])
def test_git_clone_over_http(ways, repository, smart):
    """Every request that nginx logs is a span of its, and one of git's below which it hangs. What it hands on to fcgiwrap is
    a span of its, and one of fcgiwrap's below that."""
    backend = Path(command("git", "--exec-path").decode().strip()) / "git-http-backend"

    def scenario(way):
        root = way.folder / "repositories"
        shutil.copytree(repository / "r.git", root / "r.git")
        subprocess.run(["chmod", "-R", "a+rwX", root], check=True)
        port = way.port()
        with fcgiwrap(way, smart), nginx(way, SMART if smart else DUMB, service="nginx", port=port, root=root,
                                         backend=backend) as (program, tree, folder):
            url = f"http://127.0.0.1:{port}/r.git"
            clone = way.run(["git", "-c", "http.proxy=", "clone", "-q", url, way.folder / "clone"], settings=GIT)
            assert clone[0] == 0, clone
            head = command("git", "-C", way.folder / "clone", "rev-parse", "HEAD")
            fsck = way.run(["git", "-C", way.folder / "clone", "fsck", "--strict"], settings=GIT)
            pushed = None
            if smart:
                push = ["git", "-C", way.folder / "clone", "push", "-q", "origin", "HEAD:refs/heads/copy"]
                pushed = way.run(["git", "-C", way.folder / "clone", "commit", "-q", "--allow-empty", "-m", "new"],
                                 settings=GIT), way.run(push, settings=GIT)
            status = way.seen(program)
            logged = access_log(folder)
            if way.ours:
                spans = way.collector.wait_count(len(logged), kind="SERVER", service="nginx")
                calls = way.collector.wait_count(len(logged), kind="CLIENT", where=lambda s: s.service != "nginx")
                assert len(spans) == len(calls) == len(logged)
                assert {s.parent_id for s in spans} == {c.span_id for c in calls}
                handed = way.collector.wait_count(len(logged), kind="CLIENT", service="nginx") if smart else []
                wrapped = way.collector.wait_count(len(logged), kind="SERVER", service="fcgiwrap") if smart else []
                assert {s.parent_id for s in handed} == ({s.span_id for s in spans} if smart else set())
                assert {s.parent_id for s in wrapped} == {s.span_id for s in handed}
                assert len(way.collector.spans) == (4 if smart else 2) * len(logged), way.collector.spans
            # Sizes differ with how far git's messages got.
            return clone, head, fsck, pushed, status, [line.rsplit(" ", 1)[0] for line in logged]
    both(ways, scenario)


def package(folder):
    """A small Debian package and its index."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text("Package: otelauto-nothing\nVersion: 1\nArchitecture: all\n"
                                             "Maintainer: a <a@test>\nDescription: nothing\n")
    (tree / "usr/share/otelauto-nothing").mkdir(parents=True)
    (tree / "usr/share/otelauto-nothing/file").write_text("x" * 100000)
    pool = folder / "repo"
    pool.mkdir()
    command("dpkg-deb", "--root-owner-group", "-b", tree, pool / "nothing_1_all.deb")
    data = (pool / "nothing_1_all.deb").read_bytes()
    control = (tree / "DEBIAN/control").read_text()
    (pool / "Packages").write_text(f"{control}Filename: ./nothing_1_all.deb\nSize: {len(data)}\n"
                                   f"SHA256: {hashlib.sha256(data).hexdigest()}\n\n")
    index = (pool / "Packages").read_bytes()
    (pool / "Release").write_text("Origin: test\nSuite: test\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
                                  f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n")
    return pool


APT = """Dir::State "@FOLDER@/state";
Dir::State::status "@FOLDER@/state/status";
Dir::Cache "@FOLDER@/cache";
Dir::Etc::sourcelist "@FOLDER@/sources.list";
Dir::Etc::sourceparts "/nowhere";
Dir::Etc::preferencesparts "/nowhere";
Dir::Etc::trusted "/nowhere";
Dir::Log "@FOLDER@/log";
APT::Update::Post-Invoke-Success {};
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
Acquire::http::Proxy "DIRECT";
Acquire::Languages "none";
"""


@pytest.mark.parametrize("how", ["http", "file"])
def test_apt_get(ways, folder, how):
    """update and download from a repository on this machine; apt's methods leave root behind."""
    need_root()
    pool = package(folder)
    library = library_for_all(folder)

    def scenario(way):
        port = way.port()
        for name in ("state/lists/partial", "cache/archives/partial", "log", "work"):
            (way.folder / name).mkdir(parents=True)
        (way.folder / "work").chmod(0o777)
        (way.folder / "state/status").write_text("")
        with nginx(way, "server { listen 127.0.0.1:@PORT@; root @POOL@; }", port=port, pool=pool) as (program, tree, root):
            source = f"http://127.0.0.1:{port}" if how == "http" else f"file:{pool}"
            way.write("sources.list", f"deb [trusted=yes] {source} ./\n")
            # What a user's shell would have: their variables, and the library for everything below apt.
            settings = {"APT_CONFIG": str(way.write("apt.conf", APT)), "LD_PRELOAD": str(library) if way.ours else ""}
            update = way.run(["apt-get", "-q", "update"], settings=settings)
            download = way.run(["apt-get", "-q", "download", "otelauto-nothing"], settings=settings, cwd=str(way.folder / "work"))
            show = way.run(["apt-cache", "show", "otelauto-nothing"], settings=settings)
            got = sorted(p.name for p in (way.folder / "work").iterdir())
            status = way.seen(program)
            logged = access_log(root)
            if way.ours and logged:
                assert len(way.collector.wait_count(len(logged), kind="SERVER", service="nginx")) == len(logged)

        def steady(result):
            lines = result[1].splitlines()
            return result[0], [line for line in lines if not line.startswith("Fetched")], result[2]
        return steady(update), steady(download), show, got, status, logged
    both(ways, scenario)


SOURCE = """#include <stdio.h>
int twice_@N@(int x) { return 2 * x + @N@; }
"""


def test_gcc_and_make(ways):
    def scenario(way):
        names = [f"part{i}" for i in range(6)]
        for i, name in enumerate(names):
            way.write(f"{name}.c", SOURCE, n=i)
        way.write("main.c", "#include <stdio.h>\nint twice_3(int);\nint main(void) { printf(\"%d\\n\", twice_3(4)); return 5; }\n")
        way.write("bad.c", "int main(void) { return x; }\n")
        objects = " ".join(f"{n}.o" for n in ["main", *names])
        way.write("Makefile", f"prog: {objects}\n\t$(CC) -o $@ $^\n%.o: %.c\n\t@$(CC) -O2 -c -o $@ $<\n")
        made = way.run(["make", "-s", "-j", "3", "CC=gcc"])
        bad = way.run(["gcc", "-c", "bad.c"])
        ran = way.run([way.folder / "prog"])
        hashes = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(way.folder.glob("*.o"))}
        return made, bad, ran, hashes
    both(ways, scenario)


class Tap:
    """Hands one connection on to a server and keeps what went each way."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.bytes = [b"", b""]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def pump(self, source, sink, which):
        try:
            while data := source.recv(65536):
                self.bytes[which] += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def run(self):
        near, _ = self.listener.accept()
        far = socket.create_connection(("127.0.0.1", self.target))
        back = threading.Thread(target=self.pump, args=(far, near, 1), daemon=True)
        back.start()
        self.pump(near, far, 0)
        back.join(20)
        near.close()
        far.close()
        self.listener.close()


def tls_records(data):
    """Lengths of the records; fails when anything else is in between."""
    lengths = []
    while data:
        kind, major, length = data[0], data[1], int.from_bytes(data[3:5], "big")
        assert kind in (20, 21, 22, 23) and major == 3 and len(data) >= 5 + length, data[:40]
        lengths.append((kind, length))
        data = data[5 + length:]
    return lengths


HEADER = len(f"traceparent: 00-{'0' * 32}-{'0' * 16}-01\r\n")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(ways, folder, version):
    """s_server and s_client: only whole TLS records on the wire, and as without us but for our header in the request."""
    cert, key = certificate()
    (folder / "file").write_text("0123456789abcdef" * 20000)

    def scenario(way):
        port = way.port()
        server = [need("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key, "-WWW", "-naccept", "1",
                  "-quiet", "-num_tickets", "0", version]
        with way.program(server, cwd=str(folder)) as program:
            listen(program, port)
            tap = Tap(port)
            way.ports.append(tap.port)
            client = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{tap.port}", "-CAfile", cert, "-verify_return_error",
                      "-quiet", version]
            said = way.run(client, stdin_text="GET /file HTTP/1.0\r\nHost: test\r\n\r\n")
            assert len(said[1]) > 320000
            tap.thread.join(20)
            result = program.wait()
        records = [tls_records(b) for b in tap.bytes]
        assert not any(b"traceparent" in b for b in tap.bytes)
        asked, answered = [[n for k, n in r if k == 23] for r in records]
        if way.ours:
            # Of s_server a BIO of the library writes, which cannot be seen.
            call, = way.collector.spans
            assert (call.kind, call.path) == ("CLIENT", "/file") and call.attributes["url.full"].startswith("https:"), call
        return (said, (result.status, result.stdout, result.stderr), len(asked), sum(asked) - (HEADER if way.ours else 0), answered)
    both(ways, scenario)


SMALL = ["echo hello", "ls -d /usr/bin /nowhere", "printf 'b\\na\\n' | sort | uniq -c", "tar cf - /etc/passwd 2>/dev/null | tar tf -",
         "find /usr/share/doc/bash -type f | head -3", "seq 5 | awk '{s+=$1} END {print s}'", "echo x | gzip | zcat",
         "perl -e 'print 1+1'", "timeout 5 sleep 0.01; echo $?", "xargs -n1 echo < /etc/hostname", "dpkg -s bash | head -2",
         "bash -c 'exec 3>file; echo in >&3; exec 3>&-; cat file'", "env | grep -c OTEL_NOTHING", "(exit 7); echo $?",
         "bash -c 'cat < /dev/tcp/127.0.0.1/1'", "getent hosts localhost", "setsid true; nohup true 2>&1", "stat -c %s /etc/hostname",
         "python3 -c 'import os; print(sorted(int(f) for f in os.listdir(\"/proc/self/fd\")))'", "sh -c 'kill -9 $$'; echo $?",
         "sed -n 1p /etc/passwd | tee copy; cat copy", "diff /etc/passwd /etc/group >/dev/null; echo $?", "git --version | cut -c1-3"]


def test_small_tools(ways):
    """A whole line of shell under the preload: output, errors, status."""
    def scenario(way):
        return [(line, way.run(["sh", "-c", line])) for line in SMALL]
    both(ways, scenario)
