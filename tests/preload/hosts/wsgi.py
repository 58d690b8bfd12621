"""A WSGI application that calls the leaf in $LEAF with http.client."""
import http.client
import os

LEAF = int(os.environ["LEAF"])


def app(environ, start_response):
    connection = http.client.HTTPConnection("127.0.0.1", LEAF, timeout=20)
    path = "/leaf/" + environ["PATH_INFO"].rsplit("/", 1)[-1]
    connection.request("GET", path, headers={"X-Truth": environ.get("HTTP_X_TRUTH", "")})
    body = connection.getresponse().read()
    connection.close()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
