"""threads_server.py PORT LEAF: http.server with a thread per connection, urllib to the leaf."""
import http.server
import sys
import urllib.request

PORT, LEAF = int(sys.argv[1]), int(sys.argv[2])
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = f"http://127.0.0.1:{LEAF}/leaf/" + self.path.rsplit("/", 1)[-1]
        request = urllib.request.Request(url, headers={"X-Truth": self.headers.get("X-Truth", "")})
        body = OPENER.open(request, timeout=20).read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512


Server(("127.0.0.1", PORT), Handler).serve_forever()
