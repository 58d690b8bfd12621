"""Starts the web servers of these tests: nginx, Apache, lighttpd, each in a folder of its own with a www/ of files."""
import os
from contextlib import contextmanager

from kit import listen, need
from lib.loadgen import Connection

FILES = {"index.html": b"<h1>hello</h1>\n", "small.txt": b"small\n" * 7, "empty.txt": b"", "big.bin": bytes(range(256)) * 8192}


def make_files(folder):
    www = folder / "www"
    www.mkdir(exist_ok=True)
    folder.chmod(0o755)
    for name, data in FILES.items():
        (www / name).write_bytes(data)
    return www


def nginx_argv(way, text, workers=1, daemon="off", name="nginx", top="", **values):
    """Writes its folder. returns (argv, folder)"""
    root = way.folder / name
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    values.setdefault("www", make_files(root))
    base = way.conf("nginx-base.conf", workers=workers, daemon=daemon, top=top, more=text).read_text()
    way.write(f"{name}/nginx.conf", base, **values)
    return [need("nginx"), "-p", str(root), "-c", "nginx.conf", "-e", "error.log"], root


@contextmanager
def nginx(way, text, service="nginx", workers=1, name="nginx", settings=None, **values):
    """A running nginx in the foreground. text: what goes into http {}. gives (program, tree, folder)"""
    argv, root = nginx_argv(way, text, workers, name=name, **values)
    ports = [v for k, v in values.items() if k.startswith("port")]
    with way.program(argv, service=service, settings=settings) as program:
        yield program, listen(program, *ports), root


def access_log(root):
    """Lines of nginx's access log, in an order that does not depend on its workers."""
    return sorted((root / "access.log").read_text().splitlines())


# What one connection asks for: method, path, headers, body.
VISIT = [
    ("GET", "/", [], b""), ("GET", "/small.txt", [], b""), ("HEAD", "/small.txt", [], b""), ("GET", "/empty.txt", [], b""),
    ("GET", "/big.bin", [], b""), ("GET", "/big.bin", [("Range", "bytes=5-104")], b""),
    ("GET", "/big.bin", [("Range", "bytes=0-9,100-109")], b""), ("GET", "/missing", [], b""),
    ("GET", "/small.txt", [("If-Modified-Since", "Fri, 31 Dec 2100 23:59:59 GMT")], b""), ("GET", "/away", [], b""),
    ("POST", "/small.txt", [], b"x" * 1000), ("GET", "/small.txt?a=b", [], b""),
]
STEADY = ("content-type", "content-length", "content-range", "location", "transfer-encoding", "connection", "server")


def visit(port, requests=VISIT, tls=None):
    """returns what a client saw: (status, headers that do not change, body)"""
    seen, connection = [], None
    for method, path, headers, body in requests:
        connection = connection or Connection(port, tls=tls)
        status, got, content = connection.request(path, method, headers, body)
        if "multipart" in got.get("content-type", ""):  # its boundary is random, even how long it is
            got = {}
            content = content.lower().count(b"\ncontent-range: ")
        if "location" in got:
            got["location"] = got["location"].replace(str(port), "$PORT")
        seen.append((status, {k: got[k] for k in STEADY if k in got}, content))
        if got.get("connection", "").lower() == "close":
            connection.close()
            connection = None
    if connection:
        connection.close()
    return seen


CGI = r"""#!/bin/sh
text="$REQUEST_METHOD $(cat)"
printf 'Content-Type: text/plain\nContent-Length: %d\n\n%s' ${#text} "$text"
"""
APACHE_MODULES = "/usr/lib/apache2/modules"


@contextmanager
def apache(way, mpm, up=1, sendfile="Off", settings=None, more=""):
    """A running Apache in the foreground. gives (program, tree, port)"""
    port, binary = way.port(), need("apache2")
    cgi = way.write("cgi/hello", CGI)
    cgi.chmod(0o755)
    make_files(way.folder)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    conf = way.conf("apache.conf", mpm=mpm, port=port, up=up, www=way.folder / "www", modules=APACHE_MODULES, user=user,
                    sendfile=sendfile, cgi="cgid" if mpm == "event" else "cgi", more=more)
    with way.program([binary, "-f", conf, "-DFOREGROUND"], service="apache", settings=settings) as program:
        yield program, listen(program, port), port


@contextmanager
def lighttpd(way, up=1, backend="sendfile", settings=None):
    port, binary = way.port(), need("lighttpd")
    conf = way.conf("lighttpd.conf", port=port, up=up, www=make_files(way.folder), backend=backend)
    with way.program([binary, "-D", "-f", conf], service="lighttpd", settings=settings) as program:
        yield program, listen(program, port), port


@contextmanager
def haproxy(way, up, threads=2, more="", master=False, settings=None):
    port, binary = way.port(), need("haproxy")
    conf = way.conf("haproxy.cfg", port=port, up=up, threads=threads, more=more)
    argv = [binary, "-W" if master else "-db", "-f", conf, "-q"]
    with way.program(argv, service="haproxy", settings=settings) as program:
        yield program, listen(program, port), port


@contextmanager
def squid(way, settings=None):
    port, binary = way.port(), need("squid")
    way.folder.chmod(0o777)  # it leaves root behind
    conf = way.conf("squid.conf", port=port, user="proxy")
    argv = [binary, "-N", "-f", conf]
    with way.program(argv, service="squid", settings=settings, stop_deadline=30) as program:
        yield program, listen(program, port), port
