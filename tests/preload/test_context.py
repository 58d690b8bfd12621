"""Context through a server: what comes in, what goes out to the leaf, and what the spans say. The W3C cases follow
the conformance suite (level 2)."""
import re

import pytest

from lib.collector import find
from lib.leaf import Leaf
from lib.loadgen import Connection
from lib.preload import Program, app

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"
HEX = "[0-9a-f]"
OUT = re.compile(f"00-({HEX}{{32}})-({HEX}{{16}})-({HEX}{{2}})")


class Hop:
    """One request through a server under test to a leaf."""

    def __init__(self, collector, leaf, program, headers, path="/hop", expect_spans=2):
        with Connection(program.port) as c:
            lines = "".join(f"{k}: {v}\r\n" for k, v in headers)
            c.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n".encode("latin-1"))
            assert c.answer()[0] == 200
        self.request = leaf.wait_count(1)[0]
        self.server = self.client = None
        if expect_spans:
            self.server = collector.wait_count(1, kind="SERVER")[0]
            self.client = collector.wait_count(1, kind="CLIENT")[0]
        self.sent = self.request.get("traceparent")
        if self.sent:
            match = OUT.fullmatch(self.sent)
            assert match, self.sent
            self.trace, self.span, self.flags = match.groups()

    def consistent(self):
        """The spans tell the same story as the wire."""
        assert self.server.trace_id == self.client.trace_id == self.trace
        assert self.client.parent_id == self.server.span_id
        assert self.client.span_id == self.span
        assert self.server.span_id not in (SPAN, self.client.span_id)
        return self


@pytest.fixture
def hop(collector, leaf):
    """hop(headers, settings=…, server=…)"""
    def go(headers, settings=None, server="thread_server", expect_spans=2):
        with Program([app(server), leaf.port], endpoint=collector.endpoint, settings=settings) as program:
            return Hop(collector, leaf, program, headers, expect_spans=expect_spans)
    return go


def joined(h):
    h.consistent()
    assert h.trace == TRACE and h.server.parent_id == SPAN
    return h


def restarted(h):
    h.consistent()
    assert h.trace != TRACE and h.server.parent_id == ""
    assert h.request.get("tracestate") is None
    return h


# -- traceparent --

ACCEPTED = {
    "plain": VALID,
    "spaces around": f"  {VALID} \t ",
    "tab in front": f"\t{VALID}",
    "unknown version": f"cc-{TRACE}-{SPAN}-01",
    "unknown version with more": f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
    "flags of the future": f"00-{TRACE}-{SPAN}-ff",
}
REFUSED = {
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "version .0": f".0-{TRACE}-{SPAN}-01",
    "version 0.": f"0.-{TRACE}-{SPAN}-01",
    "version of three": f"000-{TRACE}-{SPAN}-01",
    "version of one": f"0-{TRACE}-{SPAN}-01",
    "upper-case version": f"CC-{TRACE}-{SPAN}-01",
    "future version without its dash": f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
    "more behind version 00": f"00-{TRACE}-{SPAN}-01-x",
    "dot behind version 00": f"00-{TRACE}-{SPAN}-01.",
    "zero trace id": f"00-{'0' * 32}-{SPAN}-01",
    "zero parent id": f"00-{TRACE}-{'0' * 16}-01",
    "trace id too long": f"00-{TRACE}1-{SPAN}-01",
    "trace id too short": f"00-{TRACE[:-1]}-{SPAN}-01",
    "trace id in upper case": f"00-{TRACE.upper()}-{SPAN}-01",
    "trace id with a dot": f"00-.{TRACE[1:]}-{SPAN}-01",
    "parent id too long": f"00-{TRACE}-{SPAN}1-01",
    "parent id too short": f"00-{TRACE}-{SPAN[:-1]}-01",
    "parent id in upper case": f"00-{TRACE}-{SPAN.upper()}-01",
    "parent id with a dot": f"00-{TRACE}-.{SPAN[1:]}-01",
    "flags too long": f"00-{TRACE}-{SPAN}-001",
    "flags too short": f"00-{TRACE}-{SPAN}-1",
    "flags not hex": f"00-{TRACE}-{SPAN}-.0",
    "upper-case flags": f"00-{TRACE}-{SPAN}-0A",
    "no dashes": f"00_{TRACE}_{SPAN}_01",
    "two in one value": f"{VALID},{VALID}",
    "empty": "",
}


@pytest.mark.parametrize("value", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_traceparent_accepted(hop, value):
    joined(hop([("traceparent", value)]))


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TraceParent", "TRACEPARENT", "tRaCePaReNt"])
def test_header_names_in_any_case(hop, name):
    joined(hop([(name, VALID)]))


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_traceparent_refused_with_its_tracestate(hop, value):
    restarted(hop([("traceparent", value), ("tracestate", "foo=1")]))


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent", "xtraceparent", "traceparentx"])
def test_other_header_names_are_other_headers(hop, name):
    restarted(hop([(name, VALID), ("tracestate", "foo=1")]))


@pytest.mark.parametrize("second", [VALID, f"00-{'1' * 32}-{SPAN}-01"], ids=["same", "different"])
def test_two_traceparents_are_none(hop, second):
    restarted(hop([("traceparent", VALID), ("tracestate", "foo=1"), ("traceparent", second)]))


def test_no_context_starts_a_trace_that_says_so(hop):
    h = hop([]).consistent()
    assert h.server.parent_id == "" and int(h.flags, 16) & 1
    assert h.server.flags & 0x300 == 0x100, "a root has no remote parent"


def test_a_remote_parent_is_marked_on_the_span(hop):
    h = joined(hop([("traceparent", VALID)]))
    assert h.server.flags & 0x300 == 0x300
    assert h.client.flags & 0x300 == 0x100


@pytest.mark.parametrize("flags,random", [("01", False), ("03", True)])
def test_random_flag_is_passed_on_as_it_came(hop, flags, random):
    h = joined(hop([("traceparent", f"00-{TRACE}-{SPAN}-{flags}")]))
    assert bool(int(h.flags, 16) & 2) == random
    assert int(h.flags, 16) & ~3 == 0, "bits nobody knows are zero"


def test_unsampled_stays_unsampled(hop, collector, leaf):
    h = hop([("traceparent", f"00-{TRACE}-{SPAN}-00")], expect_spans=0)
    assert (h.trace, h.flags) == (TRACE, "00") and h.span != SPAN
    assert not collector.spans


def test_every_call_has_its_own_span_id(collector, leaf):
    with Program([app("thread_server"), leaf.port], endpoint=collector.endpoint) as program:
        with Connection(program.port) as c:
            for _ in range(5):
                c.request("/x", headers=[("traceparent", VALID)])
        collector.wait_count(10)
    spans = {r.get("traceparent").split("-")[2] for r in leaf.wait_count(5)}
    assert len(spans) == 5
    assert {s.trace_id for s in collector.spans} == {TRACE}


# -- tracestate --

def members(count):
    return ",".join(f"bar{i:02d}={i:02d}" for i in range(1, count + 1))


def entries(value):
    return [e.strip(" \t") for e in (value or "").split(",") if e.strip(" \t")]


KEPT = {
    "one": ["foo=1"],
    "two": ["foo=1,bar=2"],
    "two headers": ["foo=1", "bar=2"],
    "three headers, one empty": ["foo=1", "", "bar=2"],
    "spaces and tabs": ["foo=1 \t , \t bar=2, \t baz=3"],
    "empty members": ["foo=1,,,bar=2"],
    "32 members": [members(32)],
    "32 members over three headers": [members(10), ",".join(f"baz{i:02d}=1" for i in range(10)),
                                      ",".join(f"qux{i:02d}=1" for i in range(12))],
    "key of 256": [f"{'z' * 256}=1"],
    "tenant key": [f"{'t' * 241}@{'v' * 14}=1"],
    "odd keys": ["foo@=1,foo@@bar=1,0a=1,a-b_c*d/e=1"],
    "value of 256": [f"foo={'v' * 256}"],
    "all value characters": ["foo=" + "".join(chr(c) for c in range(0x21, 0x7f) if chr(c) not in ",=")],
    "512 characters": [",".join(f"k{i}={'v' * 58}" for i in range(8))],
    "spaces inside a value": ["foo=a b c"],
}


@pytest.mark.parametrize("values", KEPT.values(), ids=KEPT.keys())
def test_tracestate_travels_in_order(hop, values):
    h = joined(hop([("traceparent", VALID)] + [("tracestate", v) for v in values]))
    assert entries(h.request.get("tracestate")) == entries(",".join(values))
    assert entries(h.server.trace_state) == entries(",".join(values))


DROPPED = {
    "33 members": [members(33)],
    "key of 257": [f"{'z' * 257}=1"],
    "upper-case key": ["foO=1"],
    "key with a space": ["foo bar=1"],
    "key with a dot": ["foo.bar=1"],
    "empty key": ["=1"],
    "empty value": ["foo="],
    "no value": ["foo"],
    "equals in the value": ["foo=bar=baz"],
}


@pytest.mark.parametrize("values", DROPPED.values(), ids=DROPPED.keys())
def test_broken_tracestate_is_dropped_and_the_trace_goes_on(hop, values):
    h = joined(hop([("traceparent", VALID)] + [("tracestate", v) for v in values]))
    assert h.request.get("tracestate") is None


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_empty_tracestate_is_no_tracestate(hop, value):
    h = joined(hop([("traceparent", VALID), ("tracestate", value)]))
    assert not entries(h.request.get("tracestate"))


def test_tracestate_without_traceparent_is_dropped(hop):
    restarted(hop([("tracestate", "foo=1")]))


# -- baggage --

@pytest.mark.parametrize("headers,expected", [
    (["k=v"], ["k=v"]), (["a=1,b=2;p=3"], ["a=1", "b=2;p=3"]), (["a=1", "b=2"], ["a=1", "b=2"]),
    (["k=%20%E4"], ["k=%20%E4"]), (["a=b=c"], ["a=b=c"]), (["a=1 , b=2"], ["a=1", "b=2"]),
], ids=str)
def test_baggage_is_carried_on(hop, headers, expected):
    h = hop([("traceparent", VALID)] + [("baggage", v) for v in headers])
    assert entries(h.request.get("baggage")) == expected
    assert "baggage" not in str(h.server.attributes) and "k=v" not in str(h.client.attributes)


def test_baggage_needs_no_trace(hop):
    h = hop([("baggage", "user=7")]).consistent()
    assert h.request.get("baggage") == "user=7"


def test_baggage_of_eight_kilobytes(hop):
    value = ",".join(f"key{i:02d}={'v' * 121}" for i in range(64))
    assert len(value) <= 8192
    h = hop([("traceparent", VALID), ("baggage", value)])
    assert h.request.get("baggage") == value


def test_no_baggage_without_the_propagator(hop):
    h = joined(hop([("traceparent", VALID), ("baggage", "k=v")], {"OTEL_PROPAGATORS": "tracecontext"}))
    assert h.request.get("baggage") is None


def test_context_does_not_stick_to_the_connection(collector, leaf):
    """A second request on the same connections, without context, has nothing of the first."""
    with Program([app("epoll_proxy"), leaf.port], endpoint=collector.endpoint) as program:
        with Connection(program.port) as c:
            c.request("/a", headers=[("traceparent", VALID), ("tracestate", "foo=1"), ("baggage", "k=v")])
            c.request("/b")
    first, second = leaf.wait_count(2)
    assert first.get("traceparent").split("-")[1] == TRACE
    assert second.get("traceparent").split("-")[1] != TRACE
    assert second.get("tracestate") is None and second.get("baggage") is None


# -- other formats --

B3_LONG = f"{TRACE}-{SPAN}"
SHORT = "a1b2c3d4e5f60718"


def b3multi(trace=TRACE, span=SPAN, sampled="1", **more):
    found = [("X-B3-TraceId", trace), ("X-B3-SpanId", span)]
    if sampled is not None:
        found.append(("X-B3-Sampled", sampled))
    return found + list(more.items())


EXTRACTED = [
    ("b3", [("b3", f"{B3_LONG}-1")], TRACE),
    ("b3", [("b3", B3_LONG)], TRACE),
    ("b3", [("b3", f"{B3_LONG}-1-{SPAN}")], TRACE),
    ("b3", [("b3", f"{B3_LONG}-d")], TRACE),
    ("b3", [("B3", f"{SHORT}-{SPAN}-1")], SHORT.rjust(32, "0")),
    ("b3", b3multi(), TRACE),
    ("b3multi", b3multi(), TRACE),
    ("b3multi", b3multi(sampled="true"), TRACE),
    ("b3multi", b3multi(sampled=None), TRACE),
    ("b3multi", b3multi(sampled=None) + [("X-B3-Flags", "1")], TRACE),
    ("b3multi", b3multi(trace=SHORT), SHORT.rjust(32, "0")),
    ("b3multi", [("b3", f"{B3_LONG}-1")], TRACE),
    ("jaeger", [("uber-trace-id", f"{TRACE}:{SPAN}:0:1")], TRACE),
    ("jaeger", [("uber-trace-id", f"{TRACE}:{SPAN}:0:3")], TRACE),
    ("jaeger", [("uber-trace-id", f"{SHORT}:{SPAN}:{SPAN}:1")], SHORT.rjust(32, "0")),
    ("jaeger", [("uber-trace-id", f"{TRACE}%3A{SPAN}%3A0%3A1")], TRACE),
    ("xray", [("X-Amzn-Trace-Id", f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1")], TRACE),
    ("xray", [("X-Amzn-Trace-Id", f"Sampled=1;Parent={SPAN};Root=1-{TRACE[:8]}-{TRACE[8:]};Lineage=a:1")], TRACE),
]


@pytest.mark.parametrize("propagator,headers,trace", EXTRACTED,
                         ids=[f"{p} {h[0][1]} {len(h)}" for p, h, _ in EXTRACTED])
def test_other_formats_in(hop, propagator, headers, trace):
    h = hop(headers, {"OTEL_PROPAGATORS": propagator})
    assert h.server.trace_id == trace and h.server.parent_id == SPAN
    assert h.client.trace_id == trace and h.client.parent_id == h.server.span_id
    assert h.sent is None, "only the formats that were asked for go out"


def test_b3_single_goes_out(hop):
    h = hop([], {"OTEL_PROPAGATORS": "b3"})
    assert h.request.get("b3") == f"{h.client.trace_id}-{h.client.span_id}-1"
    assert h.request.get("x-b3-traceid") is None


def test_b3_multi_goes_out(hop):
    h = hop([], {"OTEL_PROPAGATORS": "b3multi"})
    assert h.request.get("x-b3-traceid") == h.client.trace_id
    assert h.request.get("x-b3-spanid") == h.client.span_id
    assert h.request.get("x-b3-sampled") == "1"
    assert h.request.get("b3") is None and h.request.get("x-b3-parentspanid") is None


def test_jaeger_goes_out(hop):
    h = hop([], {"OTEL_PROPAGATORS": "jaeger"})
    assert h.request.get("uber-trace-id") == f"{h.client.trace_id}:{h.client.span_id}:0:1"


def test_xray_goes_out(hop):
    h = hop([], {"OTEL_PROPAGATORS": "xray"})
    t = h.client.trace_id
    assert h.request.get("x-amzn-trace-id") == f"Root=1-{t[:8]}-{t[8:]};Parent={h.client.span_id};Sampled=1"


def test_several_formats_at_once(hop):
    h = hop([("b3", f"{B3_LONG}-1")], {"OTEL_PROPAGATORS": "tracecontext,b3,jaeger"}).consistent()
    assert h.trace == TRACE and h.server.parent_id == SPAN
    assert h.request.get("b3").startswith(TRACE) and h.request.get("uber-trace-id").startswith(TRACE)


def test_a_later_format_does_not_override_an_earlier_one(hop):
    other = f"{'1' * 32}-{'2' * 16}-1"
    both = [("traceparent", VALID), ("b3", other)]
    h = hop(both, {"OTEL_PROPAGATORS": "b3,tracecontext"})
    assert h.server.trace_id in (TRACE, "1" * 32)
    assert h.server.parent_id in (SPAN, "2" * 16)
    assert (h.server.trace_id == TRACE) == (h.server.parent_id == SPAN), "one context, not a mixture"


@pytest.mark.parametrize("value", ["0", f"{B3_LONG}-0"])
def test_b3_deny(hop, collector, value):
    hop([("b3", value)], {"OTEL_PROPAGATORS": "b3"}, expect_spans=0)
    assert not collector.spans


@pytest.mark.parametrize("value", ["", "x", f"{TRACE}-", f"{TRACE[:-1]}-{SPAN}-1", f"{'0' * 32}-{SPAN}-1", f"{TRACE}-{SPAN}-7x"])
def test_broken_b3(hop, value):
    h = hop([("b3", value)], {"OTEL_PROPAGATORS": "b3"})
    assert h.server.parent_id == "" and h.server.trace_id != TRACE


# -- proxies that pass headers on --

def test_a_proxy_that_passes_the_header_on_stays_in_the_chain(hop):
    h = joined(hop([("traceparent", VALID), ("tracestate", "foo=1")], server="epoll_proxy"))
    assert h.request.get("tracestate") == "foo=1"


def test_a_proxy_adds_one_where_none_came(hop):
    hop([], server="epoll_proxy").consistent()


def test_propagators_none_touches_nothing(hop):
    h = hop([("traceparent", VALID)], {"OTEL_PROPAGATORS": "none"}, server="epoll_proxy")
    assert h.sent == VALID
    assert h.server.trace_id != TRACE and h.server.parent_id == ""


# -- samplers --

@pytest.mark.parametrize("settings,headers,sampled", [
    ({"OTEL_TRACES_SAMPLER": "always_off"}, [("traceparent", VALID)], False),
    ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, [], False),
    ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, [("traceparent", VALID)], True),
    ({"OTEL_TRACES_SAMPLER": "always_on"}, [("traceparent", VALID[:-1] + "0")], True),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0", "OTELAUTO_KEEP": "none"}, [], False),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, [], True),
])
def test_sampler_decides_and_the_wire_says_so(hop, collector, settings, headers, sampled):
    h = hop(headers, settings, expect_spans=2 if sampled else 0)
    assert bool(int(h.flags, 16) & 1) == sampled
    assert bool(collector.spans) == sampled
    if headers:
        assert h.trace == TRACE


# -- two services --

def test_a_chain_of_three_programs_is_one_trace(collector):
    with Leaf() as leaf, \
            Program([app("thread_server"), leaf.port], endpoint=collector.endpoint, service="back") as back, \
            Program([app("epoll_proxy"), back.port], endpoint=collector.endpoint, service="proxy") as proxy, \
            Program([app("pool_server"), proxy.port], endpoint=collector.endpoint, service="front") as front:
        with Connection(front.port) as c:
            assert c.request("/chain")[0] == 200
        spans = collector.wait_count(6)
    assert len(spans) == 6 and len({s.trace_id for s in spans}) == 1
    order = []
    span = find(spans, service="front", kind="SERVER")[0]
    while span:
        order.append((span.service, span.kind))
        span = next((s for s in spans if s.parent_id == span.span_id), None)
    assert order == [(s, k) for s in ("front", "proxy", "back") for k in ("SERVER", "CLIENT")]
