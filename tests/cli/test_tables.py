"""Every line of the tables is used: a setting that nothing reads, a counter that nothing counts or an error that nothing
sets would be a promise that nobody keeps."""
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
FOLDERS = ["core", "proto", "sampler", "conn", "hooks", "exporter", "pipeline", "preload"]
CODE = "\n".join(path.read_text() for folder in FOLDERS for path in sorted((TOP / folder).glob("*.[ch]")))


def table(name, pattern):
    """Lines of a .def file as tuples."""
    found = re.findall(pattern, (TOP / "core" / name).read_text(), re.M)
    assert found, name
    return found


def used(word):
    return re.search(rf"\b{re.escape(word)}\b", CODE)


SETTINGS = table("config.def", r'^OA_SET_(?!GROUP)(\w+)\((\w+), (.*)$')
# The off switches are looked for in the environment alone, before there are any settings.
SWITCHES = {"disabled", "sdk_disabled"}


@pytest.mark.parametrize("kind, field, rest", SETTINGS, ids=[s[1] for s in SETTINGS])
def test_every_setting_is_read(kind, field, rest):
    if field in SWITCHES:
        name = re.match(r'"(\w+)"', rest).group(1)
        assert re.search(rf'config_value_of\([^;]*"{name}"', CODE)
        return
    if kind == "ENUM":
        choices = re.match(r'"\w+", "[^"]*", "([^"]*)"', rest).group(1)
        if "|" not in choices:
            return  # nothing to choose: the parser's warning is all there is to it
    assert used(f"oa_config.{field}")


# Counted by adding an enum to the first of them: core/stats.c asserts that both have the same lines.
FAMILIES = {"parent_": "OA_STAT_parent_ROOT +", "inject_": "OA_STAT_inject_DONE +"}


@pytest.mark.parametrize("name", table("stats.def", r"^OA_STAT\((\w+),"))
def test_every_counter_is_counted(name):
    for prefix, start in FAMILIES.items():
        if name.startswith(prefix):
            assert start in CODE
            return
    assert used(f"OA_STAT_{name}")


@pytest.mark.parametrize("name", table("error.def", r"^OA_ERROR\((\w+),"))
def test_every_error_is_set(name):
    assert used(f"OA_ERR_{name}")
