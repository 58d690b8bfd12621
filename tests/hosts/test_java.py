"""Java: HttpServer with both of its HTTP clients; child processes from its small-stack reaper thread."""
import pytest

from kit import HERE, both, command, exact, leaf_saw, listen, need
from lib.loadgen import Load
from lib.truth import judge


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    command(need("javac"), "-d", folder, *sorted((HERE / "programs").glob("*.java")))
    return folder


def java(classes):
    return [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", classes]


@pytest.mark.parametrize("client", ["old", "new"])
def test_server_and_client(ways, leaf, classes, client):
    def scenario(way):
        port = way.port()
        with way.program([*java(classes), "Server", port, leaf.port, client], service="java") as program:
            tree = listen(program, port)
            one = Load(port, 30, 1).run()
            requests = leaf.wait_count(30)
            leaf_saw(leaf, 30, way.ours)
            load = Load(port, 300, 16).run()
            requests += leaf.wait_count(300)
            leaf_saw(leaf, 300, way.ours)
            if way.ours:
                exact(way, tree, 330)
                exact(way, tree, 330, role="CLIENT")
                verdict = judge(requests, way.collector.spans)
                assert not verdict.wrong, verdict.wrong[0]
                # The old client does its I/O on the thread that serves; the new one has a thread of its own for it.
                assert verdict["right"] == 330 or client == "new", verdict
            return one.statuses(), load.statuses(), way.seen(program)
    both(ways, scenario)


def test_client_and_children(ways, leaf, classes):
    def scenario(way):
        result = way.run([*java(classes), "Client", leaf.port], service="java")
        upstream = sorted(leaf_saw(leaf, 51, way.ours))
        if way.ours:
            spans = way.collector.wait_count(51, kind="CLIENT")
            assert len(spans) == 51 == len(way.collector.spans)
        return result, upstream
    both(ways, scenario)
