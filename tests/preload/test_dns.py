"""How long names take to look up, by name and by what went wrong: in every way that libc has, and only when that is asked for."""
import sys

from lib.metrics import metrics_ports, scrape
from lib.preload import Program, wait_until

COUNT = "dns_lookup_duration_seconds_count"
LOOKUPS = """
import ctypes, http.server, socket, sys
libc, at, result, error = ctypes.CDLL(None), ctypes.create_string_buffer(64), ctypes.c_void_p(), ctypes.c_int()
for name in (b"localhost", b"nobody.invalid"):
    info = ctypes.c_void_p()
    print(name, libc.getaddrinfo(name, b"80", None, ctypes.byref(info)))
    libc.gethostbyname.restype = libc.gethostbyname2.restype = ctypes.c_void_p
    print(bool(libc.gethostbyname(name)), bool(libc.gethostbyname2(name, socket.AF_INET)))
    for room in (1, 4096):  # the first is too small, and no lookup
        buf = ctypes.create_string_buffer(room)
        for call, more in ((libc.gethostbyname_r, ()), (libc.gethostbyname2_r, (socket.AF_INET,))):
            ctypes.set_errno(0)
            print(call(name, *more, at, buf, ctypes.c_size_t(room), ctypes.byref(result), ctypes.byref(error)) == 34, bool(result.value))
for address in (b"127.0.0.1", b"::1"):
    print(libc.getaddrinfo(address, None, None, ctypes.byref(ctypes.c_void_p())))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def lookups(settings, preload=True):
    with Program([sys.executable, "-c", LOOKUPS], settings={"OTEL_TRACES_EXPORTER": "none", **settings}, preload=preload) as program:
        port = int(program.wait_output(r"port (\d+)").group(1))
        said = program.stdout.split("port")[0]
        if not preload:
            return said, None
        at = wait_until(lambda: next(metrics_ports([program.pid], {port}), None), what="the metrics endpoint")
        return said, scrape(at)


def test_lookups_are_measured_by_name():
    bare, _ = lookups({}, preload=False)
    said, metrics = lookups({"OTELAUTO_DNS_METRICS": "true"})
    assert said == bare and "True" in said
    assert metrics.sum(COUNT, dns_question_name="localhost", error_type="") >= 5
    failed = {dict(labels).get("error_type"): count for labels, count in
              metrics.series(COUNT, dns_question_name="nobody.invalid").items()}
    assert sum(failed.values()) == 5 and set(failed) <= {"host_not_found", "try_again", "no_recovery"}, failed
    names = {dict(labels)["dns_question_name"] for labels in metrics.series(COUNT)}
    assert not names & {"127.0.0.1", "::1"}
    assert metrics.sum("dns_lookup_duration_seconds_sum") > 0


def test_nothing_is_measured_unasked():
    _, metrics = lookups({})
    assert not metrics.series(COUNT)
