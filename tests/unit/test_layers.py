"""Who may include whom, asked of the #include lines: data goes left to right, configuration the other way once. Run by
hand it draws what it found."""
import re
from collections import defaultdict
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

FOLDERS = ["core", "proto", "sampler", "conn", "hooks", "exporter", "pipeline", "preload"]

# Folder -> what it may include besides itself: whole folders, or single headers.
ALLOWED = {
    "core": [],
    "proto": ["core/"],
    "sampler": ["core/"],
    "conn": ["core/", "proto/", "sampler/sampler.h"],
    "hooks": ["core/", "conn/"],
    "exporter": ["core/"],
    # exporter/span_attrs.h: what a span is called and which attributes it has is decided once, for spans and metrics.
    "pipeline": ["core/", "sampler/", "exporter/exporter.h", "exporter/span_attrs.h",
                 # What pipeline/jaeger_remote.c asks with.
                 "exporter/endpoint.h", "exporter/http_post.h"],
    # Wiring: the only folder that knows all others.
    "preload": ["core/", "conn/", "hooks/", "proto/", "sampler/", "pipeline/", "exporter/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
SYSTEM = re.compile(r"^\s*#\s*include\s+<([^>]+)>", re.M)
NOT_PURE = {"time.h", "stdio.h", "stdlib.h", "unistd.h", "pthread.h", "sys/socket.h", "signal.h"}


def sources(folder):
    return sorted(p for p in (TOP / folder).rglob("*") if p.suffix in (".c", ".h", ".def"))


def includes(path):
    return INCLUDE.findall(path.read_text())


def ours(include):
    return include.split("/")[0] in FOLDERS


def breaches(folder, path):
    """The includes of a file that its folder may not have."""
    allowed = ALLOWED[folder] + [folder + "/"]
    return [i for i in includes(path) if ours(i) and not any(i == a or (a.endswith("/") and i.startswith(a))
                                                              for a in allowed)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_includes_only_what_it_may(folder):
    assert sources(folder)
    bad = {str(p.relative_to(TOP)): b for p in sources(folder) if (b := breaches(folder, p))}
    assert not bad


@pytest.mark.parametrize("folder", FOLDERS)
def test_headers_of_ours_are_named_by_their_folder(folder):
    bare = {str(p.relative_to(TOP)): [i for i in includes(p) if not ours(i) and (p.parent / i).exists()]
            for p in sources(folder)}
    assert not {p: b for p, b in bare.items() if b}


def test_a_hook_file_has_no_third_header_of_conn():
    conn = {p.name: [i for i in includes(p) if i.startswith("conn/")] for p in sources("hooks")}
    assert not {name: found for name, found in conn.items() if len(found) > 2}


def test_parsers_have_no_clock_heap_or_descriptors():
    # gen_*.c run when the library is built and are no part of it.
    found = {p.name: sorted(NOT_PURE & set(SYSTEM.findall(p.read_text()))) for p in sources("proto")
             if not p.name.startswith("gen_")}
    assert not {name: bad for name, bad in found.items() if bad}


@pytest.mark.parametrize("folder, include, wrong", [
    ("core", "conn/conn.h", True), ("conn", "pipeline/drain.h", True), ("conn", "core/ring.h", False),
    ("conn", "sampler/keep.h", True), ("pipeline", "exporter/otlp_pb.h", True), ("pipeline", "conn/conn.h", True),
    ("pipeline", "exporter/exporter.h", False), ("proto", "sampler/sampler.h", True),
    ("exporter", "pipeline/pipeline.h", True), ("hooks", "proto/http1.h", True), ("hooks", "conn/conn.h", False),
])
def test_the_check_sees_a_breach(tmp_path, folder, include, wrong):
    path = tmp_path / "x.c"
    path.write_text(f'#include <stdio.h>\n#include "{include}"\n')
    assert bool(breaches(folder, path)) == wrong


def draw():
    table = defaultdict(set)
    for folder in FOLDERS:
        for path in sources(folder):
            table[folder] |= {i.split("/")[0] for i in includes(path) if ours(i)} - {folder}
    for folder in FOLDERS:
        print(f"{folder:<9} -> {' '.join(f for f in FOLDERS if f in table[folder])}")


if __name__ == "__main__":
    draw()
