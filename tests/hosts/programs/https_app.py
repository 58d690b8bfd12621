"""HTTPS/1.1 that asks a gRPC greeter for each answer.  https_app.py PORT GREETER-PORT CERTIFICATE KEY"""
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

port, greeter, cert, key = sys.argv[1:]
channel = grpc.insecure_channel(f"127.0.0.1:{greeter}")
# message Text { string text = 1; } of greeter.proto, by hand, for less than 128 bytes.
hello = channel.unary_unary("/demo.Greeter/Hello", lambda text: b"\n" + bytes([len(text)]) + text, lambda message: message[2:])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        text = hello(self.path.encode(), metadata=[("x-path", self.path)]) + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
