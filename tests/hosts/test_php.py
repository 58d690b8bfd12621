"""PHP-FPM behind nginx: what it serves by FastCGI is seen; of PHP's HTTP clients those in the program are. Extensions such as curl
are loaded with RTLD_DEEPBIND: their calls never reach a preloaded library, and `blind_layers` says so."""
import os
import subprocess
from contextlib import contextmanager

import pytest

from kit import CLIENT_COUNT, COUNT, HERE, both, chain, exact, leaf_saw, listen, need, wait_until
from lib.collector import find
from lib.loadgen import Connection, Load
from lib.preload import LIBRARY, environment
from webs import nginx

SITE = """server {
    listen 127.0.0.1:@PORT@ backlog=512;
    location / {
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME @SCRIPT@;
      fastcgi_param LEAF @LEAF@;
      fastcgi_pass @PHP@;
    }
  }"""


def fpm():
    for version in ("8.2", ""):
        path = f"/usr/sbin/php-fpm{version}"
        if os.path.exists(path):
            return path
    return need("php-fpm")


@contextmanager
def site(way, leaf, unix):
    script = way.write("calls.php", (HERE / "programs" / "calls.php").read_text())
    script.chmod(0o644)
    listen_port = way.port()
    php = f"{way.folder}/php.sock" if unix else f"127.0.0.1:{listen_port}"
    conf = way.conf("php-fpm.conf", listen=php)
    argv = [fpm(), "-n", "-d", "extension=curl", "-y", conf] + (["-R"] if os.geteuid() == 0 else [])
    if os.geteuid() == 0:
        conf.write_text(conf.read_text() + "user = root\ngroup = root\n")
    port = way.port()
    with way.program(argv, service="php") as program:
        wait_until(lambda: (way.folder / "php.pid").exists() and len(listen(program).workers()) == 4, what="php's children")
        with nginx(way, SITE, service="nginx", port=port, script=script, leaf=leaf.port,
                   php=f"unix:{php}" if unix else php) as (_, tree, root):
            yield program, listen(program, *([] if unix else [listen_port])), tree, port


@pytest.mark.parametrize("unix", [True, False], ids=["unix", "tcp"])
def test_fpm(ways, leaf, unix):
    def scenario(way):
        with site(way, leaf, unix) as (php, php_tree, tree, port):
            with Connection(port) as c:
                seen = [c.request("/a")[::2], c.request("/b", "POST", body=b"x" * 100000)[::2]]
            counts = {}
            for kind in ("streams", "fsockopen", "curl"):
                with Connection(port) as c:
                    seen += [c.request(f"/{kind}/{i}?with={kind}")[::2] for i in range(5)]
                requests = leaf.wait_count(5)
                counts[kind] = sum(r.get("traceparent") is not None for r in requests)
                seen.append([(r.method, r.target, r.get("host")) for r in requests])
                del leaf.requests[:]
            assert seen[-1], "the leaf was called"
            load = Load(port, 100, 8).run()  # when nginx is known as a proxy (docs/context.md, rule 5)
            if way.ours:
                exact(way, tree, 117, service="nginx")
                exact(way, tree, 117, service="nginx", role="CLIENT")
                assert counts == {"streams": 5, "fsockopen": 5, "curl": 0}, counts
                calls = way.collector.wait_count(10, kind="CLIENT", service="php")
                served = {s.span_id: s for s in way.collector.wait_count(117, kind="SERVER", service="php")}
                assert len(calls) == 10 and len(served) == 117 and len(way.collector.spans) == 361
                causes = [served[c.parent_id] for c in calls]
                assert len({c.span_id for c in causes}) == 10 and all(s.trace_id == c.trace_id for s, c in zip(causes, calls))
                assert chain(way.collector.spans, "nginx", "php") == 117
                post, = find(served.values(), path="/b")
                assert post.name == "POST /b" and post.attributes["http.response.status_code"] == 200
                assert post.attributes["client.address"] == "127.0.0.1" and post.attributes["url.scheme"] == "http"
                metrics = php_tree.wait_sum(CLIENT_COUNT, 10)
                assert metrics.sum(COUNT) == 117
                assert not [v for k, v in metrics.series("otelauto_opaque_connections_total").items() if v]
                assert metrics.sum("otelauto_blind_layers", layer="deepbind") == 1
            else:
                assert not any(counts.values())
            return seen, load.statuses(), way.seen(php)[0]
    both(ways, scenario)


def test_what_a_caller_sends_along_arrives(ways, leaf):
    """traceparent goes through nginx as a parameter, in which nginx' span takes the place of the caller's."""
    def scenario(way):
        with site(way, leaf, True) as (php, php_tree, tree, port):
            trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
            with Connection(port) as c:
                seen = c.request("/x?token=hunter2", headers=[("traceparent", f"00-{trace}-{span}-01"), ("User-Agent", "tester")])[::2]
            if way.ours:
                served, = way.collector.wait_count(1, kind="SERVER", service="php")
                first, = way.collector.wait_count(1, kind="SERVER", service="nginx")
                call, = way.collector.wait_count(1, kind="CLIENT", service="nginx")
                assert {s.trace_id for s in (served, call, first)} == {trace}
                assert (served.parent_id, call.parent_id, first.parent_id) == (call.span_id, first.span_id, span)
                assert served.attributes["user_agent.original"] == "tester" and served.attributes["url.query"] == "token=REDACTED"
            return seen
    both(ways, scenario)


def test_reload_of_fpm(ways, leaf):
    """SIGUSR2: the master executes itself anew and its children leave."""
    import signal

    def scenario(way):
        with site(way, leaf, True) as (php, php_tree, tree, port):
            for turn in range(3):
                old = set(php_tree.workers())
                php.send_signal(signal.SIGUSR2)
                wait_until(lambda: len(php_tree.workers()) == 4 and not old & set(php_tree.workers()), what="new children")
                with Connection(port) as c:
                    assert c.request(f"/r/{turn}")[0] == 200
            return way.seen(php)[0]
    both(ways, scenario)


CURL = """
for ($i = 0; $i < 3; $i++) {
    $c = curl_init("http://127.0.0.1:$argv[1]/curl/$i");
    curl_setopt($c, CURLOPT_RETURNTRANSFER, true);
    echo curl_exec($c), curl_getinfo($c, CURLINFO_RESPONSE_CODE), "\\n";
}
"""


def test_a_library_named_besides_ours_is_seen_in_extensions_too(leaf, collector):
    """What a preloaded libcurl calls is bound before PHP loads its extension with RTLD_DEEPBIND, and there is one libcurl."""
    argv = [need("php"), "-n", "-d", "extension=curl", "-r", CURL, "--", leaf.port]

    def play(preload, settings=None):
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False,
                              env=environment(collector.endpoint, "php", settings, preload=preload))
        with_context = [r.get("traceparent") is not None for r in leaf.wait_count(3)]
        del leaf.requests[:]
        return (done.returncode, done.stdout, done.stderr), with_context
    bare, context = play(False)
    assert bare[0] == 0 and not any(context), bare
    assert play(True) == (bare, [False] * 3) and not collector.spans
    assert play(True, {"LD_PRELOAD": f"{LIBRARY} libcurl.so.4"}) == (bare, [True] * 3)
    calls = collector.wait_count(3, kind="CLIENT")
    assert sorted(s.attributes["url.full"].split("/")[-1] for s in calls) == ["0", "1", "2"] and len(collector.spans) == 3
