"""gRPC in Python without generated code.  grpc_calls.py serve PORT | call PORT COUNT THREADS"""
import sys
import threading
from concurrent import futures

import grpc

METHODS = {"Hello": "unary_unary", "Many": "unary_stream", "Collect": "stream_unary", "Chat": "stream_stream",
           "Fail": "unary_unary", "Slow": "unary_unary"}


# message Text { string text = 1; } of greeter.proto, by hand.
def put(text):
    size = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 127 | 128, len(text) >> 7])
    return b"\n" + size + text


def take(message):
    return message[3 if message[1] & 128 else 2:] if message else b""


def hello(text, context):
    return b"hello " + text


def many(text, context):
    for _ in range(5):
        yield text


def collect(texts, context):
    return b"%d" % sum(1 for _ in texts)


def chat(texts, context):
    yield from texts


def fail(text, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def slow(text, context):
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(10)
    return b""


def serve(port):
    handlers = {name: getattr(grpc, f"{kind}_rpc_method_handler")(globals()[name.lower()], take, put)
                for name, kind in METHODS.items()}
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Greeter", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call_all(stub, ok):
    text = b"x" * 300
    ok.append(stub["Hello"](text) == b"hello " + text)
    ok.append(len(list(stub["Many"](text))) == 5)
    ok.append(stub["Collect"](iter([text] * 3)) == b"3")
    ok.append(len(list(stub["Chat"](iter([text] * 2)))) == 2)
    ok.append(status_of(stub["Fail"], text) == grpc.StatusCode.NOT_FOUND)


def status_of(method, text, **options):
    try:
        method(text, **options)
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        return error.code()


def call(port, count, threads):
    channel, ok = grpc.insecure_channel(f"127.0.0.1:{port}"), []
    stub = {name: getattr(channel, kind)(f"/demo.Greeter/{name}", put, take) for name, kind in METHODS.items()}
    workers = [threading.Thread(target=lambda: [call_all(stub, ok) for _ in range(count)]) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ok.append(status_of(stub["Slow"], b"", timeout=0.2) == grpc.StatusCode.DEADLINE_EXCEEDED)
    print("ok", sum(ok), flush=True)


if sys.argv[1] == "serve":
    serve(*sys.argv[2:])
else:
    call(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
