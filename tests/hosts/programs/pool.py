"""A pool of connections that does what it is told, a word a line, and then says `used idle`.  Usage: pool.py pg CONNINFO | redis PORT

take give   a connection out of the pool, and asked something; back into it
ask         one is taken and asked for what does not come yet, in a thread
answered    the oldest `ask` is over"""
import sys
import threading
from collections import deque

kind, where = sys.argv[1:]
taken, asking = deque(), deque()


def stores():
    if kind == "pg":
        from psycopg2.pool import ThreadedConnectionPool
        pool = ThreadedConnectionPool(1, 20, where)
        used = pool._used

        def query(c):
            c.cursor().execute("SELECT 1")

        def give(c):
            c.commit()
            pool.putconn(c)
        return pool, pool.getconn, give, query, None, lambda: (len(used), len(pool._pool))
    import redis
    pool = redis.ConnectionPool(host="127.0.0.1", port=int(where), max_connections=20)

    def command(c, *words):
        c.send_command(*words)
        return c.read_response()
    return (pool, lambda: pool.get_connection(), pool.release, lambda c: command(c, "PING"),
            lambda c, number: command(c, "BLPOP", f"list{number}", "60"),
            lambda: (len(pool._in_use_connections), len(pool._available_connections)))


pool, get, give, query, ask, count = stores()


def ask_in_thread(number):
    c = get()
    thread = threading.Thread(target=lambda: (ask(c, number), give(c)))
    thread.start()
    return thread


asked = 0
for line in sys.stdin:
    word = line.strip()
    if word == "take":
        taken.append(get())
        query(taken[-1])
    elif word == "give":
        give(taken.popleft())
    elif word == "ask":
        asked += 1
        asking.append(ask_in_thread(asked))
    elif word == "answered":
        asking.popleft().join()
    print(*count(), flush=True)
