#!/usr/bin/env python3
"""Runs modules of CPython's own test suite bare and with the library, and compares them case by case.

usage: compare.py PYTHON LIBRARY LIST [--ci | MODULE...]

Modules whose cases differ are run once more, both ways; a case that differs both times is a failure, unless what it
complains of is the header that requests get: then it must pass with OTEL_PROPAGATORS=none. The library gets a collector
that refuses connections, so that whatever it would say or wait for shows. The closing line counts cases: "N passed" are
those with the same result both ways.
"""
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from pathlib import Path

# A virtual machine may have a vsock device whose other side never answers: these cases hang there without us too.
IGNORED = ["*VSOCK*"]
MODULE_SECONDS = 400
WAYS = ("bare", "with the library")


def read_list(path, wanted):
    """returns {module: resources}"""
    modules = {}
    for line in Path(path).read_text().splitlines():
        name, *more = line.split("#")[0].split() or [""]
        if name and (name in wanted or not wanted or wanted == ["--ci"] and "slow" not in more):
            modules[name] = [word for word in more if word != "slow"]
    return modules


def environment(library, home, inject=True):
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "LANG": "C.UTF-8",
           "TMPDIR": home}
    if library:
        env.update({"LD_PRELOAD": str(library), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
                    "OTEL_EXPORTER_PROMETHEUS_PORT": "0", "OTEL_BSP_SCHEDULE_DELAY": "200"})
        if not inject:
            env["OTEL_PROPAGATORS"] = "none"
    return env


def outcome(case):
    for tag in ("error", "failure", "skipped"):
        found = case.find(tag)
        if found is not None:
            return tag, "".join(found.itertext()) or found.get("message", "")
    return "passed", ""


def read_results(path):
    """returns {(module, case): (result, text)}. A case with several subtests has its worst result."""
    results = {}
    if not path.exists():
        return results
    for case in xml.parse(path).iter("testcase"):
        name = case.get("name")
        match = re.search(r"\b(test_\w+)", name.split(" ")[0])
        results[match.group(1) if match else "?", name] = outcome(case)
    return results


def run_group(python, library, modules, resources, folder, inject, only):
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    argv = [python, "-m", "test", "-j2", "--timeout", str(MODULE_SECONDS), "--junit-xml", str(report)]
    for pattern in IGNORED:
        argv += ["-i", pattern]
    if all(" " not in case for case in only):
        for case in only:
            argv += ["-m", case]
    if resources:
        argv += ["-u", ",".join(resources)]
    with open(folder / "output", "ab") as output:
        subprocess.run(argv + modules, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
                       env=environment(library, str(folder), inject), start_new_session=True)
    return read_results(report)


def run(python, library, modules, inject=True, only=()):
    """One way; only: names of cases. returns (results, seconds, what regrtest printed)"""
    start = time.monotonic()
    results = {}
    with tempfile.TemporaryDirectory(prefix="otelauto-cpython-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for resources in sorted({tuple(r) for r in modules.values()}):
            group = [m for m, r in modules.items() if tuple(r) == resources]
            results.update(run_group(python, library, group, resources, folder, inject, only))
        said = (folder / "output").read_text(errors="replace")
    return results, time.monotonic() - start, said


def differing(bare, ours):
    """{case: (result bare, result with us)}"""
    absent = ("absent", "")
    return {case: (bare.get(case, absent), ours.get(case, absent)) for case in sorted(set(bare) | set(ours))
            if bare.get(case, absent)[0] != ours.get(case, absent)[0]}


def both(python, library, modules, only=()):
    results = []
    for way, preload in zip(WAYS, (None, library)):
        found, seconds, said = run(python, preload, modules, only=only)
        print(f"{way}: {len(modules)} modules, {len(found)} cases, {seconds:.0f} s", flush=True)
        bad = [line for line in said.splitlines() if re.search(r"\bcrashed\b|\btimed out\b|env changed", line)]
        for line in bad:
            print(f"  {line}")
        results.append((found, said))
    return results


def because_of_the_header(python, library, modules, differ):
    """Those of the differing cases that list the headers they got, and pass when nothing is added."""
    named = [case for case, (_, ours) in differ.items() if "traceparent" in ours[1]]
    if not named:
        return []
    results, _, _ = run(python, library, {m: r for m, r in modules.items() if m in {c[0] for c in named}}, inject=False,
                        only=[c[1] for c in named])
    return [case for case in named if results.get(case, ("absent", ""))[0] == differ[case][0][0]]


def show(case, bare, ours):
    print(f"DIFFERENT {case[1]}: {bare[0]} bare, {ours[0]} with the library")
    for way, (_, text) in zip(WAYS, (bare, ours)):
        if text:
            print(f"  {way}:\n" + "\n".join("    " + line for line in text.strip().splitlines()[-25:]))


def table(modules, bare, first, last):
    print(f"{'module':40} {'cases':>6} {'skipped':>8} {'flaky':>6} {'different':>10}")
    for module in sorted(modules):
        cases = [c for c in bare if c[0] == module]
        skipped = sum(bare[c][0] == "skipped" for c in cases)
        different = sum(c[0] == module for c in last)
        flaky = sum(c[0] == module for c in first) - different
        print(f"{module:40} {len(cases):6} {skipped:8} {flaky:6} {different:10}")


def main():
    python, library, modules = sys.argv[1], Path(sys.argv[2]).resolve(), read_list(sys.argv[3], sys.argv[4:])
    if not modules or not library.exists():
        sys.exit("nothing to compare")
    os.environ.pop("LD_PRELOAD", None)
    (bare, _), (ours, said) = both(python, library, modules)
    first = differing(bare, ours)
    last = {}
    if first:
        again = {m: r for m, r in modules.items() if m in {case[0] for case in first}}
        print(f"{len(first)} cases differ; once more: {', '.join(again)}", flush=True)
        (bare2, _), (ours2, said) = both(python, library, again, [case[1] for case in first])
        second = differing(bare2, ours2)
        last = {case: second[case] for case in first if case in second}
        for case in because_of_the_header(python, library, modules, last):
            print(f"counts our header, passes without it: {case[1]}")
            del last[case], first[case]
    table(modules, bare, first, last)
    for case, (b, o) in last.items():
        show(case, b, o)
    if last:
        print("what the last run printed:\n" + "\n".join(said.splitlines()[-200:]))
    missing = [m for m in modules if not any(c[0] == m for c in bare) and m != "test_urllibnet"]
    for module in missing:
        print(f"{module} did not run bare")
    skipped = sum(r[0] == "skipped" for r in bare.values())
    print(f"{len(set(bare) | set(ours)) - skipped - len(last)} passed, {len(last) + len(missing)} failed, {skipped} skipped")
    sys.exit(1 if last or missing else 0)


if __name__ == "__main__":
    main()
