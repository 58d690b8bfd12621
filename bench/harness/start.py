"""P3: what the start of a process costs, and its end (bench/spawn.c)."""
import shutil
import tempfile
from pathlib import Path

from . import machine, process
from .pairs import ANCHOR_DRIFT
from .result import Check, Control, Result, both, measure
from .servers import Fleet, _own, _path


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


def _short(bench, collector, url):
    env = machine.plain_env(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector}", OTEL_EXPORTER_PROMETHEUS_PORT="0")
    return process.run_json([machine.tool("spawn"), "--program", _path("curl"), "--library", machine.LIBRARY, "--runs",
                             10 if bench.fast else 200, "--", "-s", "-o", "/dev/null", url], env)


@measure("p3-short")
def short(bench):
    """A program that makes one call and ends: what it waits for its only span to be delivered."""
    with Fleet() as fleet, process.Sink() as there, process.Sink("hang") as mute:
        url = f"http://127.0.0.1:{_own('epoll')(fleet, machine.plain_env())}/"
        reports = {name: _short(bench, port, url) for name, port in
                   (("there", there.port), ("away", process.free_port()), ("mute", mute.port))}
    aa = max(abs(r["aa_us"] / r["plain_us"]) for r in reports.values())
    yield Result("p3-short", "-", "curl makes one call and ends; its collector is there, away, mute",
                 [Check("bare", reports["there"]["plain_us"] / 1e3, None, None, "ms"),
                  *(Check(f"added, {name}", r["added_us"] / 1e3, None, None, "ms") for name, r in reports.items())],
                 Control(aa <= 0.05, f"A/A within {aa * 100:.1f} %"), reports)
