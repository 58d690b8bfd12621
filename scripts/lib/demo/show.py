"""Draws what the demo has gathered: a table of rates, errors and durations, and one trace as a tree."""
import metrics

BAR = 24


def ms(seconds):
    return f"{1000 * seconds:.1f}"


def table(lines):
    """Columns as wide as they must be; numbers to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        yield "  " + "  ".join(text.rjust(w) if i > 2 else text.ljust(w)
                               for i, (text, w) in enumerate(zip(line, widths))).rstrip()


def red(rows, seconds):
    lines = [["service", "", "what", "requests", "per s", "errors", "p50 ms", "p95 ms"]]
    for row in rows:
        lines.append([row.service, "serves" if row.kind == "server" else "calls", row.what, str(row.count),
                      f"{row.count / seconds:.1f}", f"{100 * row.errors / max(row.count, 1):.1f} %",
                      ms(metrics.quantile(row.buckets, 0.5)), ms(metrics.quantile(row.buckets, 0.95))])
    return "\n".join(table(lines))


def branches(spans, parent_id="", indent="", last=True):
    """Yields (text before the span, span), parents first. A root stands without a branch."""
    children = sorted((s for s in spans if s.parent_id == parent_id), key=lambda s: s.start)
    for i, span in enumerate(children):
        end = i == len(children) - 1
        yield indent + (("└─ " if end else "├─ ") if parent_id else ""), span
        yield from branches(spans, span.span_id, indent + (("   " if end else "│  ") if parent_id else ""))


def tree(spans):
    first, whole = min(s.start for s in spans), max(s.end for s in spans) - min(s.start for s in spans)
    lines = []
    for before, span in branches(spans):
        verb = "serves" if span.kind == "server" else "calls"
        what = span.name if span.kind == "server" else f"{span.name} {span.url}"
        left = round(BAR * (span.start - first) / whole)
        width = max(1, round(BAR * (span.end - span.start) / whole))
        bar = (" " * left + "━" * width)[:BAR].ljust(BAR)
        lines.append([f"{before}{span.service} {verb} {what}", str(span.status),
                      f"{(span.end - span.start) / 1e6:.2f} ms", bar])
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    return "\n".join(f"  {text.ljust(widths[0])}  {status:>{widths[1]}}  {took:>{widths[2]}}  {bar.rstrip()}"
                     for text, status, took, bar in lines)
