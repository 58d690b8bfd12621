"""The built library as the loader and the linker see it: nothing that is hooked is called from inside, and every hooked
name means one function of libc."""
import re
import subprocess
from pathlib import Path

import pytest

from lib.preload import LIBRARY

TOP = Path(__file__).resolve().parents[2]
BUILD = LIBRARY.parent

OURS = ["hooks", "conn", "core", "proto", "sampler", "pipeline", "exporter", "preload"]

# Hooked names of which libc has more than one version, and which ones a hook may stand for.
SEVERAL_VERSIONS = {}
# Hooked names that older releases of libc lack.
YOUNG = {"epoll_pwait2", "close_range", "closefrom"}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def hooked_names():
    text = re.sub(r"/\*.*?\*/", "", (TOP / "preload/exports.map").read_text(), flags=re.S)
    return set(re.findall(r"\b(\w+);", text)) - {"otelauto_loaded"}


def wrapped_names():
    return set(re.findall(r"^OA_WRAP\((\w+)\)", (TOP / "core/wraps.def").read_text(), re.M))


def libc_path():
    return re.search(r"libc\.so\.6 => (\S+)", run("ldd", "/bin/true")).group(1)


def objects(folder):
    found = sorted((BUILD / folder).glob(f"liboa_{folder}.a.p/*.o"))
    assert found, f"no objects of {folder}/ under {BUILD}"
    return found


def undefined(path):
    return {line.split()[-1] for line in run("nm", "-u", str(path)).splitlines() if line.strip().startswith("U ")}


def defined(path):
    return {line.split()[-1] for line in run("nm", "--defined-only", "-g", str(path)).splitlines()
            if len(line.split()) == 3}


def versions_in_libc():
    """Name -> versions, of all functions that libc offers for linking or to old programs."""
    versions = {}
    for line in run("readelf", "--dyn-syms", "-W", libc_path()).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] in ("FUNC", "IFUNC") and fields[6] != "UND":
            name, _, version = fields[7].replace("@@", "@").partition("@")
            versions.setdefault(name, set()).add(version)
    return versions


def check_elf(path):
    return subprocess.run([str(TOP / "scripts/check-elf"), str(path)], capture_output=True, text=True)


def test_the_library_keeps_every_rule(library):
    done = check_elf(library)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_catch_a_library_that_breaks_them(tmp_path):
    source = tmp_path / "bad.c"
    source.write_text('#include <stdlib.h>\nint read(void) { return 1; }\nchar *f(void) { return getenv("X"); }\n')
    bad = tmp_path / "libotelauto.so"
    run("cc", "-shared", "-fPIC", "-o", str(bad), str(source), "-Wl,--no-as-needed", "-lm")
    done = check_elf(bad)
    assert done.returncode != 0
    assert "FAIL  needs libc alone" in done.stdout
    assert "FAIL  calls nothing that is forbidden" in done.stdout
    assert "too many: f" in done.stdout


@pytest.mark.parametrize("folder", OURS)
def test_no_object_of_ours_calls_a_name_that_we_hook(library, folder):
    """It would come back to our own hook; those that the linker replaces by our own (--wrap) do not."""
    forbidden = hooked_names() - wrapped_names()
    calls = {p.name: sorted(undefined(p) & forbidden) for p in objects(folder)}
    assert not {name: c for name, c in calls.items() if c}


def test_hooked_names_are_defined_in_hooks_and_nowhere_else(library):
    elsewhere = {p.name: sorted(defined(p) & hooked_names()) for folder in OURS if folder != "hooks"
                 for p in objects(folder)}
    assert not {name: d for name, d in elsewhere.items() if d}
    assert hooked_names() <= set().union(*(defined(p) for p in objects("hooks")))


def test_every_hooked_name_has_one_version_in_libc():
    """A hook has no version: of two it could call only one, and some program means the other."""
    libc = versions_in_libc()
    assert {n: sorted(libc[n]) for n in hooked_names() if len(libc.get(n, ())) > 1} == SEVERAL_VERSIONS


def tls_names():
    text = "".join((TOP / "hooks" / name).read_text() for name in ("openssl.def", "gnutls.def", "sqlite.def", "rabbitmq.def", "rdkafka.def"))
    return set(re.findall(r"(?m)^OA_LIB_HOOK\((\w+),", text))


def test_every_hooked_name_is_one_of_libcs_or_of_a_tls_library():
    libc = versions_in_libc()
    assert {n for n in hooked_names() if n not in libc} <= YOUNG | tls_names()
    assert tls_names() <= hooked_names()


def test_names_that_create_a_tls_session_are_not_ours():
    """A program that looks whether OpenSSL is there by asking for these must get the truth."""
    assert not hooked_names() & {"SSL_new", "SSL_CTX_new", "SSL_library_init", "OPENSSL_init_ssl", "TLS_client_method",
                                 "gnutls_init", "gnutls_global_init"}


def test_every_replaced_name_has_its_replacement(library):
    ours = set().union(*(defined(p) for folder in ("core", "exporter") for p in objects(folder)))
    assert not {n for n in wrapped_names() if f"__wrap_{n}" not in ours}
