"""app.py UPSTREAM-PORT: answers /orders/N after asking the upstream for /stock/N. A thread for each connection.

It knows nothing of tracing."""
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM = f"http://127.0.0.1:{sys.argv[1]}"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together

    def do_GET(self):
        number = self.path.rpartition("/")[2]
        time.sleep(0.002)
        try:
            with opener.open(f"{UPSTREAM}/stock/{number}", timeout=10) as answer:
                self.answer(200, {"order": number, "stock": int(answer.read())})
        except urllib.error.URLError as error:
            self.answer(502, {"order": number, "error": str(error)})

    def answer(self, status, what):
        body = json.dumps(what).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(f"port {server.server_address[1]}", flush=True)
server.serve_forever()
