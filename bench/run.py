"""Measures what the library costs, by the methods of docs/performance.md. Started by scripts/bench."""
import argparse
import fnmatch
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import machine, process, report  # noqa: E402
from harness import pairs, servers, stores, start, memory, exporter, chaos, scrape, parity, size  # noqa: E402, F401
from harness.result import MEASURES, Result  # noqa: E402

ATTEMPTS = 3  # a run that its control voids is repeated


class Bench:
    """What the measurements of one run share."""

    def __init__(self, fast, sink):
        self.fast, self.sink = fast, sink
        self.controls = {}  # A/A pairs, by their options
        self.facts = {}     # figures that other rows build on


def take(name, bench):
    """The results of one measurement: those of the first attempt that nothing voids, row by row."""
    kept = {}
    for _ in range(1 if bench.fast else ATTEMPTS):
        for result in MEASURES[name](bench):
            if result.row not in kept or kept[result.row].verdict() == "void":
                kept[result.row] = result
        if all(r.verdict() != "void" or r.problem for r in kept.values()):
            break
        bench.controls.clear()
    return list(kept.values())


def attempt(name, bench):
    try:
        return take(name, bench), True
    except (process.Failed, OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
        if not isinstance(error, process.Failed):
            traceback.print_exc()
        return [Result(name, "-", name, [], problem=f"{error}")], False


def chosen(patterns):
    if not patterns:
        return list(MEASURES)
    names = [n for n in MEASURES if any(fnmatch.fnmatch(n, p) or n.startswith(p) for p in patterns)]
    if not names:
        raise SystemExit(f"no such row; there are: {' '.join(MEASURES)}")
    return names


def measure_all(options):
    everything, broken = [], 0
    machine.raise_fd_limit()
    with process.Sink() as sink:
        bench = Bench(options.fast, sink)
        for name in chosen(options.rows):
            started = time.monotonic()
            results, ran = attempt(name, bench)
            broken += not ran
            everything += results
            if options.keep:
                report.store(options.json, results)
            for result in results:
                # A fast run shows that the harness works; its figures mean nothing.
                print(report.line(result, judged=not options.fast or not ran), flush=True)
            if options.verbose:
                print(f"      ({time.monotonic() - started:.1f} s, load {machine.load_average():.1f})", flush=True)
    return everything, broken


def summary(results, broken, fast):
    if fast:
        return f"{len(results) - broken} passed, {broken} failed"
    counts = [r.verdict() for r in results]
    return ", ".join(f"{counts.count(v)} {v}" for v in ("pass", "miss", "void", "info") if v in counts)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("rows", metavar="ROW", nargs="*", help="rows to measure: names, their beginnings, globs")
    parser.add_argument("--fast", action="store_true", help="checks the harness in a minute, not the times")
    parser.add_argument("--json", metavar="FILE", default=str(machine.BUILD / "bench.json"),
                        help="where results are kept; rows not measured now stay in it")
    parser.add_argument("--markdown", action="store_true", help="puts all rows of the file into docs/performance.md")
    parser.add_argument("--no-run", action="store_true", help="measures nothing: shows what the file has")
    parser.add_argument("--list", action="store_true", help="names the rows")
    parser.add_argument("--verbose", action="store_true", help="shows how long each took")
    options = parser.parse_args()
    if options.fast and options.markdown:
        parser.error("--markdown needs figures: not with --fast")
    # Fast figures are kept only where somebody asks for them.
    options.keep = not options.fast or options.json != parser.get_default("json")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.list:
        print("\n".join(MEASURES))
        return 0
    if options.no_run:
        passed = True
        for stored in report.load(options.json)["rows"].values():
            print(report.line(report.from_json(stored)))
    else:
        results, broken = measure_all(options)
        passed = not broken
        if not options.fast:
            passed &= all(r.verdict() in ("pass", "info") for r in results)
        print(summary(results, broken, options.fast))
    if options.markdown:
        report.write_page(report.load(options.json))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
