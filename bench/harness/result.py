"""One line of the table: what was reached, by which gate it is judged, and whether the run can be believed."""
import dataclasses

MEASURES = {}  # name -> function(bench) that yields results


def measure(name):
    def add(function):
        MEASURES[name] = function
        return function
    return add


@dataclasses.dataclass
class Check:
    name: str
    value: float
    gate: float = None      # None: for information
    stretch: float = None
    unit: str = ""
    at_least: bool = False  # the gate is a lower limit

    def ok(self):
        if self.gate is None:
            return True
        return self.value >= self.gate if self.at_least else self.value <= self.gate

    @staticmethod
    def number(value, unit):
        if value is None:
            return ""
        if unit == "x":
            return f"{value:.3f}"
        if abs(value) >= 100 or value == int(value):
            return f"{value:.0f} {unit}".strip()
        return f"{value:.2f} {unit}".strip()

    def text(self, value):
        return self.number(value, self.unit)


@dataclasses.dataclass
class Control:
    """What must hold for the figures to mean anything; without one, a measurement is exact by nature."""
    holds: bool
    text: str


def near(name, value, low, high, unit="x"):
    return Control(low <= value <= high, f"{name} {Check.number(value, unit)}")


def both(*controls):
    return Control(all(c.holds for c in controls), ", ".join(c.text for c in controls))


@dataclasses.dataclass
class Result:
    row: str
    goal: str
    what: str
    checks: list
    control: Control = None
    details: dict = dataclasses.field(default_factory=dict)
    problem: str = ""  # why there are no figures

    def verdict(self):
        if self.problem or (self.control and not self.control.holds):
            return "void"
        if all(c.gate is None for c in self.checks):
            return "info"
        return "pass" if all(c.ok() for c in self.checks) else "miss"

    def as_json(self):
        return {**dataclasses.asdict(self), "verdict": self.verdict()}


def from_json(stored):
    fields = {f.name for f in dataclasses.fields(Result)}
    result = Result(**{k: v for k, v in stored.items() if k in fields})
    result.checks = [Check(**c) for c in result.checks]
    result.control = Control(**result.control) if result.control else None
    return result


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
