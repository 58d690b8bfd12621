"""OTLP's JSON lines in a file: whole lines, rotation by size, several writers, a disk that is full."""
import os
import resource
import signal
import subprocess

import pytest

from fake import EMIT, emit
from lib import otlp_json

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def read(path):
    """Span ids of a file, each line judged."""
    ids = []
    for line in path.read_text().splitlines():
        message = otlp_json.message(line, ExportTraceServiceRequest())
        ids += [s.span_id for g in message.resource_spans for scope in g.scope_spans for s in scope.spans]
    return ids


def write(path, *options, **settings):
    return emit(None, *options, exporter="otlp_file", OTELAUTO_FILE_PATH=str(path), **settings)


def test_a_line_a_batch_appended(tmp_path):
    path = tmp_path / "traces.jsonl"
    for _ in range(2):
        assert write(path, batches=3, spans=10).counts() == {"ok": 30, "rejected": 0, "failed": 0}
    text = path.read_text()
    assert text.count("\n") == 6 and text.endswith("\n") and len(set(read(path))) == 60
    assert os.stat(path).st_mode & 0o777 == 0o640


def test_rotation_by_size_keeps_so_many(tmp_path):
    path = tmp_path / "t"
    got = write(path, batches=10, spans=20, OTELAUTO_FILE_MAX_BYTES="40000", OTELAUTO_FILE_KEEP="2")
    assert got.ok == 200
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "t.1", "t.2"]
    assert all(p.stat().st_size <= 40000 and read(p) for p in tmp_path.iterdir())
    everything = write(tmp_path / "u", batches=10, spans=20, OTELAUTO_FILE_MAX_BYTES="40000", OTELAUTO_FILE_KEEP="100")
    assert everything.ok == 200
    assert len({i for p in tmp_path.glob("u*") for i in read(p)}) == 200


def test_rotation_that_keeps_none_begins_anew(tmp_path):
    path = tmp_path / "t"
    write(path, batches=10, spans=20, OTELAUTO_FILE_MAX_BYTES="40000", OTELAUTO_FILE_KEEP="0")
    assert [p.name for p in tmp_path.iterdir()] == ["t"] and path.stat().st_size <= 40000


def test_several_writers_share_a_file_and_its_rotation(tmp_path):
    path = tmp_path / "t"
    settings = {"OTEL_SERVICE_NAME": "w", "OTELAUTO_FILE_PATH": str(path), "OTELAUTO_FILE_MAX_BYTES": "100000",
                "OTELAUTO_FILE_KEEP": "100"}
    writers = [subprocess.Popen([EMIT, "otlp_file", "30", "20", "20000"], env=settings, stdout=subprocess.DEVNULL)
               for _ in range(4)]
    assert [w.wait(60) for w in writers] == [0] * 4
    ids = [i for p in tmp_path.iterdir() for i in read(p)]
    assert len(ids) == 2400 and len(set(ids)) == 2400


def test_a_full_disk_leaves_no_half_line(tmp_path):
    path = tmp_path / "t"
    limit = 50_000
    done = subprocess.run([EMIT, "otlp_file", "10", "20", "2000"], capture_output=True, text=True,
                          env={"OTELAUTO_FILE_PATH": str(path), "OTEL_SERVICE_NAME": "x"},
                          preexec_fn=lambda: (resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
                                              signal.signal(signal.SIGXFSZ, signal.SIG_IGN)))
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size <= limit
    assert 0 < len(read(path)) < 200 and f'"ok":{len(read(path))},' in done.stdout


@pytest.mark.parametrize("path", ["", "relative/file", "/no/such/folder/t", "/dev/null"])
def test_a_path_that_cannot_be_is_said_once(path):
    got = write(path)
    assert got.lines[0]["open"] == 0 and got.stderr.count("OTELAUTO_FILE_PATH") == 1


def test_a_removed_file_comes_back_and_a_child_writes_too(tmp_path):
    path = tmp_path / "t"
    write(path, "fork", "steal", batches=2)
    assert len(set(read(path))) == 21
