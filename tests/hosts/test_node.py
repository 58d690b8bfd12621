"""Node: its own http on both sides, cluster."""
import pytest

from kit import HERE, OTHER_HOSTS, both, exact, leaf_saw, listen, need, wait_until
from lib.collector import find
from lib.loadgen import Load
from lib.truth import judge


def test_server_and_keep_alive_agent(ways, leaf):
    def scenario(way):
        port = way.port()
        argv = [need("node"), OTHER_HOSTS / "node_server.js", port, leaf.port]
        with way.program(argv, service="node") as program:
            tree = listen(program, port)
            load = Load(port, 400, 16).run()
            requests = leaf.wait_count(400)
            leaf_saw(leaf, 400, way.ours)
            if way.ours:
                exact(way, tree, 400)
                exact(way, tree, 400, role="CLIENT")
                verdict = judge(requests, way.collector.spans)
                assert not verdict.wrong, verdict.wrong[0]
            return load.statuses(), way.seen(program)
    both(ways, scenario)


def test_one_at_a_time_every_parent_is_right(ways, leaf):
    def scenario(way):
        port = way.port()
        argv = [need("node"), OTHER_HOSTS / "node_server.js", port, leaf.port]
        with way.program(argv, service="node") as program:
            tree = listen(program, port)
            Load(port, 60, 1).run()
            requests = leaf.wait_count(60)
            leaf_saw(leaf, 60, way.ours)
            if way.ours:
                exact(way, tree, 60)
                exact(way, tree, 60, role="CLIENT")
                verdict = judge(requests, way.collector.spans)
                assert verdict["right"] == 60, verdict
            return way.seen(program)
    both(ways, scenario)


def test_client(ways, leaf):
    def scenario(way):
        result = way.run([need("node"), HERE / "programs" / "client.js", leaf.port, 200], service="node")
        upstream = sorted(leaf_saw(leaf, 202, way.ours))
        if way.ours:
            spans = way.collector.wait_count(203, kind="CLIENT")
            assert len(spans) == 203 == len(way.collector.spans)
            failed, = find(spans, where=lambda s: s.status == "error")
            assert failed.attributes["error.type"] and failed.attributes["server.port"] == 1
        return result, upstream
    both(ways, scenario)


@pytest.mark.parametrize("policy", ["rr", "none"])
def test_cluster(ways, policy):
    """rr: the primary accepts and passes descriptors on; none: the workers share the listener."""
    def scenario(way):
        port = way.port()
        argv = [need("node"), HERE / "programs" / "cluster.js", port, 2]
        with way.program(argv, service="node", settings={"NODE_CLUSTER_SCHED_POLICY": policy}) as program:
            tree = listen(program, port)
            wait_until(lambda: len(tree.workers()) == 2)
            load = Load(port, 300, 8).run()
            closing = Load(port, 100, 8, keep_alive=False).run()
            if way.ours:
                exact(way, tree, 400, executed=True)
            return load.statuses(), closing.statuses(), way.seen(program)
    both(ways, scenario)
