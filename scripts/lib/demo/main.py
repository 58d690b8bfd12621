"""Runs the demo: the chain, the load, what came of it, and whether that is right. Called by scripts/demo."""
import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import metrics
import show
from receiver import Receiver
from services import Chain, Trouble

PER_SECOND = 40
PATIENCE = 15  # seconds for telemetry to arrive
STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What every trace must be, from its root down, and what every service must have counted.
HOPS = [("client", "client"), ("nginx", "server"), ("nginx", "client"), ("app", "server"), ("app", "client"),
        ("upstream", "server")]
SERVICES = ["client", "nginx", "app", "upstream"]


def say(text=""):
    print(text, flush=True)


def wrong_with(spans):
    """None when these are the spans of one request in their right places, else what is wrong."""
    if len(spans) != len(HOPS):
        return f"{len(spans)} spans, not {len(HOPS)}"
    parent, number = "", None
    for service, kind in HOPS:
        found = [s for s in spans if (s.service, s.kind) == (service, kind)]
        if len(found) != 1:
            return f"{len(found)} {kind} spans of {service}, not one"
        span = found[0]
        if span.parent_id != parent:
            return f"the {kind} span of {service} has parent {span.parent_id or 'none'}, not {parent or 'none'}"
        number = number or span.url.rpartition("/")[2]
        if span.url.rpartition("/")[2] != number:
            return f"the {kind} span of {service} is for {span.url}, the trace for number {number}"
        parent = span.span_id
    return None


def counts(scrapes):
    """{(service, kind): requests}"""
    return {(service, kind): int(metrics.value(scrapes[service], metrics.DURATION[kind] + "_count"))
            for service, kind in HOPS}


def scrape_until(chain, count):
    """Scrapes all until they have counted that many requests, or for as long as we wait."""
    end = time.monotonic() + PATIENCE
    while True:
        scrapes = {service: metrics.scrape(chain.discovery, service) for service in SERVICES}
        if all(n >= count for n in counts(scrapes).values()) or time.monotonic() > end:
            return scrapes
        time.sleep(0.2)


def judge(count, scrapes, traces):
    """Every way in which the result is not what the load must give."""
    verbs = {"server": "served", "client": "made"}
    for (service, kind), number in counts(scrapes).items():
        if number != count:
            yield f"{service} {verbs[kind]} {count} requests, but its metrics say {number}"
    for service in SERVICES:
        lost = int(metrics.value(scrapes[service], "otelauto_drops_total"))
        if lost:
            yield f"{service} dropped {lost} spans"
    bad = {trace: reason for trace, spans in traces.items() if (reason := wrong_with(spans))}
    if len(traces) != count:
        yield f"{count} requests, but {len(traces)} traces"
    for trace, reason in list(bad.items())[:3]:
        yield f"trace {trace}: {reason}"
    if len(bad) > 3:
        yield f"and {len(bad) - 3} more such traces"


def typical(traces):
    """The good trace whose duration is in the middle; any trace when there is none."""
    good = [spans for spans in traces.values() if not wrong_with(spans) and spans[0].status == 200]
    took = {max(s.end for s in spans) - min(s.start for s in spans): spans for spans in good or traces.values()}
    return took[statistics.median_low(took)] if took else None


def report(chain, receiver, count, seconds, scrapes):
    say(f"\nRate, errors, duration: from the services' own /metrics, {count} requests in {seconds:.1f} s\n")
    rows = [row for service in SERVICES for row in metrics.red_rows(scrapes[service], service)]
    say(show.red(rows, seconds) if rows else "  nothing")
    spans = typical(receiver.traces())
    say("\nOne of the traces, as it came by OTLP:" + (f" {spans[0].trace_id}" if spans else "") + "\n")
    say(show.tree(spans) if spans else "  nothing")
    say("\nMetrics:")
    for service in SERVICES:
        say(f"  {service:<9} http://{metrics.address(chain.discovery, service)}/metrics")
    say()


def run_load(chain, receiver, seconds):
    count = PER_SECOND * seconds
    say(f"\nload: {count} requests in {seconds} s to http://127.0.0.1:{chain.port}/orders/N")
    took, failed = chain.load(count, seconds)
    say(f"client: {count} answers, {failed} of them errors, as the upstream fails each 25th")
    receiver.wait_count(count * len(HOPS), PATIENCE)
    scrapes = scrape_until(chain, count)
    report(chain, receiver, count, took, scrapes)
    problems = list(judge(count, scrapes, receiver.traces()))
    if receiver.trouble:
        problems.append(receiver.trouble)
    if not problems:
        say(f"demo: good: {count} requests, {count} traces with all {len(HOPS)} spans in their places, "
            f"and every service counted {count}")
    return problems


def keep_running(chain, receiver, library):
    say(f"\nA light load goes on until Ctrl-C. To try:\n"
        f"  curl http://{metrics.address(chain.discovery, 'nginx')}/metrics\n"
        f"  curl http://{metrics.address(chain.discovery, 'nginx')}/healthz\n"
        f"  curl http://127.0.0.1:{chain.port}/orders/42\n"
        f"  OTEL_TRACES_EXPORTER=console LD_PRELOAD={library} curl http://127.0.0.1:{chain.port}/orders/42")
    while True:
        chain.load(2, 1)
        receiver.forget()


def tail_of_logs(chain):
    for service in chain.services:
        text = service.log.read_text(errors="replace").strip().splitlines()[-10:]
        for line in text:
            print(f"  {service.name}: {line}", file=sys.stderr)


def run(options, work):
    library = options.build / "libotelauto.so"
    with Receiver() as receiver:
        chain = Chain(library, receiver.endpoint, work)
        try:
            with chain:
                say("running, all of them as they come from Debian or without a word about tracing:")
                for service in chain.services:
                    say(f"  {service.command(options.top)}")
                problems = run_load(chain, receiver, options.seconds)
                if not problems and not options.once:
                    keep_running(chain, receiver, library)
                if problems:
                    tail_of_logs(chain)
        except Trouble as trouble:
            problems = [str(trouble)]
            tail_of_logs(chain)
    for problem in problems:
        print(f"demo: {problem}", file=sys.stderr)
    return 1 if problems else 0


def stop(*_):
    for number in STOPPED_BY:
        signal.signal(number, signal.SIG_IGN)  # once is enough: tidying up is not interrupted
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--once", action="store_true", help="end after the load; status 0 when all is as it must be")
    parser.add_argument("--seconds", type=int, default=5, help=f"how long the load lasts, {PER_SECOND} requests a second")
    parser.add_argument("--top", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 1 <= options.seconds <= 600:
        parser.error("--seconds is 1 to 600")

    options.build = options.build.resolve()
    for number in STOPPED_BY:
        signal.signal(number, stop)
    work = Path(tempfile.mkdtemp(prefix="otelauto-demo."))
    work.chmod(0o755)  # nginx's workers are another user's
    try:
        return run(options, work)
    except KeyboardInterrupt:
        say("\ndemo: stopped")
        return 1 if options.once else 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
