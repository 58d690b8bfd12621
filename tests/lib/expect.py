"""Reads test-apps/*.expect, runs what they say, and compares span trees.

    @ about text                       what this is
    @ leaf [delay=S] [read=N] [unix]   starts the leaf server: $LEAF is its port, $LEAFPATH its socket
    @ file NAME BYTES                  makes a file: $NAME is its path
    @ env NAME=VALUE                   for the programs started after it
    @ run PROGRAM ARG…                 runs a program to its end
    @ serve NAME PROGRAM ARG…          starts a server: $NAME is its port ("port N" on its standard output)
    @ await NAME TEXT                  waits until that server has printed TEXT
    @ get NAME PATH…                   one connection to that server, a GET for each path in turn
    @ sockets NAME N                   that server keeps N sockets when its clients have left (1)
    @ sort                             lines of output come in any order
    @ note …                           documentation
Then the span trees, children indented by two spaces, in any order:
    KIND[*N] NAME KEY=VALUE… KEY=* (any value) KEY=~REGEX !KEY (absent) status=error links=N service=NAME
NAME may be quoted. A span of the programs that is not in the file is a failure. $NAME works everywhere.
"""
import re
import shlex
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .collector import build_trees, draw
from .leaf import Leaf
from .loadgen import Connection
from .preload import APPS, Program, app

DEFAULT_STATUS = "unset"


class Want:
    """One expected span."""

    def __init__(self, text):
        words = shlex.split(text)
        kind, _, count = words[0].partition("*")
        self.kind, self.count, self.name = kind, int(count or 1), words[1]
        self.tests = words[2:]
        self.children = []
        self.text = text

    def total(self):
        return self.count * (1 + sum(c.total() for c in self.children))

    def mismatch(self, node, variables):
        """None when the span itself fits, else why not."""
        span = node.span
        if span.kind != self.kind:
            return f"kind {span.kind}"
        if span.name != substitute(self.name, variables):
            return f"name {span.name!r}"
        if not any(t.startswith("status=") for t in self.tests) and span.status != DEFAULT_STATUS:
            return f"status {span.status}"
        for test in self.tests:
            why = self._test(span, substitute(test, variables))
            if why:
                return why
        return None

    @staticmethod
    def _test(span, test):
        if test.startswith("!"):
            return f"has {test[1:]}={span.attributes[test[1:]]!r}" if test[1:] in span.attributes else None
        key, _, wanted = test.partition("=")
        have = {"status": span.status, "links": len(span.links), "service": span.service,
                "events": len(span.events)}.get(key, span.attributes.get(key))
        if have is None:
            return f"no {key}"
        if isinstance(have, list):
            have = ",".join(str(v) for v in have)
        if wanted == "*" or str(have) == wanted:
            return None
        if wanted.startswith("~") and re.fullmatch(wanted[1:], str(have)):
            return None
        return f"{key}={have!r}"


def substitute(text, variables):
    return re.sub(r"\$([A-Za-z_]+)", lambda m: str(variables.get(m.group(1), m.group(0))), text)


class Script:
    def __init__(self, path):
        self.name = Path(path).stem
        self.steps, self.wants = [], []
        stack = [(-1, self)]
        self.children = self.wants
        for line in Path(path).read_text().splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("@"):
                words = line[1:].split(None, 1)
                self.steps.append(words if words[0] in ("about", "note") else shlex.split(line[1:]))
                continue
            depth = (len(line) - len(line.lstrip(" "))) // 2
            want = Want(line.strip())
            while stack[-1][0] >= depth:
                stack.pop()
            stack[-1][1].children.append(want)
            stack.append((depth, want))

    def total(self):
        return sum(w.total() for w in self.wants)


def explain(want, nodes, variables):
    return "; ".join(f"{n.span.name!r} {n.span.path}: {want.mismatch(n, variables) or 'its children differ'}"
                     for n in nodes[:6])


def match_all(wants, nodes, variables):
    """Pairs every expected span with a received one. returns None or what is wrong"""
    free = list(nodes)
    for want in wants:
        for _ in range(want.count):
            for node in free:
                if want.mismatch(node, variables) is None and \
                        match_all(want.children, node.children, variables) is None:
                    free.remove(node)
                    break
            else:
                return f"missing: {want.text}\n  candidates: {explain(want, free, variables) or 'none'}"
    if free:
        return "unexpected: " + "\n".join(line for n in free for line in n.draw())
    return None


def check_trees(script, spans, variables):
    roots, dangling = build_trees(spans)
    problem = match_all(script.wants, roots, variables)
    if dangling:
        problem = f"parent not there: {[n.span for n in dangling]}\n{problem or ''}"
    return problem and f"{script.name}: {problem}\nreceived:\n{draw(spans)}"


class Outcome:
    """What a user sees of one run: output, status and descriptors of each program."""

    def __init__(self):
        self.programs = []
        self.answers = []
        self.variables = {}
        self.our_fds = []


def run_script(script, collector=None, expect_spans=True):
    """Plays the steps, under the preload when there is a collector. returns an Outcome"""
    outcome = Outcome()
    v = outcome.variables
    settings, programs, runs, left, sort = {}, {}, [], {}, False
    endpoint = collector.endpoint if collector else None

    def start(words, service=None):
        return Program([app(words[0])] + [substitute(w, v) for w in words[1:]], endpoint=endpoint, service=service,
                       settings={k: substitute(s, v) for k, s in settings.items()}, preload=collector is not None,
                       hold=True)

    def note(words, result):
        output = re.sub(r"(?m)^port \d+$", "port", result.stdout)
        for name, value in sorted(v.items()):
            if str(value).isdigit():
                output = re.sub(rf"\b{value}\b", f"${name}", output)
        if sort:
            output = "\n".join(sorted(output.splitlines()))
        outcome.programs.append((words[0], result.status, output, result.stderr, result.host_fds))
        outcome.our_fds.append(result.our_fds)

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="otelauto-test-"))
        v["DIR"] = folder
        v["APPS"] = APPS
        for words in script.steps:
            verb, rest = words[0], words[1:]
            if verb == "leaf":
                options = dict(w.partition("=")[::2] for w in rest)
                v["LEAFPATH"] = f"{folder}/leaf.sock"
                server = stack.enter_context(Leaf(delay=float(options.get("delay", 0)),
                                                  read_bytes=int(options.get("read", 65536)),
                                                  receive_buffer=int(options.get("rcvbuf", 0)),
                                                  path=v["LEAFPATH"] if "unix" in options else None))
                v["LEAF"] = getattr(server, "port", "")
            elif verb == "file":
                Path(folder, rest[0]).write_bytes(b"x" * int(rest[1]))
                v[rest[0]] = f"{folder}/{rest[0]}"
            elif verb == "env":
                name, _, value = rest[0].partition("=")
                settings[name] = value
            elif verb == "sockets":
                left[rest[0]] = int(rest[1])
            elif verb == "sort":
                sort = True
            elif verb == "run":
                program = stack.enter_context(start(rest))
                program.wait_finished(45)
                runs.append((rest, program))
            elif verb == "serve":
                program = stack.enter_context(start(rest[1:]))
                programs[rest[0]] = (rest[1:], program)
                if "unix" not in rest[1]:
                    v[rest[0]] = program.port
            elif verb == "await":
                programs[rest[0]][1].wait_output(rest[1])
            elif verb == "get":
                with Connection(v[rest[0]]) as connection:
                    for path in rest[1:]:
                        status, _, body = connection.request(path)
                        outcome.answers.append((path, status, body.replace(str(v.get("LEAF", "-")).encode(), b"$LEAF")))
            elif verb not in ("about", "note"):
                raise ValueError(f"{script.name}: unknown step {verb}")
        if collector and expect_spans:
            try:
                collector.wait_for(lambda spans: len(spans) >= script.total())
            except AssertionError:
                pass  # check_trees says more about it than a count
        for words, program in runs:
            note(words, program.wait())
        for name, (words, program) in programs.items():
            program.wait_sockets(left.get(name, 1))
            note(words, program.stop())
    return outcome
