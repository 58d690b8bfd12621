"""Programs that do what breaks preloaded libraries, each run bare and with the library: same output, same end.

One C program for each row of the list of failure modes that concerns hooks/ and preload/; the row is named in
the program's first lines. The programs check themselves; what they print is compared.
"""
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from lib.preload import Program, environment

HERE = Path(__file__).parent
SECONDS = 60
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror", "-pthread"]
EXTRA = {
    "fortified": ["-D_FORTIFY_SOURCE=2"],
    "odd_args": ["-w"],
    "early": ["-L{build}", "-Wl,-rpath,{build}", "-learly", "-Wl,--no-as-needed"],
}
# What the program is expected to end with, where it is not 0.
ENDS = {"exits": 9}
PROGRAMS = sorted(p.stem for p in HERE.glob("*.c") if not p.stem.endswith("_lib"))

# Settings under which each program runs. dead: a collector that refuses; hole: one that never answers.
MODES = ("quiet", "dead", "hole")


@pytest.fixture(scope="session")
def build(tmp_path_factory, library):
    """Folder with all programs built."""
    folder = tmp_path_factory.mktemp("hostile")
    cc = os.environ.get("CC", "cc")
    for path in HERE.glob("*_lib.c"):
        subprocess.run([cc, *FLAGS, "-shared", "-fPIC", "-o", folder / f"lib{path.stem.removesuffix('_lib')}.so", path],
                       check=True)
    for name in PROGRAMS:
        extra = [flag.format(build=folder) for flag in EXTRA.get(name, [])]
        subprocess.run([cc, *FLAGS, "-o", folder / name, HERE / f"{name}.c", *extra], check=True)
    return folder


@pytest.fixture(scope="session")
def hole():
    """An address whose connections are made by the kernel and never answered."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        yield f"http://127.0.0.1:{s.getsockname()[1]}"


def settings_of(mode, hole):
    if mode == "quiet":
        return {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1" if mode == "dead" else hole,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOG_LEVEL": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }


def deliver_to(collector):
    return {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTELAUTO_EXIT_FLUSH": "10000", "OTEL_BSP_SCHEDULE_DELAY": "20"}


def run(argv, preload=True, settings=None, cwd=None, **options):
    """returns (status, stdout, stderr)"""
    env = environment(settings=settings, preload=preload)
    done = subprocess.run([str(a) for a in argv], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=SECONDS, **options)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def same_as_bare(argv, settings=None, **options):
    """Runs both ways, compares, and returns (status, stdout)."""
    bare = run(argv, preload=False, **options)
    ours = run(argv, settings=settings, **options)
    assert ours == bare
    return ours[:2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(build, hole, name, mode):
    status, stdout = same_as_bare([build / name], settings_of(mode, hole))
    assert status == ENDS.get(name, 0), stdout


@pytest.mark.parametrize("name", ["bypass", "cancel", "cancel_send", "close_all", "early", "fd_set_high", "longjmp",
                                  "raw_close", "signal_storm", "tiny_stacks", "vfork_close"])
def test_still_observes(build, collector, name):
    """What the program did must not have switched us off: its last exchange, of both sides, is reported."""
    assert run([build / name], settings=deliver_to(collector))[0] == 0
    collector.wait_for(lambda spans: {(s.kind, s.status) for s in spans if s.path == "/last"}
                       == {("CLIENT", "unset"), ("SERVER", "unset")})


def test_every_child_is_observed(build, collector):
    """Row 43: whatever made the process, what it served is reported, and once."""
    with Program([build / "fork_ways", "stay"], settings=deliver_to(collector)):
        # Those of children that left by _exit() are delivered by whoever is left.
        collector.wait_for(lambda spans: sum(s.path == "/last" and s.kind == "SERVER" for s in spans) >= 6,
                           what="a span from each of six children")
    assert len({s.span_id for s in collector.spans}) == len(collector.spans)
    assert sum(s.path == "/last" and s.kind == "SERVER" for s in collector.spans) == 6


@pytest.mark.parametrize("name", ["exits", "edge_triggered", "fork_ways", "early", "odd_args"])
def test_switched_off(build, name):
    same_as_bare([build / name], {"OTELAUTO_DISABLED": "1"})


def test_fortify_still_aborts(build):
    argv = ["sh", "-c", f"ulimit -c 0; OVERFLOW=1 {build}/fortified"]
    bare, ours = run(argv, preload=False), run(argv)
    assert bare[0] != 0 and ours == bare


# -- loading --

def test_all_symbols_bind_at_once(library):
    assert run(["/bin/echo", "fine"], settings={"LD_BIND_NOW": "1"}) == (0, "fine\n", "")


def test_second_copy_is_inert(build, library, tmp_path, collector):
    """Row 17: the same file by two paths, and a copy; whoever is first works, calls pass through the other."""
    copy = tmp_path / "libotelauto-old.so"
    shutil.copy(library, copy)
    link = tmp_path / "link.so"
    link.symlink_to(library)
    bare = run([build / "edge_triggered"], preload=False)
    for preload in (f"{library}:{copy}", f"{copy}:{library}", f"{library}:{link}", f"{copy}:{library}:{copy}"):
        assert run([build / "edge_triggered"], settings={"LD_PRELOAD": preload}) == bare
        before = len(collector.spans)
        assert run([build / "early"], settings={"LD_PRELOAD": preload, **deliver_to(collector)})[0] == 0
        last = [s.kind for s in collector.spans[before:] if s.path == "/last"]
        assert sorted(last) == ["CLIENT", "SERVER"], preload


def test_other_preloaded_libraries_keep_working(build, library, collector):
    """Row 120: each calls the next, in either order; both see everything."""
    again = build / "libagain.so"
    bare = run([build / "early"], preload=False, settings={"LD_PRELOAD": str(again)})
    assert re.search(r"[1-9]\d* reads [1-9]\d* writes [1-9]\d* connects", bare[1])
    for preload in (f"{again}:{library}", f"{library}:{again}"):
        before = len(collector.spans)
        status, stdout, stderr = run([build / "early"], settings={"LD_PRELOAD": preload, **deliver_to(collector)})
        assert (status, stderr) == (bare[0], bare[2])
        if preload.startswith(str(again)):  # what it sees is the program's own
            assert stdout == bare[1]
        last = [s.kind for s in collector.spans[before:] if s.path == "/last"]
        assert sorted(last) == ["CLIENT", "SERVER"], preload


def test_clocks_of_another_library_that_stand_still(build, library, hole, collector):
    """Rows 109, 120: no deadline of ours is on such a clock, nor does our thread run the other library's code."""
    stopped = build / "libstopped.so"
    for preload in (f"{stopped}:{library}", f"{library}:{stopped}"):
        for settings in (settings_of("hole", hole), deliver_to(collector)):
            before = len(collector.spans)
            settings["LD_PRELOAD"] = preload
            assert run([build / "early"], settings=settings) == run([build / "early"], preload=False)
        ends = [s.end for s in collector.spans[before:] if s.path == "/last"]
        assert len(ends) == 2 and min(ends) > 1700000000_000000000  # the time of the system


def test_opened_instead_of_preloaded(build, library):
    """Row 15: it is never unloaded, and a program that it cannot see is left alone."""
    assert run([build / "loaded_late", library], preload=False) == run([build / "loaded_late"], preload=False)


def test_missing_file_is_no_reason_not_to_start(tmp_path):
    """Row 1: what is left of us when the file is gone is one line of the loader's."""
    status, stdout, stderr = run(["/bin/echo", "fine"], preload=False, settings={"LD_PRELOAD": str(tmp_path / "gone.so")})
    assert (status, stdout) == (0, "fine\n") and "gone.so" in stderr


def test_idle_program_makes_no_call_of_ours(library):
    """Row 18: what a program that serves nothing pays, in system calls: none besides the loader's."""
    def calls(preload):
        env = environment(preload=preload)
        done = subprocess.run(["strace", "-f", "-c", "-o", "/dev/stdout", "-E",
                               f"LD_PRELOAD={env.get('LD_PRELOAD', '')}", "/bin/true"],
                              env={k: v for k, v in env.items() if k != "LD_PRELOAD"}, capture_output=True, check=True)
        counts = {}
        for line in done.stdout.decode().splitlines():
            fields = line.split()
            if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                counts[fields[-1]] = int(fields[3])
        return counts
    bare, ours = calls(False), calls(True)
    loading = {"openat", "open", "read", "mmap", "mprotect", "close", "fstat", "newfstatat", "munmap", "getcwd", "pread64"}
    assert bare, "strace counted nothing"
    assert {k: v for k, v in ours.items() if k not in loading} == {k: v for k, v in bare.items() if k not in loading}
    assert ours["mmap"] - bare["mmap"] <= 6 and ours["read"] - bare["read"] == 1


def test_secure_execution_is_left_alone(build):
    """Row 14: file capabilities make the loader ignore us; the program must not notice."""
    if os.geteuid() or not shutil.which("setcap"):
        pytest.skip("needs root and setcap")
    copy = build / "capable"
    shutil.copy(build / "exits", copy)
    if subprocess.run(["setcap", "cap_net_bind_service+ep", copy], capture_output=True).returncode:
        pytest.skip("this file system keeps no capabilities")
    status, _, _ = run([copy])
    assert status == 9


# -- stock programs --

def test_descriptor_taken_by_a_shell(build, tmp_path):
    """Row 49: bash takes low numbers for a file of its own; no byte of ours may land in it."""
    script = f"""exec 3>{tmp_path}/three 4>{tmp_path}/four; {build}/exits >/dev/null; echo mine >&3
    for n in $(seq 5 20); do eval "exec $n>{tmp_path}/f$n"; done; echo mine >&20; sleep 0.3"""
    assert run(["bash", "-c", script], settings={"OTELAUTO_EXCLUDE": "!bash"})[0] == 0
    assert (tmp_path / "three").read_text() == "mine\n"
    assert (tmp_path / "f20").read_text() == "mine\n"
    assert all((tmp_path / f"f{n}").read_bytes() == b"" for n in range(5, 20))


@pytest.mark.parametrize("argv", [["unshare", "-Ur", "true"], ["unshare", "-r", "sh", "-c", "echo in"],
                                  ["setpriv", "--no-new-privs", "echo", "privs"]])
def test_sandboxing_tools(argv):
    if not shutil.which(argv[0]):
        pytest.skip(f"no {argv[0]}")
    same_as_bare(argv)


PYTHON_CHILDREN = r"""
import os, socket, subprocess, threading
srv = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: [srv.accept()[0].close() for _ in range(20)], daemon=True).start()
for i in range(20):
    c = socket.create_connection(srv.getsockname())
    c.recv(1)
    print(subprocess.run(["echo", str(i)], capture_output=True, close_fds=i % 2 == 0).stdout)
    pid = os.fork()
    if not pid:
        os._exit(i)
    print(os.waitpid(pid, 0)[1] >> 8)
"""


def test_python_children(hole):
    same_as_bare(["/usr/bin/python3", "-c", PYTHON_CHILDREN], settings_of("hole", hole))


def test_sshd_starts():
    """Row 21: libcap-ng's constructor reads before ours runs."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(sshd).exists():
        pytest.skip("no sshd")
    same_as_bare([sshd, "-t", "-f", "/dev/null"])


def test_exit_is_not_delayed(build, hole):
    """Row 114: a collector that never answers may cost the end of a program at most 100 ms."""
    def took(mode):
        best = 1e9
        for _ in range(3):
            start = time.monotonic()
            assert run([build / "early"], settings=settings_of(mode, hole))[0] == 0
            best = min(best, time.monotonic() - start)
        return best
    assert took("hole") - took("quiet") < 0.1 + 0.15


# -- what is in the code --

def test_names_that_are_never_interposed(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, check=True).stdout.decode()
    names = {line.split()[-1].split("@")[0] for line in out.splitlines()}
    assert not names & {"dlsym", "dlvsym", "dlopen", "syscall", "vfork", "fork", "malloc", "free", "sigaction",
                        "setrlimit", "_exit", "execve"}
    hooked = {n for f in (HERE.parents[1] / "hooks").glob("*.def")
              for n in re.findall(r"^OA_(?:SYM|LIB_HOOK)\((\w+),", f.read_text(), re.M)}
    assert names == hooked | {"otelauto_loaded"}


def test_hooked_names_have_one_version():
    """Row 37."""
    libc = next(p for p in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6")
                if Path(p).exists())
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", libc], capture_output=True,
                         check=True).stdout.decode()
    hooked = set(re.findall(r"^OA_SYM\((\w+),", (HERE.parents[1] / "hooks/libc.def").read_text(), re.M))
    seen = [line.split()[-1].split("@")[0] for line in out.splitlines()]
    assert {n for n in hooked if seen.count(n) != 1} == set()
