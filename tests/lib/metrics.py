"""Scrapes and parses the Prometheus endpoint of a program under test."""
import glob
import http.client
import os
import re

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: # .*)?$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)",?')


def unescape(text):
    return re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), text)


class Metrics:
    """Samples of one scrape: {(name, ((label, value), …)): number}."""

    def __init__(self, text):
        self.text = text
        self.samples = {}
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                if name in self.types:
                    raise AssertionError(f"TYPE of {name} twice")
                self.types[name] = kind
            if not line or line.startswith("#"):
                continue
            match = SAMPLE.match(line)
            if not match:
                raise AssertionError(f"not a sample: {line!r}")
            labels = match.group(2) or ""
            pairs = tuple(sorted((k, unescape(v)) for k, v in LABEL.findall(labels)))
            if LABEL.sub("", labels):
                raise AssertionError(f"labels: {line!r}")
            key = (match.group(1), pairs)
            if key in self.samples:
                raise AssertionError(f"series twice: {key}")
            self.samples[key] = float(match.group(3))

    def series(self, name, **labels):
        """{labels: value} of the samples called `name` that have these labels ('' = must not have it)."""
        found = {}
        for (sample, pairs), value in self.samples.items():
            have = dict(pairs)
            if sample == name and all(have.get(k, "") == str(v) for k, v in labels.items()):
                found[pairs] = value
        return found

    def sum(self, name, **labels):
        return sum(self.series(name, **labels).values())


def get(port, path="/metrics", headers=None, host="127.0.0.1", timeout=10):
    """returns (status, headers, body)"""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def scrape(port):
    status, headers, body = get(port)
    if status != 200 or not headers.get("Content-Type", "").startswith("text/plain; version=0.0.4"):
        raise AssertionError(f"scrape: {status} {headers}")
    return Metrics(body.decode())


def listening_ports(pids):
    """Ports on which these processes listen, by what /proc says; a thread may have descriptors of its own."""
    inodes = set()
    for link in (link for pid in pids for link in glob.glob(f"/proc/{pid}/task/*/fd/*")):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in lines:
                fields = line.split()
                if len(fields) > 9 and fields[3] == "0A" and fields[9] in inodes:
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def metrics_ports(pids, others=()):
    """Those of their ports, but for `others`, where an endpoint of ours answers."""
    for port in listening_ports(pids) - set(others):
        try:
            if get(port, "/healthz", timeout=2)[0] == 200:
                yield port
        except OSError:
            pass  # the host's own, where nobody accepts; or gone
