"""docs/failure-modes.md names a test for every row; what it names must exist, and every hostile program be named."""
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TEXT = (TESTS.parent / "docs/failure-modes.md").read_text()
NAMED = re.compile(r"`((?:hostile|hosts|unit|preload|export|elf|cli|stress)/[\w./]+?\.(?:py|c))(?:::(\w+))?`(?: \(([\w, ]+)\))?")


def case_exists(path, case):
    text = path.read_text()
    return re.search(rf"(?:^def |^async def |START_TEST\(){case}\b", text, re.M)


def test_every_row_is_there_once():
    first, second = TEXT.split("## Rules")
    rows = []
    for numbers in re.findall(r"^\| ([\d, ]+) \|", first, re.M):
        rows += [int(n) for n in numbers.split(",")]
    assert sorted(rows) == list(range(1, 121))
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", second, re.M)] == list(range(1, 41))


def test_what_is_named_exists():
    wrong = []
    for name, case, apps in NAMED.findall(TEXT):
        path = TESTS / name
        if not path.exists() or case and not case_exists(path, case):
            wrong.append(f"{name}::{case}")
        if name == "preload/test_apps.py" and apps:
            wrong += [app for app in apps.split(", ") if not (TESTS.parent / f"test-apps/{app}.expect").exists()]
    assert not wrong


def test_every_row_says_what_shows_it():
    rows = [line for line in TEXT.splitlines() if re.match(r"\| \d", line)]
    bare = [row for row in rows if not NAMED.search(row) and not re.search(
        r"`check-elf`|`test-sanitizers`|[Nn]ot applicable|not built here|`tests/hosts/`|`scripts/bench`", row)]
    assert not bare


def test_every_hostile_program_is_named():
    programs = {p.name for p in (TESTS / "hostile").glob("*.c") if not p.stem.endswith("_lib")}
    named = {name.split("/")[1] for name, _, _ in NAMED.findall(TEXT) if name.startswith("hostile/")}
    assert programs - named - {"loaded_late.c"} == set()
