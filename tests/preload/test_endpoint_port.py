"""The port of the metrics endpoint belongs to the program as soon as it wants it."""
import sys

from lib.preload import free_port, run

# Binds the port before the endpoint exists, which then can bind it too; but only one of them can listen.
LATE_LISTEN = """
import socket, sys, time
port = int(sys.argv[1])
late = socket.socket()
late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
late.bind(("127.0.0.1", port))
early = socket.create_server(("127.0.0.1", 0))
socket.create_connection(early.getsockname()).close()
def listens():
    with open("/proc/net/tcp") as table:
        return any(f":{port:04X} " in line and " 0A " in line for line in table)
end = time.monotonic() + 10
while not listens() and time.monotonic() < end:
    time.sleep(0.01)
print("endpoint", listens())
late.listen(5)
print("listening", late.getsockname()[1] == port)
"""


def test_a_program_that_bound_before_us_can_still_listen(library):
    port = free_port()
    result = run([sys.executable, "-c", LATE_LISTEN, port], settings={"OTEL_EXPORTER_PROMETHEUS_PORT": str(port)})
    assert result.status == 0, result.stderr
    assert result.stdout == "endpoint True\nlistening True\n", result.stdout
