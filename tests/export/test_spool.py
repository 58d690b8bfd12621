"""The spool on disk: nothing is lost below its bound, whoever sends it; what is lost is counted."""
import os
import resource
import signal
import subprocess

import pytest

from fake import EMIT, Fake, answer, closed_port, emit, ok, partial
from plain import Plain


@pytest.fixture
def nobody():
    port, keeper = closed_port()
    with keeper:
        yield f"http://127.0.0.1:{port}"


def spooled(endpoint, folder, *options, **settings):
    return emit(endpoint, *options, OTELAUTO_SPOOL_DIR=str(folder), **settings)


def files(folder):
    return sorted(p.name for p in folder.iterdir())


def whole(c, count):
    assert not c.problems, c.problems
    assert len(c.spans) == count and len({s.span_id for s in c.spans}) == count


def test_what_cannot_be_sent_is_kept_and_sent_by_the_next_process(nobody, tmp_path):
    got = spooled(nobody, tmp_path, batches=10, spans=20)
    assert got.counts() == {"ok": 0, "rejected": 0, "failed": 0} and got.calls == 10
    assert got.spool == {**got.spool, "written": 200, "sent": 0, "no_room": 0, "left": 200, "files": 10}
    assert len(files(tmp_path)) == 10 and all(os.stat(tmp_path / f).st_mode & 0o777 == 0o600 for f in files(tmp_path))
    with Fake() as c:
        got = spooled(c.endpoint, tmp_path, "drain", batches=1, spans=7)
        assert got.ok == 7 and got.spool["sent"] == 200 and got.spool["files"] == 0
        whole(c, 207)
    assert files(tmp_path) == []


def test_the_oldest_comes_first(nobody, tmp_path):
    spooled(nobody, tmp_path, batches=5, spans=5)
    with Fake() as c:
        spooled(c.endpoint, tmp_path, "drain", batches=1, spans=1)
        starts = [s.start for s in c.spans if len(c.spans) > 1][:]
        kept = [s for s in starts if s < max(starts)]
        assert kept == sorted(kept)


def test_a_receiver_that_comes_back_gets_everything_without_a_restart(tmp_path):
    with Fake(answer(503), answer(503), ok()) as c:
        got = spooled(c.endpoint, tmp_path, "drain", batches=30, spans=20)
        assert got.ok + got.spool["sent"] == 600 and got.failed == 0 and got.spool["written"] >= 20
        whole(c, 600)
    assert files(tmp_path) == []


def test_retry_after_is_respected_by_the_spool(tmp_path):
    with Fake(answer(503, [("Retry-After", "2")]), ok()) as c:
        spooled(c.endpoint, tmp_path, "drain", batches=3, spans=5)
        assert c.received[1].at - c.received[0].at >= 2
        whole(c, 15)


def test_the_bound_holds_and_what_is_beyond_is_counted(nobody, tmp_path):
    got = spooled(nobody, tmp_path, batches=40, spans=20, OTELAUTO_SPOOL_MAX_BYTES="100000")
    size = sum((tmp_path / f).stat().st_size for f in files(tmp_path))
    assert size <= 100000 and size == got.spool["bytes"] and size > 80000
    assert got.spool["written"] + got.failed == 800 and got.failed == got.spool["no_room"] > 0
    with Fake() as c:
        spooled(c.endpoint, tmp_path, "drain", batches=1, spans=1)
        whole(c, got.spool["written"] + 1)


def test_a_receiver_that_refuses_for_good_empties_it(nobody, tmp_path):
    spooled(nobody, tmp_path, batches=3, spans=5)
    with Fake(answer(400)) as c:
        got = spooled(c.endpoint, tmp_path, "drain", batches=1, spans=1)
        assert got.failed == 1 and got.spool["refused"] == 15 and got.spool["files"] == 0
        assert len(c.received) == 4


def test_partial_success_counts_for_the_spool_too(nobody, tmp_path):
    spooled(nobody, tmp_path, batches=1, spans=5)
    with Fake(partial(2, "late")) as c:
        got = spooled(c.endpoint, tmp_path, "drain", batches=1, spans=5)
        assert got.rejected == 2 and got.spool["sent"] == 5


def test_what_was_on_its_way_when_its_process_died_is_not_sent_again(nobody, tmp_path):
    spooled(nobody, tmp_path, batches=2, spans=5)
    first = tmp_path / files(tmp_path)[0]
    first.rename(str(first) + ".out")
    with Fake() as c:
        got = spooled(c.endpoint, tmp_path, "drain", batches=1, spans=1)
        assert got.spool["unknown"] == 5 and got.spool["sent"] == 5
        whole(c, 6)
    assert files(tmp_path) == []


def test_files_that_are_not_ours_stay_and_those_that_were_cut_go(nobody, tmp_path):
    spooled(nobody, tmp_path, batches=2, spans=5)
    cut = tmp_path / files(tmp_path)[0]
    cut.write_bytes(cut.read_bytes()[:-1])
    (tmp_path / "README").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    with Fake() as c:
        got = spooled(c.endpoint, tmp_path, "drain", batches=1, spans=1)
        assert got.spool["sent"] == 5
        whole(c, 6)
    assert files(tmp_path) == ["README", "folder", "link"]


def test_processes_share_it(nobody, tmp_path):
    for service in ("a", "b"):
        spooled(nobody, tmp_path, batches=10, spans=10, OTEL_SERVICE_NAME=service)
    with Fake() as c:
        env = {"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": c.endpoint, "OTELAUTO_SPOOL_DIR": str(tmp_path)}
        senders = [subprocess.Popen([EMIT, "otlp", "1", "1", "5000", "drain"], env=env, stdout=subprocess.DEVNULL)
                   for _ in range(4)]
        assert [s.wait(60) for s in senders] == [0] * 4
        whole(c, 204)


def test_a_full_disk_is_counted_and_leaves_no_half_file(nobody, tmp_path):
    done = subprocess.run([EMIT, "otlp", "3", "200", "2000"], capture_output=True, text=True,
                          env={"OTELAUTO_SPOOL_DIR": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": nobody},
                          preexec_fn=lambda: (resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)),
                                              signal.signal(signal.SIGXFSZ, signal.SIG_IGN)))
    assert '"failed":600' in done.stdout and '"no_room":600' in done.stdout
    assert files(tmp_path) == []


def test_at_the_end_what_was_not_sent_goes_there(tmp_path):
    with Fake() as c:
        got = spooled(c.endpoint, tmp_path, "end", batches=4, spans=5)
        assert got.ok == 5 and got.spool["written"] == 15 and len(c.spans) == 5
    assert len(files(tmp_path)) == 3


@pytest.mark.parametrize("settings, kind", [
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "otlp-json"),
    ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, "otlp-pb"),
])
def test_every_encoding_comes_back_as_it_was(nobody, tmp_path, settings, kind):
    spooled(nobody, tmp_path, batches=2, spans=5, **settings)
    assert all(f.endswith("." + kind) for f in files(tmp_path))
    with Fake() as c:
        assert spooled(c.endpoint, tmp_path, "drain", batches=1, spans=1, **settings).spool["sent"] == 10
        whole(c, 11)


def test_zipkin_and_jaeger_have_it_too(nobody, tmp_path):
    for exporter in ("zipkin", "jaeger"):
        setting = f"OTEL_EXPORTER_{exporter.upper()}_ENDPOINT"
        spooled(None, tmp_path, exporter=exporter, batches=2, spans=5, **{setting: nobody})
        with Plain() as c:
            got = spooled(None, tmp_path, "drain", exporter=exporter, batches=1, spans=1, **{setting: c.url})
            assert got.spool["sent"] == 10 and len(c.requests) == 3


@pytest.mark.parametrize("folder", ["relative", "/no/such/folder", "/etc/passwd"])
def test_a_folder_that_cannot_be_is_said_once_and_everything_else_works(folder):
    with Fake() as c:
        got = spooled(c.endpoint, folder)
        assert got.ok == 7 and got.stderr.count("OTELAUTO_SPOOL_DIR") == 1


def test_a_child_and_taken_descriptors_do_not_confuse_it(nobody, tmp_path):
    got = spooled(nobody, tmp_path, "steal", batches=4, spans=5)
    assert got.spool["written"] == 20 and got.unharmed == got.stolen
    with Fake() as c:
        got = spooled(c.endpoint, tmp_path, "drain", "fork", batches=1, spans=1)
        # The child ends in the middle of sending a file, or between two.
        assert len({s.span_id for s in c.spans}) + got.spool["unknown"] >= 22 and got.spool["unknown"] <= 5
    assert files(tmp_path) == []


def test_memory_does_not_grow_with_what_is_kept(nobody, tmp_path):
    small = spooled(nobody, tmp_path, batches=5, spans=50)
    large = spooled(nobody, tmp_path, batches=60, spans=50)
    assert large.arena <= small.arena + 65536
