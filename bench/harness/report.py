"""The table on the terminal, the JSON file, and the part of docs/performance.md that is made by machine."""
import json
import time
from pathlib import Path

from . import machine
from .result import from_json

BEGIN, END = "<!-- begin: scripts/bench --markdown -->", "<!-- end -->"
PAGE = machine.TOP / "docs/performance.md"


def _limit(check, which):
    value = getattr(check, which)
    if value is None:
        return ""
    return ("≥ " if check.at_least else "≤ ") + check.text(value)


def line(result, judged=True):
    def text(c):
        gate = f" ({_limit(c, 'gate')})" if judged and c.gate is not None else ""
        return f"{c.name} {c.text(c.value)}{gate}{'' if c.ok() or not judged else ' !'}"

    reached = "; ".join(map(text, result.checks))
    control = f" [{result.control.text}]" if result.control else ""
    verdict = result.verdict() if judged else "ran" if result.checks else "none"
    return f"{verdict:5} {result.row:18} {result.problem or reached}{control}"


def load(path):
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        return {"machine": machine.describe(), "rows": {}}


def store(path, results):
    """Rows measured now replace their older selves; others stay, with the commit they were measured at."""
    data = load(path)
    data["machine"] = machine.describe()
    for result in results:
        data["rows"][result.row] = {**result.as_json(), "commit": machine.commit(),
                                    "at": time.strftime("%Y-%m-%d %H:%M")}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(data, indent=1) + "\n")
    return data


def markdown(data, before=""):
    """The table; rows that stood in it before and were not measured here stay."""
    about = data["machine"]
    lines = [
        f"{about['cpu']}, {about['cpus']} processors; {about['system']}, Linux {about['kernel']}, {about['libc']}, "
        f"{about['gcc']}. Rows of one goal have its number.", "",
        "| goal | what | reached | gate | stretch | control | verdict | commit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    fresh = {}
    for stored in data["rows"].values():
        r = from_json(stored)
        cell = lambda of: "<br>".join(filter(None, map(of, r.checks)))  # noqa: E731
        reached = r.problem or cell(lambda c: f"{c.name} {c.text(c.value)}")
        gate = cell(lambda c: f"{c.name} {_limit(c, 'gate')}" if c.gate is not None else "")
        stretch = cell(lambda c: _limit(c, "stretch"))
        verdict = r.verdict()
        columns = (r.goal, r.what, reached, gate, stretch, r.control.text if r.control else "",
                   "**miss**" if verdict == "miss" else verdict, stored["commit"])
        fresh[r.what] = "| " + " | ".join(columns) + " |"
    for row in [row for row in before.splitlines() if row.startswith("| ")][2:]:
        lines.append(fresh.pop(row.split(" | ")[1], row))
    return "\n".join([*lines, *fresh.values()])


def write_page(data):
    text = PAGE.read_text()
    before, found, rest = text.partition(BEGIN)
    if not found or END not in rest:
        raise SystemExit(f"{PAGE} has lost its markers")
    table, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{markdown(data, table)}\n{END}{after}")
