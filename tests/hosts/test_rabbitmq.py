"""Programs that speak AMQP 0-9-1 with RabbitMQ: librabbitmq's tools and pika. What they publish, get and are sent is told by the
conventions of messaging, exactly, and no byte of a message or its properties; RabbitMQ itself runs untouched."""
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit import listen, need, wait_until
from lib.collector import find
from lib.app_server import children, source, visit_all
from lib.preload import Program, environment, free_port, wait_for_port

SECRET = "hunter2"
COUNT = "messaging_client_operation_duration_seconds_count"

PIKA = """
import sys, pika
c = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
k = c.channel()
k.queue_declare("orders")
k.queue_purge("orders")
k.exchange_declare("shop", "topic")
k.queue_bind("orders", "shop", "new.#")
for i in range(10):
    k.basic_publish("", "orders", b"hunter2 %d" % i, pika.BasicProperties(headers={"h": "hunter2"}))
k.basic_publish("shop", "new.eu", b"hunter2" * 50000)
k.basic_publish("shop", "new.eu", b"")
k.basic_publish("shop", "nobody", b"x")
print(k.basic_get("orders", auto_ack=True)[2])
got = []
for method, properties, body in k.consume("orders", inactivity_timeout=None):
    got.append(len(body))
    k.basic_ack(method.delivery_tag)
    if len(got) == 11:
        break
k.cancel()
print(got, k.basic_get("orders")[0])
k.confirm_delivery()
k.basic_publish("", "orders", b"confirmed")
k.queue_purge("orders")
try:
    k.queue_declare("missing", passive=True)
except pika.exceptions.ChannelClosedByBroker as e:
    print(e.reply_code)
k = c.channel()
k.tx_select()
k.basic_publish("", "orders", b"hunter2")
k.tx_commit()
k.queue_purge("orders")
c.close()
"""


@contextmanager
def rabbitmq(preload=False, collector=None):
    """gives its port"""
    server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not server.exists():
        need("rabbitmq-server")
    folder = Path(tempfile.mkdtemp(prefix="otelauto-host-"))
    port, names = free_port(), free_port()
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    (folder / "plugins").write_text("[].\n")
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "ERL_EPMD_PORT": str(names), "ERL_EPMD_ADDRESS": "127.0.0.1",
           "RABBITMQ_NODENAME": f"otelauto{port}@localhost", "RABBITMQ_MNESIA_BASE": f"{folder}/data", "RABBITMQ_LOGS": "-",
           "RABBITMQ_LOG_BASE": f"{folder}/log", "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
           "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins", "RABBITMQ_DIST_PORT": str(free_port()),
           "RABBITMQ_PID_FILE": f"{folder}/pid", "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/gen",
           "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none"}
    with subprocess.Popen([need("epmd"), "-port", str(names), "-address", "127.0.0.1"], env={**env, "ERL_EPMD_RELAXED_COMMAND_CHECK": "1"},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as epmd:
        try:
            with Program([str(server)], endpoint=collector.endpoint if collector else None, service="rabbitmq", settings=env,
                         preload=preload, cwd=str(folder)) as program:
                wait_for_port(port, 60)
                yield port
                result = program.stop()
                assert result.status in (0, -15, 143), result.stdout[-2000:] + result.stderr
        finally:
            epmd.terminate()
            epmd.wait(10)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def broker():
    """Nobody observes this one."""
    with rabbitmq() as port:
        yield port


def run(collector, preload, *argv, settings=None):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                          env=environment(collector.endpoint, "app", {"OTEL_BSP_MAX_QUEUE_SIZE": "65536", **(settings or {})}, preload=preload))
    return done.returncode, done.stdout, done.stderr


def spans_of(collector, counts):
    """Exactly these, by name."""
    wanted = Counter(counts)
    wait_until(lambda: len(collector.spans) >= sum(wanted.values()), what=f"{sum(wanted.values())} spans")
    assert Counter(s.name for s in collector.spans) == wanted
    return collector.spans


def test_pika(broker, collector):
    bare = run(collector, False, sys.executable, "-c", PIKA, broker)
    assert bare[0] == 0, bare
    assert run(collector, True, sys.executable, "-c", PIKA, broker) == bare
    spans = spans_of(collector, {
        "connection.open": 1, "channel.open": 2, "queue.declare orders": 1, "queue.purge orders": 3, "exchange.declare shop": 1,
        "queue.bind orders": 1, "publish orders": 12, "publish shop:new.eu": 2, "publish shop:nobody": 1, "get orders": 2,
        "consume orders": 1, "deliver orders": 9, "deliver shop:new.eu": 2, "cancel": 1, "confirm.select": 1,
        "queue.declare missing": 1, "tx.select": 1, "tx.commit": 1, "channel.close": 1, "connection.close": 1})
    assert SECRET not in repr([(s.name, s.attributes) for s in spans])
    for s in spans:
        a = s.attributes
        assert a["messaging.system"] == "rabbitmq" and a["server.port"] == broker and a["server.address"] == "127.0.0.1"
        assert s.name.split()[0] == a["messaging.operation.name"] and not [k for k in a if k.startswith("db.")]
        assert a.get("messaging.operation.type") == {"publish": "send", "get": "receive", "deliver": "receive"}.get(s.name.split()[0])
        assert s.kind == ("PRODUCER" if a["messaging.operation.name"] == "publish" else "CLIENT")
    assert [s.name for s in spans if s.status == "error"] == ["queue.declare missing"]
    assert find(spans, name="queue.declare missing", error__type="404")
    assert len({s.trace_id for s in spans}) == len(spans)


def test_librabbitmq(broker, collector):
    url = f"amqp://guest:guest@127.0.0.1:{broker}"

    def play(preload):
        return [run(collector, preload, need("amqp-" + name), "-u", url, *more) for name, *more in (
            ("declare-queue", "-q", "tools"), ("publish", "-r", "tools", "-b", SECRET), ("publish", "-r", "tools", "-b", "2"),
            ("get", "-q", "tools"), ("consume", "-q", "tools", "-c", "1", "cat"), ("get", "-q", "tools"),
            ("delete-queue", "-q", "tools"))]
    bare = play(False)
    assert [status for status, _, _ in bare] == [0, 0, 0, 0, 0, 2, 0], bare
    assert play(True) == bare
    spans_of(collector, {"connection.open": 7, "channel.open": 7, "channel.close": 7, "connection.close": 7, "queue.declare tools": 1,
                         "publish tools": 2, "get tools": 2, "qos": 1, "consume tools": 1, "deliver tools": 1,
                         "queue.delete tools": 1})
    assert SECRET not in repr([(s.name, s.attributes) for s in collector.spans])


READ = """
import sys, pika
c = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
k = c.channel()
k.queue_declare("linked")
_, properties, body = k.basic_get("linked", auto_ack=True)
print(body.decode(), sorted(properties.headers or {}), properties.content_type, properties.delivery_mode)
for _, properties, body in k.consume("linked", auto_ack=True):
    print(body.decode(), sorted(properties.headers or {}), properties.content_type, properties.delivery_mode)
    if body == b"last":
        break
k.cancel()
c.close()
"""


def test_who_reads_a_message_is_linked_to_who_made_it(broker, collector):
    url = f"amqp://guest:guest@127.0.0.1:{broker}"
    asked = {"OTELAUTO_MESSAGE_CONTEXT": "rabbitmq"}

    def play(preload, settings):
        said = [run(collector, preload, need("amqp-declare-queue"), "-u", url, "-q", "linked", settings=settings)]
        for body, *more in ("one", "-p", "-C", "text/plain"), ("two", "-H", "h: hunter2", "-H", "i: 2"), \
                           ("three", "-H", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("last",):
            said.append(run(collector, preload, need("amqp-publish"), "-u", url, "-r", "linked", "-b", body, *more, settings=settings))
        return said + [run(collector, preload, sys.executable, "-c", READ, broker, settings=settings)]
    bare = play(False, {})
    assert all(status == 0 for status, _, _ in bare), bare
    assert play(True, {}) == bare
    wait_until(lambda: len(find(collector.spans, name="deliver linked")) == 3, what="the deliveries")
    assert not find(collector.spans, name="create linked")
    assert [len(s.links) for s in find(collector.spans, name="deliver linked")] == [0, 1, 0]  # the program's own
    collector.clear()
    said = play(True, asked)
    assert said[:-1] == bare[:-1]
    assert [line.split(" [")[0] for line in said[-1][1].splitlines()] == ["one", "two", "three", "last"]
    assert said[-1][1].replace("'traceparent'", "").replace(", ]", "]") == bare[-1][1].replace("'traceparent'", ""), said
    assert said[-1][1].count("'traceparent'") == 4
    wait_until(lambda: len(find(collector.spans, name="deliver linked")) == 3 and find(collector.spans, name="publish linked"),
               what="the deliveries")
    made = find(collector.spans, name="create linked")
    read = find(collector.spans, name="get linked") + find(collector.spans, name="deliver linked")
    assert len(made) == 3 and len(read) == 4 and len(find(collector.spans, name="publish linked")) == 4
    for s in made:
        assert s.kind == "PRODUCER" and s.attributes["messaging.operation.type"] == "create", s.attributes
    links = [s.links for s in read]
    own = [("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")]
    assert links == [[(made[0].trace_id, made[0].span_id)], [(made[1].trace_id, made[1].span_id)], own,
                     [(made[2].trace_id, made[2].span_id)]]
    assert SECRET not in repr([(s.name, s.attributes) for s in collector.spans])


SETUP = """
import pika
local = threading.local()
"""
ANSWER = """
if not hasattr(local, "k"):
    local.c = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
    local.k = local.c.channel()
local.k.basic_publish("", "nowhere" + self.path[:2], self.path.encode())
body = b"published"
"""


def test_what_is_published_belongs_to_the_request(broker, collector):
    settings = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
    with Program([sys.executable, "-c", source(SETUP, ANSWER), broker], endpoint=collector.endpoint, service="app",
                 settings=settings) as app:
        port = int(app.wait_output(r"port (\d+)").group(1))
        visit_all(port, 8, 10)
        served = collector.wait_count(80, kind="SERVER")
        published = collector.wait_count(80, kind="PRODUCER")
        assert children(served, published) == [["publish nowhere/r"]] * 80
        assert len(find(collector.spans, name="connection.open")) == 8
        metrics = listen(app, port).wait_sum(COUNT, 96)
        assert metrics.sum(COUNT, messaging_operation_name="publish", messaging_destination_name="nowhere/r",
                           messaging_operation_type="send", messaging_system="rabbitmq", server_port=str(broker)) == 80
        assert metrics.sum("messaging_client_sent_messages_total", messaging_destination_name="nowhere/r") == 80
        assert not metrics.sum("messaging_client_consumed_messages_total")
        assert not [v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v]
    assert len(published) == 80


def test_rabbitmq_itself_runs_untouched(collector, broker):
    with rabbitmq(True, collector) as port:
        assert run(collector, False, sys.executable, "-c", PIKA, port) == run(collector, False, sys.executable, "-c", PIKA, broker)
    assert not find(collector.spans, messaging__system="rabbitmq")
