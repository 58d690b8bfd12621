"""HTTP clients: what they print and what the server gets is the same but for our header; each request is one span."""
import sys

import pytest

from kit import HERE, both, free_port, leaf_saw, need
from lib.collector import find
from lib.leaf import Leaf
from webs import make_files


def client_scenario(argv, leaf, count, service, status=0, failed=0, check=None, **options):
    """argv: words with {base}, {refused}, {folder}."""
    refused = free_port()

    def scenario(way):
        make_files(way.folder)
        way.ports[:] = [leaf.port, refused]
        words = [str(w).format(base=f"http://127.0.0.1:{leaf.port}", refused=f"http://127.0.0.1:{refused}", folder=way.folder,
                               port=leaf.port) for w in argv]
        result = way.run(words, service=service, **options)
        assert result[0] == status, result
        upstream = sorted(leaf_saw(leaf, count, way.ours))
        if way.ours:
            spans = way.collector.wait_count(count + failed, kind="CLIENT", service=service)
            assert len(way.collector.spans) == len(spans) == count + failed, way.collector.spans
            assert len(find(spans, where=lambda s: "http.response.status_code" not in s.attributes)) == failed
            for span in spans:
                assert not span.parent_id
            if check:
                check(spans)
        files = {p.name: p.read_bytes() for p in way.folder.iterdir() if p.is_file()}
        return result, upstream, files
    return scenario


CURL = {
    "get": (["{base}/a"], 1, 0),
    "many on one connection": (["{base}/a", "{base}/b", "{base}/c?d=e"], 3, 0),
    "head": (["-I", "{base}/a"], 1, 0),
    "post": (["-d", "x=1", "{base}/post"], 1, 0),
    "expect": (["--expect100-timeout", "0.2", "-H", "Expect: 100-continue", "-d", "x=1", "{base}/post"], 1, 0),
    "upload": (["-T", "{folder}/www/big.bin", "{base}/up"], 1, 0),
    "http 1.0": (["-0", "{base}/a"], 1, 0),
    "fail on 404": (["-f", "{base}/status/404"], 1, 22),
    "to a file": (["-o", "{folder}/got", "{base}/a"], 1, 0),
    "parallel": (["-Z", "--no-progress-meter", "--parallel-max", "4", "-o", "{folder}/got.#1", "{base}/p/[0-11]"], 12, 0),
    "http2 offered": (["--http2", "{base}/a"], 1, 0),
    "large header": (["-H", "X-Large: " + "l" * 12000, "{base}/a"], 1, 0),
}


@pytest.mark.parametrize("name", CURL)
def test_curl(ways, leaf, name):
    words, count, status = CURL[name]
    both(ways, client_scenario([need("curl"), "-sS", *words], leaf, count, "curl", status))


def test_curl_of_a_closed_port(ways, leaf):
    def check(spans):
        span, = spans
        assert span.status == "error" and span.attributes["error.type"], span.attributes
    both(ways, client_scenario([need("curl"), "-s", "{refused}/x"], leaf, 0, "curl", 7, failed=1, check=check))


def test_curl_through_a_unix_socket(ways, folder):
    with Leaf(path=str(folder / "leaf.sock")) as leaf:
        def scenario(way):
            result = way.run([need("curl"), "-sS", "--unix-socket", folder / "leaf.sock", "http://leaf/a", "http://leaf/b"],
                             service="curl")
            upstream = leaf_saw(leaf, 2, way.ours)
            if way.ours:
                assert len(way.collector.wait_count(2, kind="CLIENT")) == 2
            return result, upstream
        both(ways, scenario)


WGET = {
    "to stdout": (["-qO-", "{base}/a"], 1, 0),
    "many": (["-qO-", "{base}/a", "{base}/b", "{base}/c"], 3, 0),
    "to a file": (["-q", "-O", "{folder}/got", "{base}/a"], 1, 0),
    "post": (["-qO-", "--post-data=x=1", "{base}/post"], 1, 0),
    "not there": (["-qO-", "-t", "1", "{base}/status/404"], 1, 8),
    "spider": (["-q", "--spider", "{base}/a"], 1, 0),
}


@pytest.mark.parametrize("name", WGET)
def test_wget(ways, leaf, name):
    words, count, status = WGET[name]
    both(ways, client_scenario([need("wget"), "--no-config", "--no-proxy", *words], leaf, count, "wget", status))


@pytest.mark.parametrize("kind", ["urllib", "http.client", "requests", "aiohttp"])
def test_python(ways, leaf, kind):
    both(ways, client_scenario([sys.executable, HERE / "programs" / "urls.py", kind, "{base}"], leaf, 22, "python"))


PERL = r"""
use IO::Socket::INET;
my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:{port}") or die;
for my $i (1..5) {{
    print $s "GET /perl/$i HTTP/1.1\r\nHost: leaf\r\n\r\n";
    my $length;
    while (<$s>) {{ $length = $1 if /^Content-Length: (\d+)/; last if /^\r$/ }}
    read $s, my $body, $length;
    print "$body\n";
}}
"""


def test_perl(ways, leaf):
    both(ways, client_scenario([need("perl"), "-e", PERL], leaf, 5, "perl"))
