"""A gRPC collector on 127.0.0.1: a real one by grpcio, and one that misbehaves frame by frame by h2."""
import socket
import threading
from concurrent import futures

import grpc
import h2.config
import h2.connection
import h2.events
from google.protobuf import any_pb2, duration_pb2

from lib.collector import Store, unknown_fields

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def field(number, data):
    """A field of bytes in protobuf, for messages that have no Python module here; short ones only."""
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def retry_details(seconds, nanos=0, code=8):
    """google.rpc.Status with a RetryInfo."""
    info = field(1, duration_pb2.Duration(seconds=seconds, nanos=nanos).SerializeToString())
    packed = any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=info)
    return bytes([8, code]) + field(3, packed.SerializeToString())


def ok(response=None):
    def act(fake, request, context):
        fake.accept(request)
        return response or ExportTraceServiceResponse()
    return act


def partial(rejected, message):
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return ok(response)


def fail(code, words="", details=None, headers_first=False):
    """Trailers only, or a header of its own and then trailers."""
    def act(fake, request, context):
        if headers_first:
            context.send_initial_metadata((("x-hello", "1"),))
        if details:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(code, words)
    return act


class Grpc(Store):
    """`with Grpc(fail(...), ok()) as c:` each call takes the next action; the last one repeats."""

    def __init__(self, *script, tls=None):
        super().__init__()
        self.script, self.tls = list(script) or [ok()], tls
        self.calls = []

    def __enter__(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(self.call, ExportTraceServiceRequest.FromString,
                                                      ExportTraceServiceResponse.SerializeToString)
        service, method = EXPORT[1:].split("/")
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        if self.tls:
            self.port = self.server.add_secure_port("127.0.0.1:0", self.tls)
        else:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(None).wait()

    def call(self, request, context):
        self.calls.append(dict(context.invocation_metadata()))
        action = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return action(self, request, context)

    def accept(self, message):
        for problem in unknown_fields(message):
            self.note(problem)
        self.add(message)


class RawH2:
    """Reads whole requests with h2; `act(conn, stream, send)` says what happens then. Keeps headers and bodies."""

    def __init__(self, *script, settings=None):
        self.script, self.settings = list(script), settings or {}
        self.requests, self.connections = [], 0

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(16)
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def serve(self):
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.talk, args=(sock,), daemon=True).start()

    def talk(self, sock):
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        if self.settings:
            conn.update_settings(self.settings)
        open_streams = {}
        try:
            sock.sendall(conn.data_to_send())
            while data := sock.recv(65536):
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        open_streams[event.stream_id] = [dict(event.headers), b""]
                    elif isinstance(event, h2.events.DataReceived):
                        open_streams[event.stream_id][1] += event.data
                        conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        self.requests.append(open_streams.pop(event.stream_id))
                        action = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                        action(conn, event.stream_id)
                sock.sendall(conn.data_to_send())
                if getattr(conn, "hang_up", False):
                    break
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            sock.close()


def respond(*headers, body=b"", trailers=None):
    def act(conn, stream):
        conn.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"), *headers],
                          end_stream=trailers is None and not body)
        if body:
            conn.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            conn.send_headers(stream, trailers, end_stream=True)
    return act


def status(code):
    return lambda conn, stream: conn.send_headers(stream, [(":status", str(code))], end_stream=True)


def reset(code):
    return lambda conn, stream: conn.reset_stream(stream, code)


def goaway():
    """The stream was not processed: last id 0."""
    def act(conn, stream):
        conn.close_connection(last_stream_id=0)
        conn.hang_up = True
    return act


def hang_up():
    def act(conn, stream):
        conn.hang_up = True
    return act


FINE = respond(body=b"\0\0\0\0\0", trailers=[("grpc-status", "0")])
