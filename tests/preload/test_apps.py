"""Every program in test-apps/ that has an .expect file: it runs the same bare and under the preload, and under it
produces exactly the span trees of that file."""
import pytest

from lib.collector import Collector
from lib.expect import Script, check_trees, run_script
from lib.preload import LIBRARY, OWN_FD_FLOOR, TOP

SCRIPTS = sorted((TOP / "test-apps").glob("*.expect"))


@pytest.fixture(params=SCRIPTS, ids=lambda p: p.stem)
def script(request):
    return Script(request.param)


def test_runs_bare(script):
    outcome = run_script(script)
    for name, status, output, errors, _ in outcome.programs:
        assert status == 0, f"{name}: {output}{errors}"


def seen(outcome):
    """Output and status of each program, without its descriptors."""
    return [p[:4] for p in outcome.programs]


def test_same_output_and_status_and_the_expected_spans(script, collector):
    bare = run_script(script)
    under = run_script(script, collector)
    assert seen(under) == seen(bare)
    assert under.answers == bare.answers
    problem = check_trees(script, collector.spans, under.variables)
    assert problem is None, problem


def test_same_descriptors(script, collector):
    """Those that the host sees when it leaves; ours are few and far above."""
    bare = run_script(script)
    under = run_script(script, collector)
    assert [p[4] for p in under.programs] == [p[4] for p in bare.programs]
    for fds in under.our_fds:
        assert len(fds) <= 4, f"{len(fds)} descriptors of ours at {OWN_FD_FLOOR} and above: {fds}"


def test_switched_off_nothing_is_sent_or_opened(script, library):
    bare = run_script(script)
    with Collector() as collector:
        script.steps.insert(0, ["env", "OTELAUTO_DISABLED=1"])
        off = run_script(script, collector, expect_spans=False)
        assert not collector.spans and not collector.requests
    assert off.programs == bare.programs
    assert not any(off.our_fds)
