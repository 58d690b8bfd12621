"""scripts/demo --once does what the README says."""
import re
import subprocess

import pytest

from lib.preload import BUILD, TOP

SERVICES = ["client", "nginx", "app", "upstream"]


def demo(*options):
    argv = [TOP / "scripts/demo"]
    if BUILD != TOP / "build":  # the script would configure another build directory anew
        argv = ["/usr/bin/python3", "-B", TOP / "scripts/lib/demo/main.py", "--top", TOP, "--build", BUILD]
    return subprocess.run([*map(str, argv), *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150)


@pytest.fixture(scope="module")
def done():
    return demo("--once")


def test_ends_well(done):
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^demo: good: (\d+) requests, \1 traces with all 6 spans in their places, and every service counted \1$",
                     done.stdout.splitlines()[-1]), done.stdout


def test_rates_of_every_service(done):
    for service in SERVICES:
        rows = [line.split() for line in done.stdout.splitlines() if re.match(rf"\s+{service}\s+(serves|calls) ", line)]
        assert rows, done.stdout
        assert all(int(row[4]) > 0 for row in rows), rows


def test_one_trace_as_a_tree(done):
    tree = [line for line in done.stdout.splitlines() if re.search(r" (calls|serves) GET .* \d+(\.\d+)? [mµ]?s ", line)]
    assert [re.search(r"\w+", line).group() for line in tree] == ["client", "nginx", "nginx", "app", "app", "upstream"], done.stdout
    assert [line.index("└") for line in tree[1:]] == sorted({line.index("└") for line in tree[1:]}), "each one level deeper"


def test_an_unknown_option_is_refused():
    result = demo("--no-such-option")
    assert result.returncode != 0 and "usage" in result.stderr
