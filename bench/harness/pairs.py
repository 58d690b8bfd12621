"""P1: what the library adds to one exchange, paired inside one program (bench/pair.c)."""
import threading
import time

from . import machine, process
from .result import Check, Control, Result, both, measure, median, near

ANCHOR_DRIFT = 0.10  # more, and the processor changed its clock within the run
PREEMPTED = 0.001    # more often per exchange, and the 99th percentile shows what others left of the caches
STATS = ("p50", "p90", "p99")


def _merge(runs):
    return {s: {k: median([r[s][k] for r in runs]) for k in runs[0][s]} for s in STATS}


class Pair:
    """Several runs of the program; what it says is their median."""

    def __init__(self, bench, env, *options, runs=None, tries=None):
        requests, rounds = (300, 1) if bench.fast else (15000, 5)
        runs = runs or (1 if bench.fast else 3)
        command = [machine.tool("pair"), "--cpu", machine.HOT, "--requests", requests, "--rounds", rounds, *options]
        steady, all_runs = [], []
        for _ in range(tries or runs * 3):
            run = process.run_json(command, env)
            all_runs.append(run)
            if abs(run["anchor_drift"] - 1) <= ANCHOR_DRIFT:
                steady.append(run)
            if len(steady) == runs or bench.fast:
                break
        self.steady = bool(steady)
        self.runs = steady or all_runs
        self.stat = _merge(self.runs)
        self.anchor = median([r["getppid_ns"] for r in self.runs])
        self.preempted = max(r["preempted"] for r in self.runs)

    def added(self, stat="p50"):
        return round(self.stat[stat]["added_ns"])

    def ratio(self, stat="p50"):
        return self.stat[stat]["ratio"]

    def anchored(self):
        return Control(self.steady, "clock steady" if self.steady else "clock unsteady")

    def details(self):
        return {**self.stat, "getppid_ns": self.anchor, "runs": len(self.runs), "preempted": self.preempted}


def _control(bench, aa, loaded, stat="p50"):
    """The A/A pair must be within 0.2 % or 20 ns; percentiles of a shared machine within 2 %."""
    if stat == "p50":
        ratio = near("A/A", aa.ratio(), 0.998, 1.002)
        ratio.holds |= abs(aa.added()) <= 20
    else:
        worst = max(aa.preempted, loaded.preempted)
        ratio = both(near("A/A", aa.ratio(stat), 0.98, 1.02),
                     Control(worst <= PREEMPTED, f"preempted in {worst * 100:.2f} %"))
    return both(ratio, loaded.anchored())


def _same(name, first, again, allowed=0.1):
    """What rows are compared with is measured before and after them."""
    change = again / first - 1 if first else 0
    return Control(abs(change) <= allowed, f"{name} again {change * 100:+.0f} %")


def plain(bench, *options):
    """The A/A control of a set of options, measured once per run of the harness."""
    if options not in bench.controls:
        bench.controls[options] = Pair(bench, machine.plain_env(), *options, runs=1, tries=4)
    return bench.controls[options]


def _result(row, goal, what, bench, loaded, aa, added, ratio, stretch=(None, None)):
    return Result(row, goal, what,
                  [Check("added", loaded.added(), added, stretch[0], "ns"),
                   Check("ratio", loaded.ratio(), ratio, stretch[1], "x")],
                  _control(bench, aa, loaded), {"loaded": loaded.details(), "plain": aa.details()})


@measure("p1-server")
def server(bench):
    loaded = Pair(bench, machine.library_env(bench.sink.port))
    aa = plain(bench)
    bench.facts["added_ns"] = loaded.added()
    yield _result("p1-server", "1", "HTTP/1 served, 100 % sampled", bench, loaded, aa, 450, 1.08, (300, 1.05))
    p50, p99 = loaded.added(), loaded.added("p99")
    yield Result("p1-p99", "4", "the same at the 99th percentile",
                 [Check("ratio", loaded.ratio("p99"), 1.08, 1.06, "x"),
                  Check("added / added p50", p99 / p50 if p50 > 0 else 0, 2, None, "x"),
                  Check("added", p99, None, None, "ns")],
                 _control(bench, aa, loaded, "p99"))


@measure("p1-unsampled")
def unsampled(bench):
    loaded = Pair(bench, machine.library_env(bench.sink.port, "always_off"))
    yield _result("p1-unsampled", "2", "HTTP/1 served, 0 % sampled", bench, loaded, plain(bench), 300, 1.06,
                  (220, 1.045))


@measure("p1-client")
def client(bench):
    loaded = Pair(bench, machine.library_env(bench.sink.port), "--what", "client")
    yield _result("p1-client", "1", "HTTP/1 called, context injected, 100 %", bench, loaded,
                  plain(bench, "--what", "client"), 450, 1.08, (300, 1.05))


@measure("p1-tls")
def tls(bench):
    for side, what in (("server", "served"), ("client", "called, context injected")):
        options = ("--what", f"tls-{side}")
        loaded = Pair(bench, machine.library_env(bench.sink.port), *options)
        yield _result(f"p1-tls-{side}", "1", f"HTTP/1 {what}, inside TLS, 100 %", bench, loaded, plain(bench, *options), 600, None)


@measure("p1-http2")
def http2(bench):
    for name, words in (("http2", "HTTP/2 request"), ("grpc", "unary gRPC call")):
        for side, what in (("server", "served"), ("client", "made, context injected")):
            options = ("--what", f"{name}-{side}")
            loaded = Pair(bench, machine.library_env(bench.sink.port), *options)
            yield _result(f"p1-{name}-{side}", "11", f"{words} {what}, 100 %", bench, loaded, plain(bench, *options), 1200, None,
                          (700, None))


@measure("p1-inject")
def inject(bench):
    """What the header costs: the same calls with no propagator."""
    for name, words in (("client", "HTTP/1"), ("tls-client", "HTTP/1 inside TLS"), ("http2-client", "HTTP/2")):
        options = ("--what", name)
        none = machine.library_env(bench.sink.port, OTEL_PROPAGATORS="none")
        before, loaded, after = (Pair(bench, env, *options) for env in (none, machine.library_env(bench.sink.port), none))
        without = (before.added() + after.added()) / 2
        yield Result(f"p1-inject-{name}", "11", f"{words}: injection alone", [Check("added", loaded.added() - without, 300, None, "ns")],
                     both(_control(bench, plain(bench, *options), loaded), _same("without", before.added(), after.added())),
                     {"loaded": loaded.details(), "none": before.details(), "plain": plain(bench, *options).details()})


@measure("p1-stores")
def stores(bench):
    """Of PostgreSQL and MySQL the client's side, which is what is asked for; the servers are seen only when they are traced."""
    for name, side, words in (("redis", "server", "Redis command answered"), ("redis", "client", "Redis command sent"),
                              ("postgresql", "client", "PostgreSQL simple query"),
                              ("postgresql-prepared", "client", "PostgreSQL prepared statement"),
                              ("mysql", "client", "MySQL query"), ("mysql-prepared", "client", "MySQL prepared statement")):
        options = ("--what", f"{name}-{side}")
        loaded = Pair(bench, machine.library_env(bench.sink.port), *options)
        yield _result(f"p1-{name}-{side}", "12", f"{words}, 100 %", bench, loaded, plain(bench, *options), 300, 1.06,
                      (200, None))


@measure("p1-disabled")
def disabled(bench):
    loaded = Pair(bench, machine.disabled_env())
    yield _result("p1-disabled", "3", "disabled at run time", bench, loaded, plain(bench), 60, 1.012, (40, None))


@measure("p1-nonsocket")
def nonsocket(bench):
    """A pipe's read and write take a fifth of a socket's: the ratio is over the socket's."""
    loaded = Pair(bench, machine.library_env(bench.sink.port), "--what", "pipe")
    socket_ns = plain(bench).stat["p50"]["raw_ns"]
    result = _result("p1-nonsocket", "3", "read and write of a pipe", bench, loaded,
                     plain(bench, "--what", "pipe"), 60, None, (40, None))
    result.checks[1] = Check("ratio to a socket's", 1 + loaded.added() / socket_ns, 1.012, None, "x")
    yield result


@measure("p1-accept")
def accept(bench):
    loaded = Pair(bench, machine.library_env(bench.sink.port), "--what", "accept")
    yield _result("p1-accept", "13", "accept4 and close", bench, loaded, plain(bench, "--what", "accept"),
                  400, 1.05, (250, None))


@measure("p1-connections")
def connections(bench):
    env = machine.library_env(bench.sink.port)
    counts = (1, 100) if bench.fast else (1, 1000, 9000)
    pairs = {conns: Pair(bench, env, "--conns", str(conns)) for conns in counts}
    first, again = pairs[1], Pair(bench, env)
    for conns, loaded in pairs.items():
        aa = plain(bench, "--conns", str(conns))
        gated = conns == 9000
        yield Result(f"p1-conns-{conns}", "18", f"{conns} connections, 100 %",
                     [Check("added", loaded.added(), None, None, "ns"),
                      Check("ratio", loaded.ratio(), 1.08 if gated else None, None, "x"),
                      Check("added / added at 1", loaded.added() / (first.added() or 1), 2.2 if gated else None,
                            1.6 if gated else None, "x")],
                     both(_control(bench, aa, loaded), _same("1 connection", first.added(), again.added())),
                     {"loaded": loaded.details(), "plain": aa.details()})


@measure("p1-threads")
def threads(bench):
    if len(machine.CPUS) < 2:
        yield Result("p1-threads", "17", "two threads", [], problem="one processor")
        return
    env = machine.library_env(bench.sink.port)
    alone = ("--cpu", str(machine.OTHER))
    together = ("--threads", "2", *alone)
    one, two, again = (Pair(bench, env, *options) for options in (alone, together, alone))
    yield Result("p1-threads", "17", "two threads, per thread, 100 %",
                 [Check("added / added by one", two.added() / (one.added() or 1), 1.2, 1.1, "x"),
                  Check("added", two.added(), None, None, "ns"),
                  Check("added by one", one.added(), None, None, "ns")],
                 both(_control(bench, plain(bench, *together), two), one.anchored(),
                      _same("one", one.added(), again.added())))


def _compared(row, goal, what, bench, quiet, other, again, options=()):
    """A pair whose ratio must not be above that of the quiet pair measured before and after it."""
    before = (quiet.ratio() + again.ratio()) / 2
    drift = abs(quiet.ratio() - again.ratio())
    return Result(row, goal, what,
                  [Check("ratio rises by", other.ratio() - before, 0.01, None, "x"),
                   Check("ratio", other.ratio(), None, None, "x"),
                   Check("without", before, None, None, "x")],
                  both(_control(bench, plain(bench, *options), other),
                       Control(drift <= 0.01, f"without again {drift:.3f} off")))


@measure("p1-dead-sink")
def dead_sink(bench):
    env = machine.library_env(bench.sink.port)
    with process.Sink("hang") as sink:
        healthy, refused, again, hanging, last = (Pair(bench, e) for e in (
            env, machine.library_env(process.free_port()), env, machine.library_env(sink.port), env))
    yield _compared("p1-refused", "24", "hot path, collector refuses connections", bench, healthy, refused, again)
    yield _compared("p1-hanging", "24", "hot path, collector hangs", bench, again, hanging, last)


class _Scraper(threading.Thread):
    """Asks for the metrics ten times a second."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.answers, self.ends = port, 0, threading.Event()

    def run(self):
        while not self.ends.wait(0.1):
            try:
                process.scrape(self.port)
                self.answers += 1
            except (OSError, process.Failed):
                time.sleep(0.01)  # not there yet, or between two runs


@measure("p1-scraped")
def scraped(bench):
    options = ("--routes", "200")
    port = process.free_port()
    env = machine.library_env(bench.sink.port, OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
                              OTELAUTO_ROUTES_UNMATCHED="path")
    quiet = Pair(bench, env, *options)
    scraper = _Scraper(port)
    scraper.start()
    busy = Pair(bench, env, *options)
    scraper.ends.set()
    scraper.join()
    again = Pair(bench, env, *options)
    result = _compared("p1-scraped", "25", "hot path, 10 scrapes of 10 000 samples per second", bench, quiet, busy,
                       again, options)
    result.details["scrapes"] = scraper.answers
    if not scraper.answers and not bench.fast:
        result.problem = "nothing was scraped"
    yield result
