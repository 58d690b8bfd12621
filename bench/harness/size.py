"""Sizes: of the file, of our own code in it, and of what runs in every exchange (by callgrind)."""
import bisect
import collections
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import machine, process
from .result import Check, Result, measure

KIB = 1024
REQUESTS = 400
FOLDERS = ("core", "proto", "sampler", "conn", "hooks", "exporter", "pipeline", "preload")


def _run(*command, **more):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True, **more).stdout


def _own_code():
    """Text of our objects, before the linker leaves out what is not used."""
    objects = [o for folder in FOLDERS for o in (machine.BUILD / folder).glob("**/*.o")
               if "pb-c" not in o.name and ".a.p" in str(o) or "otelauto" in str(o.parent)]
    return sum(int(line.split()[0]) for line in _run("size", *objects).splitlines()[1:])


@measure("size-file")
def size_file(bench):
    needed = re.findall(r"NEEDED.*\[(.*)\]", _run("readelf", "-d", machine.LIBRARY))
    yield Result("size-file", "26", f"libotelauto.so, needs {', '.join(needed)}",
                 [Check("file", machine.LIBRARY.stat().st_size / KIB, 2048, 1536, "KiB"),
                  Check("our own code", _own_code() / KIB, 400, None, "KiB"),
                  Check("libraries besides libc and the loader",
                        len([n for n in needed if not n.startswith(("libc.so", "ld-linux"))]), 0, None)])


def _functions():
    """[(start, size, name)] of the library's functions, sorted."""
    found = []
    for line in _run("nm", "-S", "--defined-only", machine.BUILD / "libotelauto.so.debug").splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "tTwW":
            found.append((int(fields[0], 16), int(fields[1], 16), fields[3]))
    return sorted(found)


def _instructions(path):
    """{address: times executed} within the library, of one thread's callgrind file with instruction addresses."""
    counts, inside, names, call = collections.Counter(), False, {}, False
    for line in path.read_text().splitlines():
        if line.startswith(("ob=", "cob=")):
            number, _, name = line.split("=", 1)[1].partition(" ")
            if name:
                names[number] = name
            if line.startswith("ob="):
                inside = names[number].endswith("libotelauto.so")
        elif line.startswith("calls="):
            call = True  # the next line is the cost of what was called
        elif line.startswith("0x"):
            fields = line.split()
            if inside and not call:
                counts[int(fields[0], 16)] += int(fields[-1])
            call = False
    return counts


def _profile(env):
    """Callgrind over a run of exchanges; only what ran in at least every other one counts."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-pos=no", "--separate-threads=yes",
             f"--callgrind-out-file={out}", machine.tool("pair"), "--requests", str(REQUESTS), "--rounds", "1"],
            env=env, capture_output=True, text=True, check=False)
        threads = [path for path in Path(folder).iterdir() if "exchange_server" in path.read_text()]
        if done.returncode or len(threads) != 1:
            raise process.Failed(f"callgrind: {len(threads)} threads, {done.stderr[-300:]}")
        counts = _instructions(threads[0])
    return {address: n for address, n in counts.items() if n >= REQUESTS / 2}


@measure("size-hot")
def hot(bench):
    if not shutil.which("valgrind"):
        yield Result("size-hot", "27", "code that every exchange runs", [], problem="no valgrind here")
        return
    counts = _profile(machine.library_env())
    functions = _functions()
    starts = [f[0] for f in functions]
    used, spent = {}, collections.Counter()
    for address, times in counts.items():
        i = bisect.bisect_right(starts, address) - 1
        if i >= 0 and address < functions[i][0] + functions[i][1]:
            used[functions[i][2]] = functions[i][1]
            spent[functions[i][2]] += times
    lines = {address // 64 for address in counts}
    per_exchange = sum(counts.values()) / (REQUESTS * 2)
    yield Result("size-hot", "27", "code that every exchange runs, HTTP/1 served",
                 [Check("functions", sum(used.values()) / KIB, 6, 4, "KiB"),
                  Check("cache lines touched", len(lines) * 64 / KIB, None, None, "KiB"),
                  Check("instructions", per_exchange, None, None)],
                 None, {"instructions and bytes": {name: [round(n / REQUESTS / 2, 1), used[name]]
                                                   for name, n in spent.most_common()}})
