"""All ways of libpq's functions to ask a server, one after the other; says what came of each.  Usage: libpq_calls.py CONNINFO"""
import select
import sys
from ctypes import CDLL, POINTER, byref, c_char_p, c_int, c_void_p, cast, create_string_buffer

pq = CDLL("libpq.so.5")
for name in ("connectdb", "connectStart", "exec", "execParams", "prepare", "execPrepared", "describePrepared", "getResult", "getCancel",
             "notifies", "fn"):
    getattr(pq, "PQ" + name).restype = c_void_p
for name in ("resultErrorField", "getvalue", "errorMessage"):
    getattr(pq, "PQ" + name).restype = c_char_p
conninfo = sys.argv[1].encode()


def value(result):
    """Status, rows and SQLSTATE."""
    r = c_void_p(result)
    told = pq.PQresultStatus(r), pq.PQntuples(r), pq.PQresultErrorField(r, ord("C"))
    pq.PQclear(r)
    return told


def results(conn):
    told = []
    while r := pq.PQgetResult(conn):
        told.append(value(r))
    return told


def wait(conn):
    select.select([pq.PQsocket(conn)], [], [], 10)
    pq.PQconsumeInput(conn)


def text(conn, sql):
    return value(pq.PQexec(conn, sql.encode()))


def params(*values):
    return len(values), None, (c_char_p * len(values))(*values), None, None, 0


print("ping", pq.PQping(conninfo))
other = c_void_p(pq.PQconnectStart(conninfo))
while (state := pq.PQconnectPoll(other)) not in (0, 3):  # neither failed nor done
    select.select([pq.PQsocket(other)] * (state == 1), [pq.PQsocket(other)] * (state == 2), [], 10)
print("connected", state)
c = c_void_p(pq.PQconnectdb(conninfo))
print("exec", text(c, "CREATE TEMP TABLE t (id int, name text)"), text(c, "SELECT 'hunter2' FROM generate_series(1, 4)"), text(c, "SELECT nope"))
print("several", text(c, "SELECT 1; SELECT 'hunter2'"))
print("params", value(pq.PQexecParams(c, b"SELECT $1::text || 'hunter2'", *params(b"hunter2"))))
print("prepare", value(pq.PQprepare(c, b"p", b"SELECT id FROM t WHERE name = $1", 0, None)))
for i in range(2):
    n, _, values, lengths, formats, form = params(b"hunter2")
    print("prepared", value(pq.PQexecPrepared(c, b"p", n, values, lengths, formats, form)))
print("describe", value(pq.PQdescribePrepared(c, b"p")))
print("single rows", pq.PQsendQuery(c, b"SELECT 'hunter2' FROM generate_series(1, 3)"), pq.PQsetSingleRowMode(c), results(c))
pq.PQsetnonblocking(c, 1)
print("async", pq.PQsendQueryParams(c, b"SELECT pg_sleep(0.05), $1::text", *params(b"hunter2")))
while pq.PQflush(c):
    pass
while pq.PQisBusy(c):
    wait(c)
print(results(c))
pq.PQsetnonblocking(c, 0)
pq.PQenterPipelineMode(c)
for i in range(3):
    pq.PQsendQueryParams(c, b"SELECT %d + $1::int" % i, *params(b"4711"))
pq.PQpipelineSync(c)
pq.PQsendQueryParams(c, b"SELECT 1 / (SELECT count(*) FROM t WHERE id < $1::int)", *params(b"0"))
pq.PQsendQueryParams(c, b"SELECT 'hunter2' || $1", *params(b"x"))
pq.PQpipelineSync(c)
for i in range(7):
    print("pipeline", results(c) or value(pq.PQgetResult(c)))
print("pipeline ends", pq.PQexitPipelineMode(c))
print("copy in", text(c, "COPY t FROM STDIN"), pq.PQputCopyData(c, b"1\thunter2\n", 10), pq.PQputCopyEnd(c, None), results(c))
print("copy out", text(c, "COPY t TO STDOUT"))
line = c_void_p()
while pq.PQgetCopyData(c, byref(line), 0) > 0:
    print(cast(line, c_char_p).value)
    pq.PQfreemem(line)
print(results(c))
print("listen", text(c, "LISTEN news"), text(other, "NOTIFY news, 'hunter2'"))
while not (note := pq.PQnotifies(c)):
    wait(c)
pq.PQfreemem(c_void_p(note))
cancel, why = c_void_p(pq.PQgetCancel(c)), create_string_buffer(256)
pq.PQsendQuery(c, b"SELECT pg_sleep(30), 'hunter2'")
while pq.PQisBusy(c):  # a request that comes before the query is for nothing
    pq.PQcancel(cancel, why, 256)
    select.select([pq.PQsocket(c)], [], [], 0.2)
    pq.PQconsumeInput(c)
print("cancel", results(c))
pq.PQfreeCancel(cancel)
print("strings", text(c, "SET standard_conforming_strings = off"), text(c, "SELECT 'it\\'s hunter2', 'a\\\\', 'hunter2'"),
      text(c, "SET standard_conforming_strings = on"), text(c, "SELECT 'a\\', 'hunter2'"))
pq.PQreset(c)
print("reset", text(c, "SELECT 'hunter2'"))
pq.PQfinish(c)
pq.PQfinish(other)
