"""What the whole-program tests share: a collector that fails the test on any breach, a leaf server, and the
table of context judgements at the end."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lib import truth  # noqa: E402
from lib.collector import Collector  # noqa: E402
from lib.leaf import Leaf  # noqa: E402
from lib.preload import LIBRARY  # noqa: E402


@pytest.fixture(scope="session")
def library():
    """The built preload object; tests that use it fail, not skip, when it is not there."""
    if not LIBRARY.exists():
        pytest.fail(f"{LIBRARY} is not built: run scripts/build")
    return LIBRARY


@pytest.fixture
def collector(library):
    with Collector() as c:
        yield c
    assert not c.problems, "\n".join(sorted(set(c.problems)))


@pytest.fixture
def leaf():
    with Leaf() as server:
        yield server


def pytest_terminal_summary(terminalreporter):
    table = truth.table()
    if table:
        terminalreporter.section("who caused what: 64 parallel requests")
        terminalreporter.write_line(table)
