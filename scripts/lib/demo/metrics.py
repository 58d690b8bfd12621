"""Reads the /metrics endpoints of the services: request counts, errors and quantiles by route."""
import json
import re
import urllib.request

SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
DURATION = {"server": "http_server_request_duration_seconds", "client": "http_client_request_duration_seconds"}

# No proxy: everything here is on loopback.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address(folder, service):
    """host:port of a service's endpoint, from its service-discovery file; None while there is none."""
    for path in folder.glob(f"otelauto-{service}-*.json"):
        try:
            return json.loads(path.read_text())[0]["targets"][0]
        except (OSError, ValueError, LookupError):
            continue
    return None


def scrape(folder, service):
    """[(name, labels, value)] of a service; empty while it does not answer."""
    where = address(folder, service)
    try:
        text = opener.open(f"http://{where}/metrics", timeout=5).read().decode() if where else ""
    except OSError:
        return []
    samples = []
    for match in map(SAMPLE.match, text.splitlines()):
        if match:
            samples.append((match[1], dict(LABEL.findall(match[2] or "")), float(match[3])))
    return samples


def value(samples, name, **labels):
    return sum(v for n, have, v in samples if n == name and all(have.get(k) == w for k, w in labels.items()))


def quantile(buckets, q):
    """Seconds below which a share q of the measurements lies, as Prometheus' histogram_quantile reckons."""
    steps = sorted(buckets.items())
    wanted, below, low = q * steps[-1][1], 0, 0.0
    for high, count in steps:
        if count >= wanted and count > below:
            return low if high == float("inf") else low + (high - low) * (wanted - below) / (count - below)
        below, low = count, high
    return low


class Row:
    """Requests of one service, served or made, for one route or target."""

    def __init__(self, service, kind, what):
        self.service, self.kind, self.what = service, kind, what
        self.count = self.errors = 0
        self.buckets = {}


def red_rows(samples, service):
    rows = {}
    for kind, name in DURATION.items():
        for sample, labels, number in samples:
            if not sample.startswith(name):
                continue
            what = labels.get("http_route") or "{server_address}:{server_port}".format_map(
                {"server_address": "?", "server_port": "?"} | labels)
            what = f"{labels.get('http_request_method', '')} {what}"
            row = rows.setdefault((kind, what), Row(service, kind, what))
            if sample == name + "_count":
                row.count += int(number)
                row.errors += int(number) if labels.get("error_type") else 0
            elif sample == name + "_bucket":
                edge = float(labels["le"])
                row.buckets[edge] = row.buckets.get(edge, 0) + number
    return [rows[key] for key in sorted(rows, reverse=True)]
