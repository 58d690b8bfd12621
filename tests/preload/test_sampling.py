"""Sampling in whole programs: what is kept, what is said about it, and that metrics count everything all the same."""
import json
import os
from collections import Counter

import pytest

from lib.collector import find
from lib.leaf import Leaf
from lib.loadgen import Connection, Load
from lib.metrics import scrape
from lib.preload import Program, app, wait_until
from test_counts import BIG_QUEUE, COUNT, metrics_port, wait_sum

SHARE = "otelauto_sampling_probability"


def sampler(name, argument="", **more):
    """The head sampler alone: the tail rule has tests of its own."""
    return {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument, "OTELAUTO_KEEP": "none", **BIG_QUEUE, **more}


def wait_share(program, rule, want):
    def look():
        have = scrape(metrics_port(program)).series(SHARE, rule=rule)
        return have and want(next(iter(have.values())))
    wait_until(look, what=f"the share of {rule}")


def write_rules(path, rules):
    """As editors do: a new file in place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(rules))
    os.replace(new, path)


def paths_of(collector):
    return Counter(s.path.split("/")[1] for s in find(collector.spans, kind="SERVER"))


def load(program, prefix, count, **options):
    return Load(program.port, count, 4, path=lambda ident: f"/{prefix}/{ident}", **options).run()


def test_kept_traces_say_what_they_stand_for(collector):
    with Leaf() as leaf, Program([app("thread_server"), leaf.port], endpoint=collector.endpoint,
                                 settings=sampler("parentbased_traceidratio", "0.25")) as program:
        load(program, "a", 400)
        wait_sum(program, COUNT, 400)
        promised = {r.get("traceparent").split("-")[1]: r.get("tracestate") for r in leaf.requests
                    if r.get("traceparent").endswith("1") or r.get("traceparent").endswith("3")}
        assert 50 < len(promised) < 160 and set(promised.values()) == {"ot=th:c"}
        assert not any(r.get("tracestate") for r in leaf.requests if r.get("traceparent").split("-")[1] not in promised)
        collector.wait_for(lambda spans: len(spans) >= 2 * len(promised))
    assert {s.trace_id for s in collector.spans} == set(promised)
    assert {s.trace_state for s in collector.spans} == {"ot=th:c"}
    assert all(int(s.trace_id[-14:], 16) >= 0xc << 52 for s in collector.spans)


RULES = {"default": 0, "rules": [
    {"name": "pay", "method": "GET", "route": "/pay/{id}", "ratio": 1},
    {"name": "debug", "header": {"x-debug": "1"}, "ratio": 1},
    {"name": "port", "attribute": {"url.path": "/q*", "url.query": "full=*"}, "ratio": 1},
]}


def test_rules_decide_by_route_method_header_and_attribute_and_are_read_again(collector, tmp_path):
    file, log = tmp_path / "rules.json", tmp_path / "log"
    write_rules(file, RULES)
    with Program([app("thread_server")], endpoint=collector.endpoint,
                 settings=sampler("rules", OTELAUTO_SAMPLING_RULES=str(file), OTELAUTO_LOG_FILE=str(log))) as program:
        wait_share_of_new(program, "pay")
        load(program, "pay", 20)
        load(program, "other", 20)
        load(program, "header", 20, headers=lambda ident: [("X-Debug", "1" if ident[0] < "8" else "0")])
        with Connection(program.port) as c:
            c.request("/q/1?full=1")
            c.request("/q/2?full")
            c.request("/pay/3", "POST", body=b"x")
        collector.wait_for(lambda spans: sum(paths_of(collector).values()) >= 21)
        done = 1 + 60 + 3
        wait_sum(program, COUNT, done)
        counted = paths_of(collector)
        assert counted["pay"] == 20 and counted["q"] == 1 and not counted["other"] and counted["header"] < 20
        write_rules(file, {"default": 0, "rules": [{"name": "other", "route": "/other/*", "ratio": 1}]})
        wait_share(program, "other", lambda p: p == 1)
        load(program, "pay", 10)
        load(program, "other", 10)
        wait_sum(program, COUNT, done + 20)
        collector.wait_for(lambda spans: paths_of(collector)["other"] >= 10)
        file.write_text('{"rules": [{"route": "nonsense"}]}')  # wrong: the old ones stay
        wait_until(lambda: log.exists() and "rule 1: route does not begin with /" in log.read_text(), what="a complaint")
        load(program, "other", 10)
        collector.wait_for(lambda spans: paths_of(collector)["other"] >= 20)
    assert paths_of(collector)["pay"] == 20
    assert log.read_text().count("rule 1") == 1


def wait_share_of_new(program, rule):
    """Rules are read by our thread, which comes with the first connection: one request goes by the default."""
    with Connection(program.port) as c:
        c.request("/first")
    wait_share(program, rule, lambda p: p == 1)


def test_rules_can_stand_in_the_variable(collector):
    with Program([app("thread_server")], endpoint=collector.endpoint,
                 settings=sampler("parentbased_rules", OTELAUTO_SAMPLING_RULES=json.dumps(RULES))) as program:
        wait_share_of_new(program, "pay")
        load(program, "pay", 5)
        load(program, "other", 5)
        wait_sum(program, COUNT, 11)
        collector.wait_for(lambda spans: paths_of(collector)["pay"] >= 5)
    assert not paths_of(collector)["other"]


def test_rate_limiting_counts_for_all_workers_together(collector):
    with Program([app("prefork_server"), "0", "4"], endpoint=collector.endpoint,
                 settings=sampler("rate_limiting", "0.01")) as program:
        load(program, "a", 80, keep_alive=False)
        wait_sum(program, COUNT, 80)
        metrics = scrape(metrics_port(program))
        assert metrics.sum("otelauto_sampling_decisions_total", decision="kept") == 1
        assert metrics.sum("otelauto_sampling_decisions_total", decision="dropped") == 79
        collector.wait_count(1, kind="SERVER")
    assert len(find(collector.spans, kind="SERVER")) == 1
    assert collector.spans[0].trace_state == ""


@pytest.mark.parametrize("server", [["thread_server"], ["prefork_server", "0", "4"]], ids=lambda s: s[0])
def test_adaptive_cuts_a_storm_down_for_the_whole_tree(collector, server):
    with Program([app(server[0]), *server[1:]], endpoint=collector.endpoint,
                 settings=sampler("adaptive", "5")) as program:
        requests = 0

        def storm():
            nonlocal requests
            load(program, "a", 200, keep_alive=False)
            requests += 200
            shares = scrape(metrics_port(program)).series(SHARE, rule="default")
            return shares and next(iter(shares.values())) < 0.2
        wait_until(storm, what="a share below 20 %")
        metrics = wait_sum(program, COUNT, requests)
        kept = metrics.sum("otelauto_sampling_decisions_total", decision="kept")
        assert kept + metrics.sum("otelauto_sampling_decisions_total", decision="dropped") == requests
        collector.wait_count(int(kept), kind="SERVER")
    spans = find(collector.spans, kind="SERVER")
    assert len(spans) == kept
    assert all(s.trace_state.startswith("ot=th:") for s in spans)


def test_an_argument_that_is_none_is_said_and_not_used(collector, tmp_path):
    log = tmp_path / "log"
    with Program([app("thread_server")], endpoint=collector.endpoint,
                 settings=sampler("traceidratio", "half", OTELAUTO_LOG_FILE=str(log))) as program:
        load(program, "a", 5)
        collector.wait_count(5, kind="SERVER")
    assert 'OTEL_TRACES_SAMPLER_ARG: "half" is not a number from 0 to 1; using the default' in log.read_text()
