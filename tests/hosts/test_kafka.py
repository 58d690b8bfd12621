"""Programs that speak to a Kafka broker: librdkafka's own tool and its Python binding, kafka-python, aiokafka and the Java client.
What they send and read is told by the conventions of messaging, each message counted and none shown; polls that bring nothing are
silent. The broker itself runs untouched."""
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit import HERE, command, listen, need, wait_until
from lib import registry
from lib.app_server import source, visit_all
from lib.collector import find
from lib.preload import Program, environment, free_port

SECRET = "hunter2"
SENT, CONSUMED = "messaging_client_sent_messages_total", "messaging_client_consumed_messages_total"
DURATION = "messaging_client_operation_duration_seconds_count"
KAFKA = [("org.apache.kafka", "kafka_2.13", "3.9.1"), ("org.slf4j", "slf4j-nop", "1.7.36")]
CONF = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
"""

CONFLUENT = """
import sys
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
broker, topic, count = {"bootstrap.servers": sys.argv[1]}, sys.argv[2], int(sys.argv[3])
admin = AdminClient(broker)
for made in admin.create_topics([NewTopic(topic, 3, 1), NewTopic(topic + "-more", 1, 1)]).values():
    made.result()
p = Producer({**broker, "client.id": "shop", "linger.ms": 20, "compression.type": "gzip"})
for i in range(count - 1):
    p.produce(topic, b"hunter2 %d" % i, key=b"hunter2 %d" % i, headers={"h": b"hunter2"})
p.produce(topic + "-more", b"hunter2" * 30000)
p.flush()
c = Consumer({**broker, "group.id": "workers-" + topic, "client.id": "worker", "auto.offset.reset": "earliest",
              "enable.auto.commit": False})
c.subscribe([topic, topic + "-more"])
got = 0
while got < count:
    m = c.poll(5)
    got += bool(m and not m.error())
assert not c.poll(0.7)
c.commit(asynchronous=False)
c.close()
print(got)
"""

KAFKA_PYTHON = """
import sys
from kafka import KafkaConsumer, KafkaProducer
broker, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
p = KafkaProducer(bootstrap_servers=broker, client_id="shop", linger_ms=20)
for i in range(count):
    p.send(topic, b"hunter2 %d" % i, key=b"hunter2")
p.flush()
p.close()
c = KafkaConsumer(topic, bootstrap_servers=broker, group_id="workers-" + topic, client_id="worker", auto_offset_reset="earliest",
                  enable_auto_commit=False, consumer_timeout_ms=20000)
got = 0
for m in c:
    got += 1
    if got == count:
        break
c.commit()
c.close()
print(got)
"""

AIOKAFKA = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
broker, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
async def main():
    async with AIOKafkaProducer(bootstrap_servers=broker, client_id="shop", linger_ms=20) as p:
        await asyncio.gather(*[await p.send(topic, b"hunter2 %d" % i) for i in range(count)])
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker, group_id="workers-" + topic, client_id="worker",
                                auto_offset_reset="earliest", enable_auto_commit=False) as c:
        got = 0
        async for m in c:
            got += 1
            if got == count:
                break
        await c.commit()
    print(got)
asyncio.run(main())
"""


@pytest.fixture(scope="session")
def jars():
    return registry.maven_tree("kafka-3.9.1", *KAFKA, tool=need("mvn"))


@contextmanager
def kafka(jars, preload=False, collector=None):
    """gives "address:port" """
    folder = Path(tempfile.mkdtemp(prefix="otelauto-host-"))
    port, controller = free_port(), free_port()
    (folder / "conf").write_text(CONF.format(port=port, controller=controller, folder=folder))
    java = [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx400m", "-cp", jars]
    try:
        command(*java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", folder / "conf")
        with Program([*java, "kafka.Kafka", folder / "conf"], endpoint=collector.endpoint if collector else None, service="kafka",
                     settings={"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}, preload=preload, cwd=str(folder), stop_deadline=60) as program:
            wait_until(lambda: topics(port) is not None, 60, "a broker that answers")
            yield f"127.0.0.1:{port}"
            result = program.stop()
            assert result.status in (0, -15, 143), result.stdout[-2000:] + result.stderr
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def topics(port):
    done = subprocess.run([need("kcat"), "-b", f"127.0.0.1:{port}", "-L", "-m", "2"], capture_output=True, check=False, timeout=30)
    return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="module")
def broker(jars):
    """Nobody observes this one."""
    with kafka(jars) as address:
        yield address


@pytest.fixture(scope="module")
def classes(tmp_path_factory, jars):
    folder = tmp_path_factory.mktemp("kafka-classes")
    command(need("javac"), "-cp", jars, "-d", folder, HERE / "programs" / "kafka" / "Kafka.java")
    return folder


def run(collector, preload, argv, stdin="", settings=None):
    done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=90, check=False,
                          env=environment(collector.endpoint, "app", {"OTEL_BSP_MAX_QUEUE_SIZE": "65536", "OTELAUTO_EXIT_FLUSH": "5000",
                                                                      **(settings or {})}, preload=preload))
    return done.returncode, done.stdout, "" if done.returncode == 0 else done.stderr


# What a broker answers that has just started, or made a topic; clients ask again.
YOUNG = {"NOT_LEADER_OR_FOLLOWER", "UNKNOWN_TOPIC_OR_PARTITION", "LEADER_NOT_AVAILABLE", "COORDINATOR_NOT_AVAILABLE",
         "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR"}


def messages(spans, name, topic=None):
    return sum(s.attributes["messaging.batch.message_count"] for s in find(spans, messaging__operation__name=name, error__type=None)
               if topic is None or s.attributes.get("messaging.destination.name") == topic)


def check(spans, broker):
    """What holds for each span of Kafka."""
    types = {"send": "send", "poll": "receive", "commit": "settle"}
    assert SECRET not in repr([(s.name, s.attributes) for s in spans])
    for s in spans:
        a = s.attributes
        assert a["messaging.system"] == "kafka" and f"{a['server.address']}:{a['server.port']}" == broker, (s, a)
        name = a["messaging.operation.name"]
        assert s.name.split()[0] == name and a.get("messaging.operation.type") == types.get(name)
        assert s.kind == ("PRODUCER" if name == "send" else "CLIENT") and not s.parent_id
        assert not [k for k in a if k.startswith("db.")], a
        # What is asked of the cluster and the group is not waited for when a client closes.
        assert a.get("error.type") in (None, None if name in types else "abandoned", *YOUNG), (s, a)
        if name == "send":
            assert a["messaging.client.id"] in ("shop", "rdkafka") and a["messaging.batch.message_count"] > 0
        if name == "poll" and "error.type" not in a:
            assert a["messaging.batch.message_count"] > 0
        if name in ("commit", "JoinGroup", "SyncGroup"):
            assert a["messaging.consumer.group.name"].startswith("workers-")


CLIENTS = {"confluent": CONFLUENT, "kafka-python": KAFKA_PYTHON, "aiokafka": AIOKAFKA, "java": None}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_sent_and_read_is_counted(broker, collector, client, jars, request):
    def argv(topic):
        if client == "java":
            return [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{request.getfixturevalue('classes')}:{jars}",
                    "Kafka", broker, topic, 300]
        return [sys.executable, "-c", CLIENTS[client], broker, topic, 300]
    bare = run(collector, False, argv(client + "-bare"))
    assert bare == (0, "300\n", ""), bare
    assert run(collector, True, argv(client)) == bare
    wait_until(lambda: messages(collector.spans, "poll") >= 300 and find(collector.spans, messaging__operation__name="commit"),
               what="all messages, sent and read")
    spans = collector.spans
    check(spans, broker)
    assert messages(spans, "send") == messages(spans, "poll") == 300
    assert messages(spans, "send", client) >= 299 - 299 * (client == "confluent")
    assert {s.attributes["messaging.destination.name"] for s in find(spans, messaging__operation__name="send")
            if "messaging.destination.name" in s.attributes} <= {client, client + "-more"}
    if client != "confluent":  # one topic with one partition
        for s in find(spans, messaging__operation__type="send") + find(spans, messaging__operation__type="receive"):
            assert s.attributes["messaging.destination.name"] == client, s.attributes
            assert s.attributes["messaging.destination.partition.id"] == "0", s.attributes
            assert s.name == f"{s.attributes['messaging.operation.name']} {client}"
    assert not find(spans, name="Heartbeat")


def test_kcat(broker, collector):
    def play(preload, topic):
        kcat = [need("kcat"), "-b", broker, "-t", topic, "-q"]
        return [run(collector, preload, [*kcat, "-P", "-X", "acks=0"], f"{SECRET} 1\n{SECRET} 2\n"),
                run(collector, preload, [*kcat, "-P", "-z", "gzip"], f"{SECRET} 3\n"),
                run(collector, preload, [*kcat, "-C", "-o", "beginning", "-c", "3"])]
    bare = play(False, "kcat-bare")
    assert [status for status, _, _ in bare] == [0, 0, 0] and sorted(bare[2][1].split()) == ["1", "2", "3"] + [SECRET] * 3, bare
    assert play(True, "kcat") == bare
    wait_until(lambda: messages(collector.spans, "poll") >= 3, what="all messages")
    spans = collector.spans
    assert messages(spans, "send", "kcat") == 3
    check(spans, broker)


def test_what_the_broker_refuses_has_its_name(broker, collector):
    command(sys.executable, "-c", "import sys; from confluent_kafka.admin import AdminClient, NewTopic\n"
            "admin = AdminClient({'bootstrap.servers': sys.argv[1]})\n"
            "admin.create_topics([NewTopic('small', 1, 1, config={'max.message.bytes': '200'})])['small'].result()", broker)
    argv = [need("kcat"), "-b", broker, "-t", "small", "-P", "-q"]
    bare = run(collector, False, argv, "1" * 1000)
    assert run(collector, True, argv, "1" * 1000)[0] == bare[0] != 0
    failed = collector.wait_for(lambda all: find(all, error__type="MESSAGE_TOO_LARGE"), what="a send that failed")
    assert all(s.attributes["messaging.destination.name"] == "small" and s.status == "error" for s in find(failed, name="send small"))


SETUP = """
from confluent_kafka import Consumer, Producer
broker = {"bootstrap.servers": sys.argv[1]}
producer = Producer({**broker, "client.id": "shop", "linger.ms": 0})
def read():
    consumer = Consumer({**broker, "group.id": "readers", "auto.offset.reset": "earliest"})
    consumer.subscribe(["served"])
    while True:
        consumer.poll(1)
producer.produce("served", b"first")
producer.flush()
threading.Thread(target=read, daemon=True).start()
"""
ANSWER = """
producer.produce("served", self.path.encode())
producer.flush()
body = b"sent"
"""


def test_messages_are_counted_in_metrics(broker, collector):
    settings = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
    with Program([sys.executable, "-c", source(SETUP, ANSWER), broker], endpoint=collector.endpoint, service="app",
                 settings=settings) as app:
        port = int(app.wait_output(r"port (\d+)").group(1))
        visit_all(port, 8, 10)
        collector.wait_count(80, kind="SERVER")
        tree = listen(app, port)
        metrics = tree.wait_sum(CONSUMED, 81)
        assert metrics.sum(SENT, error_type="") == 81
        labels = {"messaging_system": "kafka", "messaging_destination_name": "served", "server_port": broker.split(":")[1]}
        assert metrics.sum(SENT, messaging_operation_name="send", messaging_operation_type="send", error_type="", **labels) == 81
        assert metrics.sum(CONSUMED, messaging_operation_name="poll", messaging_operation_type="receive", **labels) == 81
        sends = metrics.sum(DURATION, messaging_operation_name="send", error_type="")
        assert 0 < sends <= 81 and not metrics.sum("otelauto_uncounted_messages_total")
        assert not [v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v]
    assert len(find(collector.spans, kind="PRODUCER", error__type=None)) == sends
    # Which requests' messages went together is up to the library: its calls belong to none of them.
    assert not [s for s in find(collector.spans, messaging__system="kafka") if s.parent_id]


def test_a_broker_itself_runs_untouched(collector, jars):
    with kafka(jars, True, collector) as address:
        assert run(collector, False, [sys.executable, "-c", CONFLUENT, address, "orders", 300]) == (0, "300\n", "")
    assert not find(collector.spans, messaging__operation__name="send") and not find(collector.spans, kind="SERVER")
