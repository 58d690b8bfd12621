"""The local tail rule in whole programs: at 1 % head sampling every failed and slow request is kept, with its calls, in
bounded memory, while metrics count all of the load exactly."""
from collections import Counter, defaultdict

import pytest

from lib.collector import find
from lib.leaf import Leaf
from lib.loadgen import Connection, Load
from lib.metrics import get, scrape
from lib.preload import Program, app, wait_until
from test_counts import COUNT, CLIENT_COUNT, metrics_port, no_drops, wait_sum
from test_sampling import sampler

EVERYTHING = {"OTELAUTO_KEEP_RATE": "100000", "OTELAUTO_KEEP_SLOW": "50", "OTEL_BSP_MAX_QUEUE_SIZE": "262144"}


def keep(argument="0.01", name="parentbased_traceidratio", **more):
    return {**sampler(name, argument), "OTELAUTO_KEEP": "", **EVERYTHING, **more}


def fate_of(ident):
    """Six in a hundred fail, three are slow; by the request's own id, so that the test knows them all."""
    number = int(ident, 16) % 100
    return "error" if number < 6 else "slow" if number < 9 else "lost" if number < 11 else "fine"


def fates(load):
    return Counter(fate_of(i) for i in load.ids)


def ident(span):
    return span.path.rsplit("/", 1)[1]


def run_load(program, requests, connections=8):
    return Load(program.port, requests, connections, path=lambda i: f"/{fate_of(i)}/{i}").run()


def weight(span):
    """How many requests a span stands for."""
    th = span.trace_state.partition("ot=th:")[2].partition(",")[0].partition(";")[0]
    return 2 ** 56 / (2 ** 56 - int(th.ljust(14, "0"), 16)) if th else None


@pytest.mark.parametrize("server", [["fate_server"], ["fate_server", "leaf"]], ids=["alone", "with calls"])
def test_failed_and_slow_requests_are_kept_at_one_percent(collector, server):
    requests = 6000 if len(server) == 1 else 2500
    with Leaf() as leaf:
        argv = [app(server[0])] + [leaf.port] * (len(server) - 1)
        with Program(argv, endpoint=collector.endpoint, settings=keep(OTELAUTO_KEEP="error,slow", OTELAUTO_KEEP_MEMORY="1")) as program:
            loads = [run_load(program, requests, 16)]
            want = {i for i in loads[0].ids if fate_of(i) != "fine"}
            metrics = wait_sum(program, COUNT, requests)
            statuses = Counter({"200": 0, "500": 0})
            for labels, value in metrics.series(COUNT).items():
                statuses[dict(labels)["http_response_status_code"]] += value
            assert statuses == {"500": fates(loads[0])["error"], "200": requests - fates(loads[0])["error"]}
            if len(server) > 1:
                assert metrics.sum(CLIENT_COUNT) == requests - fates(loads[0])["lost"]
            collector.wait_for(lambda spans: {ident(s) for s in find(spans, kind="SERVER")} >= want, deadline=60)
            last = scrape(metrics_port(program))
            assert last.sum("otelauto_keep_held_bytes") <= 1 << 20
            no_drops(last)
            assert last.sum("otelauto_kept_traces_total") > 0.9 * len(want)
    servers = {ident(s): s for s in find(collector.spans, kind="SERVER")}
    missing = want - set(servers)
    assert len(missing) <= 0.001 * len(want), f"{len(missing)} of {len(want)}"
    reasons = defaultdict(Counter)
    for i, span in servers.items():
        reasons[fate_of(i)][span.attributes.get("otelauto.keep.reason")] += 1
    # One in a hundred was kept by the head: that one needs no reason.
    assert set(reasons["error"]) <= {"error", None} and set(reasons["lost"]) <= {"error", None}
    assert set(reasons["slow"]) <= {"slow", None}
    # What is fine is there by the head alone, or was slow because the machine was.
    assert reasons["fine"]["error"] == 0 and reasons["fine"][None] < requests * 0.03
    assert all(weight(s) == 1 for i, s in servers.items() if fate_of(i) != "fine")
    assert all(90 < weight(s) < 110 for i, s in servers.items()
               if fate_of(i) == "fine" and not s.attributes.get("otelauto.keep.reason") and s.end - s.start < 50e6)
    clients = defaultdict(list)
    for span in find(collector.spans, kind="CLIENT"):
        clients[span.trace_id].append(span)
    for i, span in servers.items():
        if len(server) > 1 or fate_of(i) == "lost":
            mine = clients[span.trace_id]
            assert len(mine) == 1 and mine[0].parent_id == span.span_id, (span, mine)
            assert mine[0].trace_state == span.trace_state


def test_what_is_kept_has_all_of_its_texts(collector):
    with Program([app("fate_server")], endpoint=collector.endpoint,
                 settings=keep("0", OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS="x-truth",
                               OTELAUTO_KEEP="error")) as program:
        with Connection(program.port) as c:
            c.request("/error/1?q=2", headers=[("X-Truth", "t"), ("User-Agent", "me")])
            c.request("/fine/2")
        collector.wait_count(1, kind="SERVER")
        wait_sum(program, COUNT, 2)
    span, = collector.spans
    assert span.attributes["user_agent.original"] == "me"
    assert span.attributes["url.query"] == "q=2"
    assert span.attributes["http.request.header.x-truth"] == ["t"]
    assert span.attributes["server.address"] == "test"
    assert span.name == "GET /error/{id}" and span.trace_state == "ot=th:0"


def test_a_new_route_is_rare(collector):
    with Program([app("fate_server")], endpoint=collector.endpoint, settings=keep("0", OTELAUTO_KEEP="rare")) as program:
        Load(program.port, 50, 1, path=lambda i: f"/busy/{i}").run()
        Load(program.port, 1, 1, path=lambda i: f"/other/{i}").run()
        wait_sum(program, COUNT, 51)
        collector.wait_for(lambda spans: any("/other/" in s.path for s in spans))
    found = Counter((s.path.split("/")[1], s.attributes["otelauto.keep.reason"]) for s in collector.spans)
    assert found == {("busy", "rare"): 3, ("other", "rare"): 1}


@pytest.mark.parametrize("settings", [keep("0", OTELAUTO_KEEP="none"), keep("", "always_off"),
                                      keep("", "parentbased_always_off")], ids=["none", "always_off", "parentbased"])
def test_it_can_be_switched_off(collector, settings):
    with Program([app("fate_server")], endpoint=collector.endpoint, settings=settings) as program:
        load = run_load(program, 200)
        wait_sum(program, COUNT, 200)
        assert fates(load)["error"]
    assert not collector.spans


CALLER = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]


@pytest.mark.parametrize("settings, count", [({}, 0), ({"OTELAUTO_KEEP_REMOTE": "true"}, 1)], ids=["off", "on"])
def test_what_the_caller_dropped_is_kept_only_when_told(collector, settings, count):
    with Program([app("fate_server")], endpoint=collector.endpoint,
                 settings={**EVERYTHING, "OTELAUTO_KEEP": "error", **settings}) as program:
        with Connection(program.port) as c:
            c.request("/error/1", headers=CALLER)
            c.request("/fine/2", headers=CALLER)
        wait_sum(program, COUNT, 2)
        collector.wait_for(lambda spans: len(spans) >= count)
    assert len(collector.spans) == count
    if count:
        span, = collector.spans
        assert span.parent_id == "b7ad6b7169203331" and span.attributes["otelauto.keep.reason"] == "error"


def test_exemplars_point_at_kept_traces_only(collector):
    with Program([app("fate_server")], endpoint=collector.endpoint,
                 settings=keep("0.05", OTELAUTO_KEEP="error,slow")) as program:
        run_load(program, 600)
        wait_sum(program, COUNT, 600)
        port = metrics_port(program)
        text = get(port, headers={"Accept": "application/openmetrics-text; version=1.0.0"})[2].decode()
        pointed = {part.split('"')[1] for part in text.split("trace_id=")[1:]}
        assert len(pointed) >= 2
        collector.wait_for(lambda spans: {s.trace_id for s in spans} >= pointed, deadline=30)
    assert any("500" in line and "trace_id=" in line for line in text.splitlines() if "duration" in line)


def test_metrics_of_the_tail_rule(collector):
    with Program([app("fate_server")], endpoint=collector.endpoint,
                 settings=keep("0", OTELAUTO_KEEP="error,slow")) as program:
        load = run_load(program, 300)
        wait_sum(program, COUNT, 300)
        failed = fates(load)["error"] + fates(load)["lost"]
        metrics = scrape(metrics_port(program))
        assert metrics.sum("otelauto_kept_traces_total", reason="error") == failed
        assert metrics.sum("otelauto_keep_probability", reason="error") == 1
        kept = failed + metrics.sum("otelauto_kept_traces_total", reason="slow") + fates(load)["lost"]
        assert metrics.sum("otelauto_spans_total", decision="kept") == kept
        assert metrics.sum("otelauto_spans_total") == 300 + fates(load)["lost"]
        collector.wait_count(int(kept))


def test_a_storm_of_errors_stays_near_its_budget(collector):
    """Everything fails; twenty a second may be kept, by a probability that they say."""
    with Program([app("fate_server")], endpoint=collector.endpoint,
                 settings=keep("0", OTELAUTO_KEEP="error", OTELAUTO_KEEP_RATE="20")) as program:
        done = 0

        def storm():
            nonlocal done
            Load(program.port, 1000, 16, path=lambda i: f"/error/{i}").run()
            done += 1000
            return scrape(metrics_port(program)).sum("otelauto_keep_probability", reason="error") < 0.5
        wait_until(storm, what="a share below a half")
        Load(program.port, 2000, 16, path=lambda i: f"/error/{i}").run()
        done += 2000
        metrics = wait_sum(program, COUNT, done)
        lowest = metrics.sum("otelauto_keep_probability", reason="error")
        kept = int(metrics.sum("otelauto_kept_traces_total", reason="error"))
        assert kept < done * 0.6
        collector.wait_count(kept, kind="SERVER")
    assert len(collector.spans) == kept
    weights = [weight(s) for s in collector.spans]
    assert None not in weights and max(weights) > 1.5
    lowest = min(lowest, 1 / max(weights))
    spread = (done * (1 / lowest - 1)) ** 0.5  # at most: not all were that unlikely; one that was may have had no luck
    assert abs(sum(weights) - done) < 5 * spread, (sum(weights), done, spread)
