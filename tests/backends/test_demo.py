"""The demo's chain sends to a real Jaeger, whose query API has every request as one whole trace."""
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
from backends import get, wait
from lib.preload import LIBRARY

TOP = Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "scripts" / "lib" / "demo"))

from main import HOPS, PER_SECOND, SERVICES  # noqa: E402
from services import Chain  # noqa: E402

SECONDS = 2
COUNT = PER_SECOND * SECONDS


@pytest.fixture
def work():
    path = Path(tempfile.mkdtemp(prefix="otelauto-demo."))
    path.chmod(0o755)  # nginx's workers are another user's
    yield path
    shutil.rmtree(path, ignore_errors=True)


def parent_of(span):
    parents = [r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"]
    assert len(parents) <= 1
    return parents[0] if parents else None


def wrong_with(trace):
    """The spans of one request in their places, from the client down; what is wrong, or None."""
    spans = {}
    for span in trace["spans"]:
        tags = {t["key"]: t["value"] for t in span["tags"]}
        place = trace["processes"][span["processID"]]["serviceName"], tags["span.kind"]
        if place in spans:
            return f"two of {place}"
        spans[place] = span
    if set(spans) != set(HOPS):
        return f"{sorted(spans)}"
    parent = None
    for place in HOPS:
        if parent_of(spans[place]) != parent:
            return f"the parent of {place} is {parent_of(spans[place])}, not {parent}"
        parent = spans[place]["spanID"]
    return None


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_jaeger_shows_the_demo_s_traces_with_services_and_parents(fresh_jaeger, work, protocol):
    jaeger = fresh_jaeger
    api = f"http://127.0.0.1:{jaeger.query}/api"
    port = jaeger.grpc if protocol == "grpc" else jaeger.http
    chain = Chain(LIBRARY, f"http://127.0.0.1:{port}", work)
    chain.settings["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    with chain:
        chain.load(COUNT, SECONDS)

        def whole():
            found = jaeger.traces("client")
            return found if len(found) == COUNT and all(len(t["spans"]) == len(HOPS) for t in found) else None
        traces = wait(whole, what=f"{COUNT} traces of {len(HOPS)} spans in Jaeger")
    assert [w for t in traces if (w := wrong_with(t))] == []
    assert set(get(f"{api}/services")["data"]) == set(SERVICES)
    edges = {(e["parent"], e["child"]): e["callCount"]
             for e in get(f"{api}/dependencies?endTs={int(time.time() * 1000) + 1000}&lookback=3600000")["data"]}
    assert edges == {(a, b): COUNT for a, b in zip(SERVICES, SERVICES[1:])}
    operations = {o["name"] for o in get(f"{api}/operations?service=app&spanKind=server")["data"]}
    assert operations == {"GET /orders/{id}"}
