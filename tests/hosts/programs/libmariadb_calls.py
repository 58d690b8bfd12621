"""All ways of libmariadb's functions to ask a server, one after the other; says what came of each.  Usage: libmariadb_calls.py PORT"""
import select
import sys
from ctypes import CDLL, byref, c_char_p, c_int, c_ulong, c_void_p

my = CDLL("libmariadb.so.3")
for name in ("init", "real_connect", "store_result", "use_result", "fetch_row", "stmt_init", "list_fields", "stat"):
    getattr(my, "mysql_" + name).restype = c_void_p
port = int(sys.argv[1])
MULTI, NONBLOCK, WAIT_READ, WAIT_WRITE, CURSOR_TYPE, READ_ONLY = 1 << 16, 6000, 1, 2, 1, 1


def connect(db=b"shop", options=()):
    c = c_void_p(my.mysql_init(None))
    for option in options:
        my.mysql_options(c, option, None)
    assert my.mysql_real_connect(c, b"127.0.0.1", b"app", b"pw", db, port, None, c_ulong(MULTI))
    return c


def rows(c, how="store"):
    r = c_void_p((my.mysql_store_result if how == "store" else my.mysql_use_result)(c))
    if not r.value:
        return my.mysql_errno(c)
    n = 0
    while my.mysql_fetch_row(r):
        n += 1
    my.mysql_free_result(r)
    return "rows", n


def query(c, sql):
    return my.mysql_query(c, sql.encode()), rows(c)


def wait(c, status):
    fd = my.mysql_get_socket(c)
    select.select([fd] * bool(status & WAIT_READ), [fd] * bool(status & WAIT_WRITE), [], 10)
    return status


c = connect()
print("query", query(c, "CREATE TEMPORARY TABLE t (id int, name text)"), query(c, "INSERT INTO t VALUES (1, 'hunter2'), (2, 'b')"),
      query(c, "SELECT name FROM t WHERE name = 'hunter2'"), query(c, "SELECT nope FROM t"))
sql = b"SELECT 'hunter2', id FROM t"
print("real query", my.mysql_real_query(c, sql, c_ulong(len(sql))), rows(c, "use"))
print("send", my.mysql_send_query(c, sql, c_ulong(len(sql))), my.mysql_read_query_result(c), rows(c))
print("several", my.mysql_query(c, b"SELECT 1; SELECT 'hunter2' FROM t; SELECT nope"), rows(c))
while (more := my.mysql_next_result(c)) == 0:
    print(rows(c))
print(more, my.mysql_errno(c))
for cursor in (False, True):
    s, sql = c_void_p(my.mysql_stmt_init(c)), b"SELECT 'hunter2', id FROM t"
    if cursor:
        my.mysql_stmt_attr_set(s, CURSOR_TYPE, byref(c_ulong(READ_ONLY)))
    print("prepare", my.mysql_stmt_prepare(s, sql, c_ulong(len(sql))))
    for i in range(2):
        print("execute", my.mysql_stmt_execute(s), my.mysql_stmt_store_result(s), my.mysql_stmt_free_result(s))
    print("close", my.mysql_stmt_close(s))
print("transactions", my.mysql_autocommit(c, 0), my.mysql_commit(c), my.mysql_rollback(c))
print("others", my.mysql_ping(c), my.mysql_select_db(c, b"mysql"), query(c, "SELECT count(*) > 'hunter2' FROM user"),
      bool(my.mysql_stat(c)), my.mysql_set_character_set(c, b"utf8mb4"), my.mysql_set_server_option(c, 1))
print("change user", my.mysql_change_user(c, b"app", b"pw", b"shop"), query(c, "SELECT 'hunter2'"))
print("reset", my.mysql_reset_connection(c), query(c, "SELECT 'hunter2', 1"))
my.mysql_close(c)
c, error = connect(options=[NONBLOCK]), c_int(1)
status = my.mysql_query_start(byref(error), c, b"SELECT sleep(0.05), 'hunter2'")
while status:
    status = my.mysql_query_cont(byref(error), c, wait(c, status))
print("async", error.value, rows(c))
my.mysql_close(c)
