"""A client for tests that speaks HTTP/2 by the h2 library: several requests at a time on one connection."""
import socket

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded


def get_all(port, paths, tls=None):
    """Asks for all paths at once. tls: an ssl.SSLContext. returns [(status, {name: value}, body)]"""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    if tls:
        tls.set_alpn_protocols(["h2"])
        sock = tls.wrap_socket(sock, server_hostname="localhost")
        assert sock.selected_alpn_protocol() == "h2"
    with sock:
        connection = H2Connection(H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        answers = {}
        for i, path in enumerate(paths):
            connection.send_headers(2 * i + 1, [(":method", "GET"), (":scheme", "https" if tls else "http"),
                                                (":authority", "localhost"), (":path", path)], end_stream=True)
        open_streams = len(paths)
        while open_streams:
            sock.sendall(connection.data_to_send())
            data = sock.recv(65536)
            assert data, f"the server left after {len(paths) - open_streams} answers"
            for event in connection.receive_data(data):
                if isinstance(event, ResponseReceived):
                    names = [name for name, _ in event.headers]
                    assert len(set(names)) == len(names), event.headers
                    answers[event.stream_id] = (dict(event.headers), bytearray())
                elif isinstance(event, DataReceived):
                    answers[event.stream_id][1].extend(event.data)
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    open_streams -= 1
        return [(int(head.pop(":status")), head, bytes(body)) for head, body in (answers[2 * i + 1] for i in range(len(paths)))]
