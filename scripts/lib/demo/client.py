"""client.py PORT: makes requests when told to. It knows nothing of tracing.

Each line on standard input, "COUNT SECONDS", is answered with "SECONDS-TAKEN FAILED" when all are done. Ends with
standard input."""
import http.client
import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PORT = int(sys.argv[1])
WORKERS = 4
kept = threading.local()


def get(number, when):
    """Asks for one order at its time over this thread's kept connection; returns whether that went well."""
    time.sleep(max(0, when - time.monotonic()))
    if not hasattr(kept, "connection"):
        kept.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    try:
        kept.connection.request("GET", f"/orders/{number}")
        answer = kept.connection.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException) as error:
        print(f"order {number}: {error!r}", file=sys.stderr)
        kept.connection.close()
        return False


numbers = itertools.count(1001)
with ThreadPoolExecutor(WORKERS) as pool:
    for line in sys.stdin:
        count, seconds = map(int, line.split())
        start = time.monotonic()
        jobs = [pool.submit(get, next(numbers), start + seconds * i / count) for i in range(count)]
        failed = sum(not job.result() for job in jobs)
        print(f"{time.monotonic() - start:.3f} {failed}", flush=True)
