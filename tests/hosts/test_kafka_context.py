"""Messages that say where they were made: librdkafka's get a header on request (OTELAUTO_MESSAGE_CONTEXT=kafka), by whichever of its
functions, copies and bindings they are sent, and are otherwise what they were; who sends and who reads them is linked to their makers."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kit import HERE, command, need, wait_until
from lib.app_server import children, source, visit_all
from lib.collector import find
from lib.preload import Program
from test_kafka import SECRET, jars, kafka, messages, run  # noqa: F401 (a fixture)

ASKED = {"OTELAUTO_MESSAGE_CONTEXT": "kafka"}
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

READ = """
import json, sys
from confluent_kafka import Consumer, TopicPartition
c = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "readers-" + sys.argv[2], "client.id": "reader"})
c.assign([TopicPartition(sys.argv[2], 0, 0)])
for _ in range(int(sys.argv[3])):
    m = c.poll(20)
    assert m is not None and not m.error(), m and m.error()
    text = lambda b: None if b is None else b.decode()
    print(json.dumps([text(m.value()), text(m.key()), [[k, text(v)] for k, v in m.headers() or []]]))
assert not c.poll(0.3)
c.close()
"""

SEND = """
import sys
from confluent_kafka import Producer
p = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 20, **dict(a.split("=") for a in sys.argv[3:])})
for i in range(3):
    p.produce(sys.argv[2], b"%d" % i * 300, key=b"hunter2")
p.produce(sys.argv[2], b"3" * 300, headers={"h": b"hunter2"})
p.flush()
print(p.list_topics(sys.argv[2]).topics[sys.argv[2]].error)
"""


@pytest.fixture(scope="module")
def broker(jars):  # noqa: F811
    with kafka(jars) as address:
        yield address


@pytest.fixture(scope="module")
def produce(tmp_path_factory):
    path = tmp_path_factory.mktemp("kafka") / "produce"
    if not Path("/usr/include/librdkafka/rdkafka.h").exists():
        pytest.skip("librdkafka-dev is not installed: run scripts/setup hosts")
    command(need("gcc"), "-O1", "-o", path, HERE / "programs" / "kafka" / "produce.c", "-lrdkafka")
    return path


def python_of(package):
    """An interpreter that has a binding: the tests' own, with a copy of librdkafka in it, or Debian's."""
    if package == "wheel":
        return sys.executable
    if subprocess.run(["/usr/bin/python3", "-c", "import confluent_kafka"], capture_output=True, check=False).returncode:
        pytest.skip("python3-confluent-kafka is not installed: run scripts/setup hosts")
    return "/usr/bin/python3"


def topic_of(broker, name):
    command(need("kcat"), "-b", broker, "-L", "-t", name, "-X", "allow.auto.create.topics=true")
    return name


def read(collector, broker, topic, count, preload=False):
    status, out, err = run(collector, preload, [sys.executable, "-c", READ, broker, topic, count])
    assert status == 0, err
    return [json.loads(line) for line in out.splitlines()]


def without(said):
    """What was read without what we have put in; and that."""
    contexts = [dict(headers).get("traceparent") for _, _, headers in said]
    return [[value, key, [h for h in headers if h[0] != "traceparent" or h[1] == OWN]] for value, key, headers in said], contexts


def made(collector, topic, count):
    """The spans of messages, by the context that names them."""
    collector.wait_for(lambda all: len(find(all, name=f"create {topic}")) >= count, what=f"{count} messages made")
    spans = find(collector.spans, name=f"create {topic}")
    for s in spans:
        a = s.attributes
        assert s.kind == "PRODUCER" and a["messaging.system"] == "kafka" and a["messaging.operation.type"] == "create", a
        assert a["messaging.operation.name"] == "create" and a["messaging.destination.name"] == topic
    return {f"00-{s.trace_id}-{s.span_id}-03": s for s in spans}


def links(spans):
    return {link for s in spans for link in s.links}


def ids(contexts):
    return {tuple(c.split("-")[1:3]) for c in contexts if c}


def check_links(collector, topic, contexts, count):
    """Who sent them and who read them is linked to who made them."""
    wait_until(lambda: messages(collector.spans, "poll", topic) >= count, what="all messages")
    for name in "send", "poll":
        spans = find(collector.spans, messaging__operation__name=name, messaging__destination__name=topic, error__type=None)
        assert messages(spans, name, topic) == count and all(len(s.links) <= 8 for s in spans)
        assert links(spans) <= ids(contexts) and len(links(spans)) >= min(8, len(ids(contexts))), (name, links(spans), contexts)


def test_each_function_of_librdkafka(broker, collector, produce):
    count = 11
    bare = run(collector, False, [produce, broker, topic_of(broker, "all-bare")])
    assert bare[0] == 0 and f"{count} delivered, 0 failed" in bare[1], bare
    said = read(collector, broker, "all-bare", count)
    assert run(collector, True, [produce, broker, topic_of(broker, "all-off")]) == bare
    assert read(collector, broker, "all-off", count) == said
    wait_until(lambda: messages(collector.spans, "send", "all-off") == count, what="what was sent")
    assert not find(collector.spans, name="create all-off")
    collector.clear()
    assert run(collector, True, [produce, broker, topic_of(broker, "all")], settings=ASKED) == bare
    now, contexts = without(read(collector, broker, "all", count, True))
    assert now == without(said)[0]
    by_value = {value: context for (value, _, _), context in zip(now, contexts) if value}
    assert by_value.pop("own") == OWN and by_value.pop("many") is None
    assert [by_value.pop(v) for v in list(by_value) if v[0] == "x"] == [None]
    assert by_value.keys() == {"produce", "producev", "produceva", "batch 1", "batch 2"} and all(by_value.values())
    # Nothing is sent of a message whose partition there is not, but it was made.
    spans = made(collector, "all", count - 3 + 2)
    put = [c for c in contexts if c and c != OWN]
    assert len(put) == len(set(put)) == count - 3 and set(put) < set(spans) and len(spans) == count - 3 + 2
    check_links(collector, "all", contexts, count)
    assert SECRET not in repr([(s.name, s.attributes) for s in collector.spans])


@pytest.mark.parametrize("package", ["wheel", "debian"])
@pytest.mark.parametrize("packed", ["none", "gzip"])
def test_python(broker, collector, package, packed):
    name = f"python-{package}-{packed}"
    argv = [python_of(package), "-c", SEND, broker]
    bare = run(collector, False, [*argv, topic_of(broker, name + "-bare"), f"compression.type={packed}"])
    assert bare == (0, "None\n", ""), bare
    assert run(collector, True, [*argv, topic_of(broker, name), f"compression.type={packed}"], settings=ASKED) == bare
    now, contexts = without(read(collector, broker, name, 4, True))
    assert now == read(collector, broker, name + "-bare", 4)
    assert set(made(collector, name, 4)) == set(contexts)
    check_links(collector, name, contexts if packed == "none" else [], 4)


def test_kcat(broker, collector):
    def play(preload, topic, settings=None):
        kcat = [need("kcat"), "-b", broker, "-t", topic_of(broker, topic), "-q", "-P"]
        return [run(collector, preload, [*kcat, "-X", "acks=0"], "1\n2\n", settings),
                run(collector, preload, [*kcat, "-k", "k", "-H", f"h={SECRET}"], "3\n", settings),
                run(collector, preload, [*kcat, "-H", f"traceparent={OWN}"], "4\n", settings),
                # As to a broker of a time before messages had headers.
                run(collector, preload, [*kcat, "-X", "api.version.request=false", "-X", "broker.version.fallback=0.9.0.1"],
                    "5\n", settings)]
    bare = play(False, "tool-bare")
    assert bare == [(0, "", "")] * 4 and play(True, "tool", ASKED) == bare
    now, contexts = without(read(collector, broker, "tool", 5, True))
    assert now == read(collector, broker, "tool-bare", 5)
    spans = made(collector, "tool", 4)
    assert all(c in spans for c in contexts[:3]) and contexts[3:] == [OWN, None] and len(spans) == 4
    wait_until(lambda: messages(collector.spans, "poll", "tool") >= 4, what="what was read")
    assert links(find(collector.spans, messaging__operation__name="poll")) == ids(contexts)


def test_a_client_that_cannot_be_made(broker, collector, produce):
    bare = run(collector, False, [produce, broker, "none", "refused"])
    assert bare[:2] == (0, "refused\nrefused\n"), bare
    assert run(collector, True, [produce, broker, "none", "refused"], settings=ASKED) == bare


def test_who_intercepts_by_itself_goes_on(broker, collector, produce):
    bare = run(collector, False, [produce, broker, topic_of(broker, "own-bare"), "own"])
    assert "11 delivered, 0 failed, 13 intercepted" in bare[1], bare
    assert run(collector, True, [produce, broker, topic_of(broker, "own"), "own"], settings=ASKED) == bare
    assert read(collector, broker, "own", 11) == read(collector, broker, "own-bare", 11)
    assert not find(collector.spans, name="create own")


SETUP = """
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 5})
"""
ANSWER = """
producer.produce("served", self.path.encode())
producer.poll(0)
body = b"sent"
"""


def test_a_message_belongs_to_the_request_it_is_made_for(broker, collector):
    topic_of(broker, "served")
    with Program([sys.executable, "-c", source(SETUP, ANSWER), broker], endpoint=collector.endpoint, service="app",
                 settings={"OTEL_BSP_MAX_QUEUE_SIZE": "65536", **ASKED}) as app:
        visit_all(int(app.wait_output(r"port (\d+)").group(1)), 8, 10)
        served = collector.wait_count(80, kind="SERVER")
        spans = made(collector, "served", 80)
        assert children(served, spans.values()) == [["create served"]] * 80
        wait_until(lambda: messages(collector.spans, "send", "served") == 80, what="what was sent")
    now, contexts = without(read(collector, broker, "served", 80))
    assert set(contexts) == set(spans) and len(now) == 80
    paths = {s.span_id: s.attributes["url.path"] for s in served}
    assert [paths[spans[c].parent_id] for c in contexts] == [value for value, _, _ in now]
    sends = find(collector.spans, messaging__operation__name="send", messaging__destination__name="served")
    assert not [s for s in sends if s.parent_id] and links(sends) <= ids(contexts) and links(sends)
