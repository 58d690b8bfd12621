"""Load that goes on for as long as a test does something to the server, and what must be true of it afterwards."""
import threading

from kit import COUNT, CLIENT_COUNT, find, in_background, wait_until
from lib.loadgen import Load


class Storm:
    """with Storm(port) as storm: …; the load ends with the block."""

    def __init__(self, port, connections=8, keep_alive=False, at_least=500, path=None):
        self.path = path
        self.port, self.connections, self.keep_alive, self.at_least = port, connections, keep_alive, at_least
        self.loads = []
        self._stop = threading.Event()

    def __enter__(self):
        self._runner = in_background(self._run)
        return self

    def _run(self):
        while not self._stop.is_set() or self.count() < self.at_least:
            self.loads.append(Load(self.port, 200, self.connections, keep_alive=self.keep_alive, tolerant=True,
                                   path=self.path))
            self.loads[-1].run()

    def __exit__(self, *_):
        self._stop.set()
        self._runner.join(120)

    def count(self):
        return sum(len(load.answers) for load in self.loads)

    def wait_more(self, count):
        """Waits for so many more answers."""
        wanted = self.count() + count
        wait_until(lambda: self.count() >= wanted or not self._runner.is_alive(), 60, f"{count} more answers")

    @property
    def broken(self):
        return sum(load.broken for load in self.loads)

    @property
    def answers(self):
        return {ident: answer for load in self.loads for ident, answer in load.answers.items()}

    def statuses(self):
        return {status for status, _ in self.answers.values()}

    def judge_spans(self, way, also_calls=False, service=None, killed=0):
        """What clients got has its span; what they did not get may have. Nothing is there twice.

        killed   so many single-threaded workers got SIGKILL: each may have died between its last write and our note of it
        """
        answers = self.answers
        for kind in ["SERVER", "CLIENT"] if also_calls else ["SERVER"]:
            def ids(spans):
                return {s.path.rsplit("/", 1)[1] for s in find(spans, kind=kind, service=service)}
            way.collector.wait_for(lambda spans: len(set(answers) - ids(spans)) <= killed, what=f"a {kind} span for every answer")
            spans = find(way.collector.spans, kind=kind, service=service)
            assert len(spans) == len(ids(spans)), "a request has two spans"

    def judge(self, way, tree, also_calls=False, service=None, killed=0):
        """The same, and the counts agree."""
        self.judge_spans(way, also_calls, service, killed)
        count = len(self.answers)
        for metric in [COUNT, CLIENT_COUNT] if also_calls else [COUNT]:
            tree.wait_sum(metric, count - killed, at_most=count + self.broken)
