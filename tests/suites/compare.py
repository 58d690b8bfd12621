#!/usr/bin/env python3
"""Runs other projects' test suites bare and with the library, and compares them test by test.

usage: compare.py LIBRARY [SUITE...]

Each *.sh beside this file is a suite: the variables `source` (a Debian source package) and `packages` (what is to be
installed), maybe `jobs` (how many tests at a time, 2), `seconds` (how long one may take, 120) and `whole_requests` (yes: they compare
whole requests, so OTEL_PROPAGATORS=none from the start), prepare(), which runs in the unpacked source, and list(), which prints a
line "NAME<tab>COMMAND" for each test. together() runs those that cannot be run one by one, and prints a line "NAME<tab>VERDICT"
for each; when some differ, all are run again. What prepare() makes of $here/awake.c is loaded both ways.
A test passes when its command ends with 0. One whose verdict differs is run again both ways, three times at most; when it
still does it must pass with OTEL_PROPAGATORS=none: then it counts the headers of a request, of which ours is one. The
library gets a collector that refuses connections.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path("/var/tmp/otelauto-suites")  # the tests run as nobody, who cannot look into root's home
TRIES = 3
AS_NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def say(text):
    print(f"test-suites: {text}", flush=True)


def script(suite, what):
    """A function of a suite's file, as a program."""
    return ["sh", "-c", f'set -eu\nhere={HERE}\nlist() {{ :; }}\ntogether() {{ :; }}\n{(HERE / suite).with_suffix(".sh").read_text()}\n{what}']


def shell(suite, what, cwd, prefix=()):
    """Runs a function of a suite's file. returns what it prints"""
    return subprocess.run([*prefix, *script(suite, what)], cwd=cwd, check=True, text=True, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL).stdout


def versions(source):
    """Of a source package; the newest may be gone from a mirror."""
    lines = subprocess.run(["apt-cache", "madison", source], capture_output=True, text=True).stdout.splitlines()
    return list(dict.fromkeys(line.split("|")[1].strip() for line in lines if line.strip().endswith("Sources")))


def unpack(source, folder):
    """Gets a source package and unpacks it as `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.with_suffix(".new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for version in versions(source):
        got = subprocess.run(["apt-get", "source", "-qq", "--download-only", f"{source}={version}"], cwd=work,
                             capture_output=True)
        archives = [p for p in work.glob("*.orig.tar.*") if not p.name.endswith(".asc")]
        if got.returncode == 0 and archives:
            main = min(archives, key=lambda p: len(p.name))  # others are components
            subprocess.run(["tar", "xf", str(main), "--strip-components=1"], cwd=work, check=True)
            work.rename(folder)
            return True
    return False


def ready(suite):
    """Makes a suite ready, once. returns its folder, or None when its source cannot be had"""
    folder = CACHE / suite
    source, packages = (shell(suite, f'printf %s "${name}"', HERE) for name in ("source", "packages"))
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "install", "-y", "-qq", *packages.split()], check=True, env=env,
                   stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    if (folder / ".ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    if not unpack(source, folder):
        return None
    shell(suite, "prepare >prepare.log 2>&1 || { tail -n 20 prepare.log >&2; exit 1; }", folder)
    (folder / "home").mkdir(exist_ok=True)
    subprocess.run(["chown", "-R", "nobody:nogroup", str(folder)], check=True)
    (folder / ".ready").touch()
    return folder


def run(argv, folder, seconds, library, inject=True, stdout=subprocess.DEVNULL):
    """returns the exit status, or "hangs\""""
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder / "home"),
           "LANG": "C.UTF-8"}
    preload = [str(path) for path in (folder / "awake.so", library) if path and path.exists()]
    if preload:
        env["LD_PRELOAD"] = " ".join(preload)
    if library:
        env.update({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
        if not inject:
            env["OTEL_PROPAGATORS"] = "none"
    with subprocess.Popen([*AS_NOBODY, *argv], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return "hangs"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what the test left behind
            except ProcessLookupError:
                pass


def compare(test, folder, seconds, library, inject):
    """returns None when both ways give the same, else how they differ"""
    name, command = test
    argv = ["sh", "-c", f"exec {command}"]
    seen = []
    for _ in range(TRIES):
        seen.append((run(argv, folder, seconds, None), run(argv, folder, seconds, library, inject)))
        if seen[-1][0] == seen[-1][1]:
            return None
    if inject and run(argv, folder, seconds, library, inject=False) == seen[-1][0]:
        return None
    return f"{name}: " + ", ".join(f"bare {bare}, preloaded {ours}" for bare, ours in seen)


def verdicts(suite, folder, seconds, library, inject=True):
    """Of all tests that run together, by name; those behind one that hangs have none."""
    with tempfile.TemporaryFile("w+") as said:
        run(script(suite, "together"), folder, seconds, library, inject, said)
        said.seek(0)
        return dict(line.split("\t", 1) for line in said.read().splitlines())


def compare_together(suite, folder, seconds, library, inject):
    """returns (how many tests, how those differ that never were the same)"""
    seen, names, left = [], {}, None
    while len(seen) < TRIES and left != []:
        bare, ours = (verdicts(suite, folder, seconds, way, inject) for way in (None, library))
        seen.append((bare, ours))
        names.update({**bare, **ours})
        left = [name for name in left or names if bare.get(name) != ours.get(name)]
    return len(names), [f"{name}: " + ", ".join(f"bare {b.get(name)}, preloaded {o.get(name)}" for b, o in seen) for name in left]


def run_suite(suite, library):
    """returns (the same, different), or None when it cannot be had"""
    folder = ready(suite)
    if not folder:
        return None
    tests = [line.split("\t", 1) for line in shell(suite, "list", folder, AS_NOBODY).splitlines()]
    jobs, seconds, whole = shell(suite, "echo ${jobs:-2} ${seconds:-120} ${whole_requests:-no}", folder).split()
    with ThreadPoolExecutor(int(jobs)) as pool:
        different = list(filter(None, pool.map(lambda test: compare(test, folder, int(seconds), library, whole != "yes"), tests)))
    count, more = compare_together(suite, folder, int(seconds), library, whole != "yes")
    count += len(tests)
    different += more
    if not count:
        raise SystemExit(f"test-suites: {suite} lists no tests")
    for line in different:
        say(f"{suite}: {line}")
    say(f"{suite}: {count} tests, {len(different)} different")
    return count - len(different), len(different)


def main():
    names = sys.argv[2:] or sorted(path.stem for path in HERE.glob("*.sh"))
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    library = CACHE / "libotelauto.so"
    fresh = CACHE / f"libotelauto.so.{os.getpid()}"
    shutil.copy(sys.argv[1], fresh)
    fresh.rename(library)  # programs of another run may have it mapped
    passed = failed = skipped = 0
    for name in names:
        result = run_suite(name, library)
        if result is None:
            say(f"{name}: its source cannot be had here")
            skipped += 1
        else:
            passed += result[0]
            failed += result[1]
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


sys.exit(main())
