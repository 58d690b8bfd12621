"""A program that serves HTTP and asks a data store for each of its requests; those who visit it, all at once; and whether what it
asked is in the right traces."""
import textwrap

from lib.loadgen import Connection
from lib.preload import Thread

SOURCE = """
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
{setup}
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args):
        pass
    def do_GET(self):
{answer}
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
server = Server(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def source(setup, answer):
    """The program. setup: run once; answer: run for each request, makes `body` of self.path"""
    return SOURCE.format(setup=textwrap.dedent(setup), answer=textwrap.indent(textwrap.dedent(answer), " " * 8))


def visit_all(port, visitors, requests=1):
    """A thread and a connection for each visitor; every request has a path of its own. Returns when all were answered."""
    def visit(i):
        with Connection(port) as c:
            for n in range(requests):
                c.request(f"/r{i}-{n}")
    threads = [Thread(visit, i) for i in range(visitors)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)


def children(served, asked):
    """The names of what was asked for each request, sorted. What was asked for none fails."""
    by_id = {s.span_id: s for s in served}
    names = {i: [] for i in by_id}
    for s in asked:
        assert s.parent_id in by_id and s.trace_id == by_id[s.parent_id].trace_id, (s, s.attributes)
        names[s.parent_id].append(s.name)
    return [sorted(n) for n in names.values()]
