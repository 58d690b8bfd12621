"""A process for each connection, which ends by _exit() as soon as it has answered."""
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ForkingMixIn


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(ForkingMixIn, HTTPServer):
    request_queue_size = 128


with Server(("127.0.0.1", 0), Handler) as server:
    print("port", server.server_port, flush=True)
    server.serve_forever()
