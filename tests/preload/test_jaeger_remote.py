"""jaeger_remote: the collector says what is kept, and our root spans say by which number, so that its own adaptive sampling
closes the loop."""
import time
from collections import Counter

import pytest

from lib.collector import find
from lib.fake_jaeger import Adaptive, FakeJaeger, by_operation
from lib.leaf import Leaf
from lib.loadgen import Load
from lib.metrics import scrape
from lib.preload import Program, app, free_port, wait_until
from test_counts import BIG_QUEUE, COUNT, metrics_port, wait_sum
from test_sampling import SHARE, load, sampler, wait_share


def remote(jaeger, name="jaeger_remote", **argument):
    return sampler(name, jaeger.argument(**argument), OTEL_SERVICE_NAME="shop & co")


def first(program):
    """Our thread comes with the first connection."""
    load(program, "first", 1)


def tags(span):
    return span.attributes.get("sampler.type"), span.attributes.get("sampler.param")


def test_a_probability_is_taken_and_said_exactly(collector):
    with Leaf() as leaf, FakeJaeger({"strategyType": "PROBABILISTIC",
                                     "probabilisticSampling": {"samplingRate": 0.300000001}}) as jaeger:
        with Program([app("thread_server"), leaf.port], endpoint=collector.endpoint, settings=remote(jaeger)) as program:
            first(program)
            wait_share(program, "default", lambda p: 0.29 < p < 0.31)
            load(program, "a", 400)
            metrics = wait_sum(program, COUNT, 401)
            kept = metrics.sum("otelauto_sampling_decisions_total", decision="kept")
            assert 60 < kept < 190
            collector.wait_for(lambda spans: len(find(spans, kind="SERVER")) >= kept)
    assert set(jaeger.asked) == {"/sampling?service=shop%20%26%20co"}
    servers = [s for s in find(collector.spans, kind="SERVER") if "/a/" in s.path]
    assert {tags(s) for s in servers} == {("probabilistic", "0.300000001")}
    assert {s.trace_state for s in servers} == {"ot=th:b333"}
    assert {tags(s) for s in find(collector.spans, kind="CLIENT")} == {(None, None)}, "only root spans say it"


def test_operations_have_their_own(collector):
    strategy = by_operation(0, **{"GET /a/{id}": 1.0, "GET /b/{id}": 0.5, "GET /never/{id}": 0})
    with FakeJaeger(strategy) as jaeger:
        with Program([app("thread_server")], endpoint=collector.endpoint, settings=remote(jaeger)) as program:
            first(program)
            wait_share(program, "GET /a/{id}", lambda p: p == 1)
            for prefix in ("a", "b", "never", "else"):
                load(program, prefix, 50)
            wait_sum(program, COUNT, 201)
            collector.wait_for(lambda spans: Counter(s.path.split("/")[1] for s in spans)["a"] >= 50)
    found = Counter((s.path.split("/")[1], *tags(s)) for s in collector.spans)
    assert found[("a", "probabilistic", "1")] == 50
    assert 5 < found[("b", "probabilistic", "0.5")] < 45
    assert {prefix for prefix, _, _ in found} <= {"a", "b", "first"}


def test_an_operation_that_is_hardly_ever_kept_is_kept_sometimes(collector):
    with FakeJaeger(by_operation(0.0, 1 / 60, **{"GET /a/{id}": 0.0})) as jaeger:
        with Program([app("prefork_server"), "0", "3"], endpoint=collector.endpoint, settings=remote(jaeger)) as program:
            first(program)
            wait_share(program, "GET /a/{id}", lambda p: p == 0)
            load(program, "a", 60, keep_alive=False)
            wait_sum(program, COUNT, 61)
            collector.wait_for(lambda spans: [s for s in spans if "/a/" in s.path])
    kept = [s for s in collector.spans if "/a/" in s.path]
    assert len(kept) == 1, "one bucket for all workers"
    assert tags(kept[0]) == ("lowerbound", "0") and kept[0].trace_state == ""


def test_a_rate_is_taken(collector):
    with FakeJaeger({"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 3}}) as jaeger:
        with Program([app("thread_server")], endpoint=collector.endpoint, settings=remote(jaeger)) as program:
            first(program)
            wait_until(lambda: not scrape(metrics_port(program)).series(SHARE, rule="default"), what="a rate")
            begin = time.monotonic()
            load(program, "a", 200)
            seconds = time.monotonic() - begin
            wait_sum(program, COUNT, 201)
            collector.wait_for(lambda spans: [s for s in spans if "/a/" in s.path])
    kept = [s for s in collector.spans if "/a/" in s.path]
    assert 1 <= len(kept) <= 3 * seconds + 4
    assert {tags(s) for s in kept} == {("ratelimiting", "3")}


def test_the_last_good_answer_stays_when_the_collector_fails(collector):
    with FakeJaeger({"probabilisticSampling": {"samplingRate": 1}}) as jaeger:
        with Program([app("thread_server")], endpoint=collector.endpoint, settings=remote(jaeger)) as program:
            first(program)
            wait_share(program, "default", lambda p: p == 1)
            jaeger.status, asked = 503, len(jaeger.asked)
            wait_until(lambda: len(jaeger.asked) > asked + 2, what="it to be asked again")
            load(program, "a", 20)
            jaeger.strategy, jaeger.status = ["nonsense"], 200
            asked = len(jaeger.asked)
            wait_until(lambda: len(jaeger.asked) > asked + 2, what="it to be asked again")
            load(program, "a", 20)
            collector.wait_for(lambda spans: sum("/a/" in s.path for s in spans) >= 40)
            jaeger.strategy = {"probabilisticSampling": {"samplingRate": 0}}
            wait_share(program, "default", lambda p: p == 0)
            load(program, "b", 20)
            metrics = wait_sum(program, COUNT, 61)
            assert metrics.sum("otelauto_export_requests_total", result="error") == 0, "asking is no export"
    assert not [s for s in collector.spans if "/b/" in s.path]


def test_the_initial_rate_is_in_force_until_somebody_answers(collector, tmp_path):
    log = tmp_path / "log"
    settings = sampler("parentbased_jaeger_remote", f"endpoint=http://127.0.0.1:{free_port()},initialSamplingRate=1",
                       OTELAUTO_LOG_FILE=str(log))
    with Program([app("thread_server")], endpoint=collector.endpoint, settings=settings) as program:
        load(program, "a", 20)
        collector.wait_for(lambda spans: len(spans) >= 20)
        wait_until(lambda: log.exists() and "remote sampling" in log.read_text(), what="a complaint")
    assert "cannot connect" in log.read_text()


@pytest.mark.parametrize("name, count", [("jaeger_remote", 20), ("parentbased_jaeger_remote", 0)])
def test_only_the_parentbased_form_follows_the_caller(collector, name, count):
    """The caller says no; the collector says yes."""
    context = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]
    with FakeJaeger({"probabilisticSampling": {"samplingRate": 1}}) as jaeger:
        with Program([app("thread_server")], endpoint=collector.endpoint, settings=remote(jaeger, name)) as program:
            first(program)
            wait_share(program, "default", lambda p: p == 1)
            Load(program.port, 20, 4, path=lambda i: f"/c/{i}", headers=lambda i: context).run()
            wait_sum(program, COUNT, 21)
            collector.wait_for(lambda spans: sum("/c/" in s.path for s in spans) >= count)
    assert sum("/c/" in s.path for s in collector.spans) == count


def test_its_adaptive_sampling_converges(collector):
    """Rounds of Jaeger's own calculation on the spans we send, as fast as the program follows."""
    law = Adaptive(target=5, initial=0.01)
    with FakeJaeger(law.strategy(lower=10)) as jaeger:
        with Program([app("thread_server")], endpoint=collector.endpoint, settings=remote(jaeger, name="jaeger_remote",
                                                                                          pollingIntervalMs=100)) as program:
            first(program)
            wait_share(program, "default", lambda p: 0.009 < p < 0.011)
            done, seen, history = 1, 0, []
            for _ in range(8):
                load(program, "op", 200)  # in "ten seconds": 20 a second
                done += 200
                kept = wait_sum(program, COUNT, done).sum("otelauto_sampling_decisions_total", decision="kept")
                collector.wait_for(lambda spans, kept=kept: len(find(spans, kind="SERVER")) >= kept)
                spans = find(collector.spans, kind="SERVER")
                law.round(spans[seen:], 10)
                seen = len(spans)
                history.append(law.probability.get("GET /op/{id}", law.initial))
                jaeger.strategy = law.strategy(lower=10)
                for name, p in law.probability.items():
                    wait_share(program, name, lambda have, p=p: abs(have - p) <= p * 1e-3)
    assert all(b <= 2 * a * 1.0001 for a, b in zip([law.initial, *history], history)), history
    assert 0.25 * 0.6 < history[-1] < 0.25 * 1.6, history  # 5 of 20 a second
