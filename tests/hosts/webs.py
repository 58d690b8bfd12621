"""Starts the web servers of these tests: nginx, Apache, lighttpd, each in a folder of its own with a www/ of files."""
from contextlib import contextmanager

from kit import listen, need

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
