"""What is wrong with the settings is said once, however many processes a server has."""
from lib.leaf import Leaf
from lib.loadgen import Load
from lib.preload import Program, app, wait_until

SETTINGS = {"OTEL_METRICS_EXPORTER": "smoke", "OTEL_BSP_SCHEDULE_DELAY": "soon", "OTELAUTO_ROUTES": "no-pattern"}


def test_the_workers_of_one_server_warn_once(collector, tmp_path):
    said = tmp_path / "said"
    with Leaf() as leaf, Program([app("prefork_server"), leaf.port, 4], endpoint=collector.endpoint,
                                 settings={**SETTINGS, "OTELAUTO_LOG_FILE": str(said)}) as program:
        Load(program.port, 100, 8, keep_alive=False).run()
        wait_until(lambda: said.exists() and said.read_text().count("\n") >= 3, what="three warnings")
        collector.wait_for(lambda spans: len({s.resource["process.pid"] for s in spans}) >= 2)
    lines = said.read_text().splitlines()
    assert len(lines) == 3, lines
    for name in SETTINGS:
        assert sum(name in line for line in lines) == 1, lines
