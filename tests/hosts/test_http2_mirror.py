"""The tables that header fields are compressed with, followed over one long connection: what our spans say against what the server
decoded, field by field."""
import os
import re
import sys
from collections import defaultdict

from kit import HERE, both, listen, need, wait_until
from lib.collector import find
from preload.test_counts import COUNT as SERVED, no_drops

COUNT = int(os.environ.get("MIXED_REQUESTS", "3000"))  # 100000: a minute or two
CAPTURE = {f"OTEL_INSTRUMENTATION_HTTP_{role}_CAPTURE_REQUEST_HEADERS": "x-id,x-mixed,x-7,x-fill" for role in ("SERVER", "CLIENT")}
FIELD = re.compile(r"^\[id=1\] \[ *[\d.]+\] recv \(stream_id=(\d+)(?:, sensitive)?\) (\S+?): ?(.*)$")


def decoded(log):
    """{stream: {name: [values]}} of nghttpd -v"""
    streams = defaultdict(lambda: defaultdict(list))
    for line in log.split("\n"):
        if found := FIELD.match(line):
            streams[int(found[1])][found[2]].append(found[3])
    return streams


def told(span):
    """What a span says of the fields, to be compared with decoded()."""
    a = span.attributes
    return {":method": a["http.request.method"], ":path": a["url.path"] if span.kind == "SERVER" else span.path,
            **{name: [v[:512] for v in a.get(f"http.request.header.{name}", [])] for name in ("x-mixed", "x-7", "x-fill")}}


def wanted(fields):
    return {":method": fields[":method"][0], ":path": fields[":path"][0],
            **{name: [v[:512] for v in fields.get(name, [])] for name in ("x-mixed", "x-7", "x-fill")}}


def test_tables_stay_exact(ways):
    def scenario(way):
        port = way.port()
        way.write("www/index.html", "hello\n")
        settings = {"OTEL_BSP_MAX_QUEUE_SIZE": str(max(65536, 2 * COUNT)), **CAPTURE}
        argv = [need("nghttpd"), "-v", "--no-tls", "--header-table-size=8192", port, "-d", way.folder / "www"]
        with way.program(argv, service="nghttpd", settings=settings) as server:
            tree = listen(server, port)
            argv = [sys.executable, HERE / "programs" / "mixed_headers.py", port, COUNT]
            with way.program(argv, service="client", settings=settings) as client:
                wait_until(lambda: client.process.poll() is not None or client.stdout.endswith("done\n"), 300, "all answers")
                if way.ours:
                    no_drops(tree.wait_sum(SERVED, COUNT))
                    way.collector.wait_for(lambda spans: len(spans) >= 2 * COUNT, 120, f"{2 * COUNT} spans")
                    served = find(way.collector.spans, kind="SERVER", service="nghttpd")
                answers = client.stdout  # as it is: numbers of streams may look like ports
                assert answers.endswith("done\n"), client.stderr
            log = server.stop().stdout
        streams = decoded(log)
        assert len(streams) == COUNT and all(int(fields["x-id"][0]) == stream for stream, fields in streams.items())
        parents = {stream: fields.pop("traceparent", None) for stream, fields in streams.items()}
        if way.ours:
            statuses = dict(line.split()[:2] for line in answers.splitlines()[:-1])
            calls = {s.span_id: s for s in find(way.collector.spans, kind="CLIENT")}
            assert len(served) == len(calls) == COUNT
            for span in served:
                stream = int(span.attributes["http.request.header.x-id"][0])
                assert told(span) == wanted(streams[stream]), span
                assert str(span.attributes["http.response.status_code"]) == statuses[str(stream)]
                call = calls.pop(span.parent_id)
                assert [p[:53] for p in parents.pop(stream)] == [f"00-{span.trace_id}-{span.parent_id}-"]
                assert told(call) == wanted(streams[stream]) and call.attributes["http.request.header.x-id"] == [str(stream)], call
                assert str(call.attributes["http.response.status_code"]) == statuses[str(stream)]
        return answers, {stream: dict(fields) for stream, fields in streams.items()}
    both(ways, scenario)
