"""The stress host under the library: it checks every byte itself; here its accounts and the library's must agree.

STRESS_SECONDS says how long it runs (4)."""
import os

import pytest

from lib.metrics import metrics_ports, scrape
from lib.preload import APPS, Program, wait_until

HOST = APPS.parent / "tests/stress/stress_host"
SECONDS = int(os.environ.get("STRESS_SECONDS", "4"))
SERVER = "http_server_request_duration_seconds_count"
CLIENT = "http_client_request_duration_seconds_count"


def accounts(program):
    line = program.wait_output(r"(?m)^exact .* bad \d+$", SECONDS * 4 + 60).group(0).split()
    return dict(zip(line[::2], map(int, line[1::2])))


def endpoint(program):
    return wait_until(lambda: next(metrics_ports([program.pid]), None), what="the endpoint")


def run_host(tmp_path, preload, seconds, **options):
    settings = {"STRESS_HOLD": str(tmp_path / "go"), **options.pop("settings", {})}
    return Program([HOST, str(seconds)], preload=preload, settings=settings, **options)


@pytest.mark.timeout(SECONDS * 6 + 240)
def test_it_works_bare(tmp_path):
    with run_host(tmp_path, False, 2) as program:
        seen = accounts(program)
        (tmp_path / "go").touch()
        assert program.wait(60).status == 0, program.stdout
    assert not seen["bad"] and not seen["headers"]
    assert all(seen[kind] for kind in ("exact", "signals", "cancels", "forks", "passed", "ranges", "loads")), seen


@pytest.mark.timeout(SECONDS * 6 + 240)
@pytest.mark.parametrize("exporting", [False, True])
def test_every_byte_is_right_and_the_counts_agree(tmp_path, exporting):
    """exporting: to a collector that refuses, with all that happens then; else everything is unsampled."""
    settings = {"OTEL_LOG_LEVEL": "none", "OTELAUTO_EXIT_FLUSH": "100"}
    if exporting:
        settings |= {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    else:
        settings |= {"OTEL_TRACES_SAMPLER": "always_off"}
    with run_host(tmp_path, True, SECONDS, settings=settings) as program:
        seen = accounts(program)
        port = endpoint(program)

        def settled():
            m = scrape(port)
            lost = m.sum("otelauto_drops_total", reason="ring_full") + m.sum("otelauto_drops_total", reason="process_died")
            served = m.sum(SERVER, http_route="/exact")
            assert served <= seen["exact"]
            assert m.sum(CLIENT) <= seen["exact"] + seen["chaos"]
            return served + lost >= seen["exact"] and m.sum(CLIENT) + lost >= seen["exact"]
        wait_until(settled, 30, "counts that add up")
        (tmp_path / "go").touch()
        assert program.wait(60).status == 0, program.stdout
        assert not program.stderr
    assert not seen["bad"]
    assert seen["headers"] > seen["exact"] * 0.9, seen
    assert all(seen[kind] for kind in ("exact", "signals", "cancels", "forks", "passed", "ranges", "loads")), seen


