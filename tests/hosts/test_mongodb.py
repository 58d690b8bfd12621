"""Drivers of MongoDB against a server of its protocol that others have written (mongo-java-server): as many spans as the driver says
it sent commands, and what the program gets is the same."""
import json
import subprocess
import sys
from collections import Counter

import pytest

from kit import HERE, need
from lib import registry
from lib.collector import find
from lib.preload import Program, environment, free_port

SECRET = "hunter2"
JARS = [("de.bwaldvogel", "mongo-java-server", "1.46.0"), ("org.slf4j", "slf4j-nop", "1.7.36")]
UNTOLD = {"hello", "isMaster", "ismaster"}  # see docs/mongodb.md

COUNT = """
import collections, json, sys
from pymongo import monitoring
class Sent(monitoring.CommandListener):
    names = collections.Counter()
    def started(self, event):
        self.names[event.command_name] += 1
    def succeeded(self, event):
        pass
    failed = succeeded
"""
PYMONGO = COUNT + """
import pymongo
c = pymongo.MongoClient(sys.argv[1], event_listeners=[Sent()])
o = c.shop.orders
o.insert_many([{"_id": i, "name": "hunter2"} for i in range(300)])
print(len(list(o.find({"name": "hunter2"}, batch_size=70))))
for i in range(20):
    o.update_one({"_id": i}, {"$set": {"name": "hunter2"}})
print(o.bulk_write([pymongo.DeleteOne({"_id": i}) for i in range(10)]).deleted_count)
print(o.count_documents({"_id": {"$lt": 20}}), o.distinct("name"))
try:
    o.insert_one({"_id": 11})
except pymongo.errors.DuplicateKeyError as e:
    print(e.code)
o.create_index("name")
print(c.shop.list_collection_names())
c.drop_database("shop")
c.close()
print(json.dumps(Sent.names))
"""
ASYNC = COUNT + """
import asyncio, pymongo
async def main():
    c = pymongo.AsyncMongoClient(sys.argv[1], event_listeners=[Sent()])
    o = c.shop.orders
    await asyncio.gather(*[o.insert_one({"_id": i, "name": "hunter2"}) for i in range(30)])
    print(len([d async for d in o.find({"name": "hunter2"}, batch_size=7)]))
    await c.drop_database("shop")
    await c.close()
    print(json.dumps(Sent.names))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def server():
    jars = registry.maven_tree("mongo-java-server-1.46.0", *JARS, tool=need("mvn"))
    port = free_port()
    with Program([need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", jars, HERE / "programs" / "mongodb" / "Serve.java", port],
                 preload=False, stop_deadline=30) as program:
        program.wait_output("ready")
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


def play(collector, preload, argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False,
                          env=environment(collector.endpoint, "app", {"OTEL_BSP_MAX_QUEUE_SIZE": "65536", **more}, preload=preload))
    assert done.returncode == 0, done.stderr
    *said, sent = done.stdout.splitlines()
    return said, Counter(json.loads(sent))


@pytest.mark.parametrize("driver", ["pymongo", "pymongo-async", "node"])
def test_a_span_for_each_command(server, collector, driver):
    more = {}
    if driver == "node":
        argv = [need("node"), HERE / "programs" / "mongodb" / "ask.js", server]
        more = {"NODE_PATH": str(registry.npm("mongodb", "6.12.0", need("npm")))}
    else:
        argv = [sys.executable, "-c", PYMONGO if driver == "pymongo" else ASYNC, server]
    drop = [sys.executable, "-c", "import sys, pymongo; pymongo.MongoClient(sys.argv[1]).drop_database('shop')", server]

    def fresh(preload):
        subprocess.run(drop, check=True, timeout=60)
        return play(collector, preload, argv, **more)
    bare = fresh(False)
    said, sent = fresh(True)
    assert (said, sent) == bare
    wanted = Counter({name: n for name, n in sent.items() if name not in UNTOLD})
    spans = collector.wait_count(wanted.total(), kind="CLIENT")
    assert Counter(s.attributes["db.operation.name"] for s in spans) == wanted
    assert SECRET not in repr([(s.name, s.attributes) for s in spans])
    assert all(s.attributes["db.system.name"] == "mongodb" for s in spans)
    orders = [s for s in spans if s.attributes.get("db.collection.name") == "orders"]
    assert len(find(orders, name="insert orders")) == wanted["insert"]
    if driver != "pymongo-async":
        failed, = find(orders, error__type="11000")
        assert failed.name == "insert orders" and failed.status == "error"
        assert len(find(orders, name="update orders")) == 20
    if driver == "pymongo":
        assert find(orders, name="delete orders", db__operation__batch__size=10)
