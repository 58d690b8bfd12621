"""Judges whether outgoing calls got the right parent.

Parallel requests with an id each go through the server under test to a leaf, which sees the id and the
context that came with it. For each call the leaf received:
    right    its client span's parent is the server span of the same id
    linked   no parent, but a link to that server span
    none     no parent, no such link
    wrong    any other parent, or the trace of another request: a defect
"""
from collections import Counter

from .collector import DEADLINE, find
from .leaf import Leaf
from .loadgen import Load, new_id

ROWS = []


def truth_of_span(span):
    """Whose request a server span is."""
    header = span.attributes.get("http.request.header.x-truth")
    return header[0] if header else span.path.rsplit("/", 1)[-1]


def truth_of_call(request):
    return request.get("x-truth") or request.target.rsplit("/", 1)[-1]


class Verdict:
    def __init__(self):
        self.counts = Counter()
        self.wrong = []
        self.evidence = Counter()

    def add(self, result, why=""):
        self.counts[result] += 1
        if result == "wrong":
            self.wrong.append(why)

    def __getitem__(self, key):
        return self.counts[key]

    def __repr__(self):
        return ", ".join(f"{k} {self.counts[k]}" for k in ("right", "linked", "none", "wrong"))


def client_span_of(request, by_id, clients_by_truth):
    context = request.get("traceparent")
    spans = clients_by_truth.get(truth_of_call(request), [])
    if context:
        span = by_id.get(context.split("-")[2])
        return span, None if span else f"the leaf got {context}, no span of ours; for it there is {spans}"
    return (spans[0], None) if len(spans) == 1 else (None, None)


def judge(requests, spans, sent_traces=None):
    """requests: what the leaf received. sent_traces: {id: trace id the client sent}, if it sent any."""
    verdict = Verdict()
    by_id = {s.span_id: s for s in spans}
    clients = {}
    for span in find(spans, kind="CLIENT"):
        clients.setdefault(truth_of_span(span), []).append(span)
    for request in requests:
        truth = truth_of_call(request)
        span, problem = client_span_of(request, by_id, clients)
        if problem and sent_traces and request.get("traceparent").split("-")[1] == sent_traces[truth]:
            verdict.add("none")  # handed on as it came: the chain holds, without us
            continue
        if problem:
            verdict.add("wrong", f"{request.target}: {problem}")
            continue
        if span is None:
            verdict.add("none")
            continue
        verdict.evidence[span.attributes.get("otelauto.evidence", "?")] += 1
        context = request.get("traceparent")
        if context and context.split("-")[1] != span.trace_id:
            verdict.add("wrong", f"{request.target}: trace id on the wire is not the span's")
        elif sent_traces and span.trace_id != sent_traces[truth] and span.trace_id in sent_traces.values():
            verdict.add("wrong", f"{request.target}: in the trace of another request")
        elif span.parent_id:
            parent = by_id.get(span.parent_id)
            if parent and parent.kind == "SERVER" and truth_of_span(parent) == truth and \
                    parent.trace_id == span.trace_id:
                verdict.add("right")
            else:
                evidence = span.attributes.get("otelauto.evidence")
                verdict.add("wrong", f"{span} called for {truth} has parent {parent} by {evidence}")
        else:
            linked = [by_id.get(span_id) for _, span_id in span.links]
            verdict.add("linked" if any(s and truth_of_span(s) == truth for s in linked) else "none")
    return verdict


# What a server under test needs for a judgement.
SETTINGS = {
    "OTELAUTO_EVIDENCE": "true",
    "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS": "x-truth",
    "OTEL_INSTRUMENTATION_HTTP_CLIENT_CAPTURE_REQUEST_HEADERS": "x-truth",
    "OTEL_BSP_MAX_QUEUE_SIZE": "65536",
}


def drive(name, collector, start_server, parallel=64, rounds=4, delay=(0.0, 0.02), same_path=False, remote=False,
          keep_alive=True, calls_per_request=1):
    """Runs the load and the judgement. start_server(leaf_port) is a context manager that gives the port.

    same_path   every request has the same path; only the payload header tells them apart
    remote      the clients send a traceparent each
    """
    traces = {}

    def headers(ident):
        found = [("X-Truth", ident)]
        if remote:
            traces[ident] = f"{new_id()}{new_id()}"
            found.append(("traceparent", f"00-{traces[ident]}-{new_id()}-01"))
        return found

    with Leaf(delay=delay) as leaf, start_server(leaf.port) as port:
        load = Load(port, parallel * rounds, parallel, keep_alive=keep_alive, start_together=True, headers=headers,
                    path=(lambda ident: "/t/same") if same_path else None).run()
        assert load.statuses() == {200: parallel * rounds}, load.statuses()
        expected = parallel * rounds
        requests = leaf.wait_count(expected * calls_per_request)
        collector.wait_count(expected, kind="SERVER", deadline=2 * DEADLINE)
        collector.wait_count(expected * calls_per_request, kind="CLIENT", deadline=2 * DEADLINE)
    verdict = judge(requests, collector.spans, traces)
    servers = find(collector.spans, kind="SERVER")
    assert len(servers) == expected, f"{len(servers)} server spans for {expected} requests"
    if remote:
        for span in servers:
            assert span.trace_id == traces[truth_of_span(span)], f"{span} did not join the caller's trace"
    ROWS.append((name, verdict))
    assert not verdict.wrong, f"{len(verdict.wrong)} wrong parents; first: {verdict.wrong[0]}"
    return verdict


def table():
    if not ROWS:
        return ""
    lines = [f"{'':36} {'right':>6} {'linked':>6} {'none':>6} {'wrong':>6}  evidence"]
    for name, v in ROWS:
        evidence = ", ".join(f"{k} {n}" for k, n in v.evidence.most_common())
        lines.append(f"{name:36} {v['right']:6} {v['linked']:6} {v['none']:6} {v['wrong']:6}  {evidence}")
    return "\n".join(lines)
