"""P3: what the start of a process costs (bench/spawn.c)."""
import shutil
import tempfile
from pathlib import Path

from . import machine, process
from .pairs import ANCHOR_DRIFT
from .result import Check, Control, Result, both, measure


def _spawn(bench, program, row, what):
    report = process.run_json(
        [machine.tool("spawn"), "--program", program, "--library", machine.LIBRARY, "--runs", 20 if bench.fast else 400,
         "--cpu", machine.HOT], machine.plain_env())
    drift = abs(report["anchor_drift"] - 1)
    control = both(Control(abs(report["aa_us"]) <= 15, f"A/A {report['aa_us']:+.1f} us"),
                   Control(drift <= ANCHOR_DRIFT, f"clock moved {drift * 100:.0f} %"))
    return Result(row, "22", what,
                  [Check("added", round(report["added_us"]), 200, 120, "us"),
                   Check("ratio", report["ratio"], 1.25, None, "x")],
                  control, report)


@measure("p3-start")
def start(bench):
    yield _spawn(bench, "/bin/true", "p3-excluded", "start of /bin/true (excluded by name)")
    with tempfile.TemporaryDirectory() as folder:
        # The built-in list leaves coreutils alone; the same program by another name is a candidate.
        program = Path(folder) / "some-server"
        shutil.copy("/bin/true", program)
        yield _spawn(bench, program, "p3-start", "the same by a name that is not excluded")
