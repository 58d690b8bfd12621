"""The console exporter: for people, where our messages go."""
from fake import emit


def test_spans_are_blocks_on_stderr():
    got = emit(exporter="console", spans=7)
    assert got.counts() == {"ok": 7, "rejected": 0, "failed": 0}
    blocks = got.stderr.split(" span \"")
    assert len(blocks) == 8
    assert 'server span "GET /users/{id}" 0.000 ms, 20' in got.stderr
    assert 'client span "connect" 0.005 ms, error, 20' in got.stderr
    assert "    url.full: https://api.example/v2/items?q=x\n" in got.stderr
    assert "    http.request.header.x-tenant: blue | grün\n" in got.stderr
    assert "  event dns.lookup 1500 us\n" in got.stderr
    assert got.stderr.count("  link trace ") == 4
    assert got.fds == []


def test_a_log_file_takes_them_instead(tmp_path):
    got = emit(exporter="console", batches=2, spans=7, OTELAUTO_LOG_FILE=str(tmp_path / "log"))
    assert got.ok == 14 and got.stderr == ""
    assert (tmp_path / "log").read_text().count(" span \"") == 14


def test_nothing_in_it_moves_the_cursor():
    got = emit(None, "bad", exporter="console", spans=200)
    assert got.ok + got.failed == 200
    assert not [c for c in got.stderr if (ord(c) < 32 and c != "\n") or ord(c) == 127]


def test_a_place_that_takes_nothing_loses_them_and_says_so():
    got = emit(exporter="console", OTELAUTO_LOG_FILE="/nonexistent/dir/log")
    assert got.counts() == {"ok": 0, "rejected": 0, "failed": 7}
    assert "OTELAUTO_LOG_FILE: /nonexistent/dir/log cannot be opened (error 2)" in got.stderr and " span \"" not in got.stderr
