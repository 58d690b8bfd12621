"""pymongo against a stand-in for the server: each command it sends is a span, but for those that drivers send by themselves."""
import subprocess
import sys
from collections import Counter

from lib import app_server
from lib.collector import find
from lib.metrics import scrape
from lib.mongodb import Server
from lib.preload import Program, environment, free_port, wait_for_port, wait_until

SECRET = "hunter2"
DURATION = "db_client_operation_duration_seconds_count"
OWN = {"hello", "isMaster", "ismaster"}

CLIENT = """
import sys, pymongo
from pymongo import errors, WriteConcern
c = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), directConnection=True)
db = c.shop
print([d["_id"] for d in db.orders.find({"name": "hunter2"}, batch_size=2)])
db.orders.insert_many([{"name": "hunter2", "i": i} for i in range(3)])
db.orders.insert_one({"name": "hunter2" * 100000})
db.orders.update_one({"name": "hunter2"}, {"$set": {"name": "hunter2"}})
db.get_collection("log", write_concern=WriteConcern(w=0)).insert_one({"name": "hunter2"})
try:
    db["unique"].insert_one({"_id": 1})
except errors.DuplicateKeyError as e:
    print(e.code)
try:
    db.command("hunter2")
except errors.OperationFailure as e:
    print(e.code)
c.admin.command("ping")
c.close()
"""


def test_what_a_client_asked(collector):
    with Server() as server:
        argv = [sys.executable, "-c", CLIENT, str(server.port)]
        bare = subprocess.run(argv, capture_output=True, env=environment(preload=False), timeout=60, check=True)
        server.asked.clear()
        done = subprocess.run(argv, capture_output=True, env=environment(collector.endpoint, "app"), timeout=60, check=True)
        assert (done.stdout, done.stderr) == (bare.stdout, bare.stderr)
        wanted = Counter({name: n for name, n in server.asked.items() if name not in OWN})
    spans = collector.wait_count(sum(wanted.values()), kind="CLIENT")
    assert Counter(s.attributes["db.operation.name"] for s in spans) == wanted and wanted["insert"] == 4
    assert all(s.attributes["db.system.name"] == "mongodb" and s.attributes["server.port"] == server.port for s in spans)
    assert all("db.query.text" not in s.attributes for s in spans)
    assert SECRET not in repr([s.attributes for s in spans if s.attributes["db.operation.name"] != SECRET])
    shop = [s for s in spans if s.attributes["db.namespace"] == "shop"]
    assert len(find(shop, name="find orders", db__collection__name="orders")) == 1
    assert len(find(shop, name="getMore orders")) == 1
    assert find(shop, name="insert orders", db__operation__batch__size=3)
    assert find(shop, name="insert log")[0].status == "unset"
    failed, = find(shop, name="insert unique")
    assert failed.attributes["error.type"] == "11000" == failed.attributes["db.response.status_code"] and failed.status == "error"
    unknown, = find(shop, name="mongodb")
    assert unknown.attributes["error.type"] == "59"
    assert find(spans, name="ping", db__namespace="admin")


APP = app_server.source("""
import pymongo
shop = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), directConnection=True).shop
""", """
shop.orders.update_one({"name": self.path}, {"$set": {"name": self.path}})
body = str(len(list(shop.orders.find({"name": self.path}, batch_size=2)))).encode()
""")


def test_commands_are_children_of_the_requests_they_were_made_for(collector):
    metrics_port = free_port()
    with Server() as server, Program([sys.executable, "-c", APP, server.port], endpoint=collector.endpoint, service="app",
                                     settings={"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port)}) as app:
        app_server.visit_all(app.port, 16)
        served = collector.wait_count(16, kind="SERVER")
        asked = collector.wait_count(48, kind="CLIENT")
        wait_for_port(metrics_port)
        metrics = wait_until(lambda: (m := scrape(metrics_port)).sum(DURATION) >= 48 and m, what="the metrics")
    assert all(len(set(names)) == 3 for names in app_server.children(served, asked)) and len(asked) == 48
    assert metrics.sum(DURATION, db_operation_name="find", db_collection_name="orders", db_namespace="shop") == 16
    opaque = {dict(k)["reason"]: v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v}
    assert not opaque
