"""Where things are, which processors are used, and the environments that programs run in."""
import os
import platform
import resource
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("OTELAUTO_BUILD", TOP / "build-bench"))
LIBRARY = BUILD / "libotelauto.so"
TOOLS = BUILD / "bench"

CPUS = sorted(os.sched_getaffinity(0))
HOT, OTHER = CPUS[-1], CPUS[0]  # what is measured; what must not disturb it

OURS = ("OTEL_", "OTELAUTO_", "LD_PRELOAD")


def tool(name):
    return str(TOOLS / name)


def plain_env(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    return {**env, **more}


def library_env(sink=None, sampler="always_on", **more):
    """With the library, as a user would set it up: spans to a collector on loopback, metrics on any free port."""
    env = {
        "LD_PRELOAD": str(LIBRARY),
        "OTEL_SERVICE_NAME": "bench",
        "OTEL_TRACES_SAMPLER": sampler,
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
    }
    if sink:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{sink}"
    else:
        env["OTEL_TRACES_EXPORTER"] = "none"
    return plain_env(**{**env, **more})


def disabled_env(sink=None):
    return library_env(sink, OTELAUTO_DISABLED="true")


def raise_fd_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _first(path, key, otherwise=""):
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(key):
                return line.split(":" if ":" in line else "=", 1)[1].strip().strip('"')
    except OSError:
        pass
    return otherwise


def _output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP)
        return (done.stdout + done.stderr).strip()
    except OSError:
        return ""


def commit():
    name = _output("git", "rev-parse", "--short", "HEAD")
    return name + ("+" if _output("git", "status", "--porcelain", "--untracked-files=no") else "")


def describe():
    return {
        "system": _first("/etc/os-release", "PRETTY_NAME"),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cpus": len(CPUS),
        "libc": " ".join(platform.libc_ver()),
        "gcc": (_output("gcc", "--version").splitlines() or [""])[0],
    }


def load_average():
    return os.getloadavg()[0]
