"""Both ways to play a scenario; and nothing that a test started may be left when it ends."""
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.register_assert_rewrite("kit", "webs", "load")
import kit  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="session", autouse=True)
def daemons_come_to_us():
    """What daemons leave behind becomes a child of this process, so that it can be seen."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


@pytest.fixture(autouse=True)
def nothing_is_left(daemons_come_to_us):
    before = set(kit.children(os.getpid()))
    yield
    left = set(kit.children(os.getpid())) - before
    names = {pid: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in left if not kit.reap(pid)}
    for pid in names:
        kit.kill(pid, signal.SIGKILL)
    kit.wait_gone(list(names))
    names = {pid: words for pid, words in names.items() if words}  # without any it was ending by itself
    assert not names, f"processes are left: {names}"


@pytest.fixture
def folder():
    """A folder that every user can enter; pytest's own belongs to its user alone."""
    path = Path(tempfile.mkdtemp(prefix="otelauto-host-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ways(folder, collector):
    """(bare, with the library)"""
    notes, made = {}, []
    for ours in (False, True):
        path = folder / ("ours" if ours else "bare")
        path.mkdir()
        made.append(kit.Way(ours, path, collector, notes))
    return made
