"""The command: what doctor says of programs made for it and of the machine's own, and what run hands over."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lib.certificates import node_shares_openssl
from lib.preload import BUILD, TOP

SERVER = r"""
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char buf[64];
	if (argc < 9)
		return 0;
	int s = socket(AF_INET, SOCK_STREAM, 0), c;
	listen(s, 1);
	c = accept(s, 0, 0);
	return (int)recv(c, buf, sizeof(buf), 0) + (int)send(c, buf, 1, 0);
}
"""
CALLER = "#include <sys/socket.h>\nint main(void) { return connect(0, 0, 0); }\n"
QUIET = "int main(void) { return 0; }\n"


class Box:
    """A folder with a copy of the command beside a library that does nothing."""

    def __init__(self, path):
        self.path = path
        shutil.copy(BUILD / "otelauto", path / "otelauto")
        self.library = path / "libotelauto.so"
        self.compile("libotelauto.so", "", "-shared", "-fPIC", "-nostdlib")

    def compile(self, name, source, *flags):
        out = self.path / name
        subprocess.run(["gcc", "-x", "c", "-", "-x", "none", "-o", str(out), *flags], input=source, text=True, check=True)
        return out

    def call(self, *args, env=None, command=None):
        """env: what is set beside a clean environment."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL", "LD_"))}
        return subprocess.run([str(command or self.path / "otelauto"), *map(str, args)], capture_output=True,
                              text=True, env={**clean, **(env or {})}, timeout=60)

    def doctor(self, program, env=None):
        done = self.call("doctor", "--json", program, env=env)
        report = json.loads(done.stdout)
        assert done.stderr == ""
        assert done.returncode == {"fine": 0, "partly": 1, "nothing": 2}[report["verdict"]]
        report["unseen"] = " / ".join(u["what"] + ": " + u["why"] for u in report["not_seen"])
        return report


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


# -- doctor: made programs --

def test_a_plain_server_will_be_seen(box):
    report = box.doctor(box.compile("shop", SERVER))
    assert report["verdict"] == "fine"
    assert report["calls"]["accept"] == ["accept"]
    assert report["calls"]["receive"] == ["recv"]
    assert report["calls"]["send"] == ["send"]
    assert not report["static"] and report["pie"] and report["language"] == "C or C++"
    assert report["interpreter"] == "/lib64/ld-linux-x86-64.so.2"
    assert report["glibc_needed"] and report["glibc_here"]
    assert ["answered" in s for s in report["seen"]] == [True]
    assert report["not_seen"] == report["blockers"] == []


def test_a_plain_client_will_be_seen(box):
    report = box.doctor(box.compile("caller", CALLER, "-no-pie"))
    assert report["verdict"] == "fine" and not report["pie"]
    assert ["made" in s for s in report["seen"]] == [True]


def test_a_program_without_connections_has_nothing_to_see(box):
    report = box.doctor(box.compile("quiet", QUIET))
    assert report["verdict"] == "nothing"
    assert "opens no connections" in report["blockers"][0]


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_a_static_program_cannot_be_seen(box, flag):
    report = box.doctor(box.compile("shop", SERVER, flag))
    assert report["verdict"] == "nothing" and report["static"]
    assert report["pie"] == (flag == "-static-pie")
    assert report["blockers"] == ["linked statically: no loader runs that could load the library"]


def test_a_program_for_musl_cannot_be_seen(box):
    report = box.doctor(box.compile("shop", SERVER, "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"))
    assert report["musl"] and "musl" in report["blockers"][0]


def test_an_unusual_loader_is_named(box):
    report = box.doctor(box.compile("shop", SERVER, "-Wl,--dynamic-linker=/opt/x/ld.so"))
    assert "/opt/x/ld.so" in " ".join(report["notes"])


def test_go_makes_its_own_system_calls_even_when_dynamic(box):
    info = r"\377 Go buildinf:\10\2" + r"\0" * 16 + r"\6go1.99"
    mark = f'__attribute__((section(".go.buildinfo"), used)) static const char m[] = "{info}";'
    report = box.doctor(box.compile("shop", mark + SERVER))
    assert report["verdict"] == "nothing" and not report["static"]
    assert report["language"] == "Go" and report["language_version"] == "go1.99"
    assert "without the C library, also when it is linked dynamically" in report["blockers"][0]


def test_a_real_go_program(box):
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.path.exists(go):
        pytest.skip("no Go here; the made one above stands for it")
    (box.path / "hello.go").write_text('package main\nimport ("net"; "fmt")\n'
                                       'func main() { _, e := net.Dial("tcp", "127.0.0.1:1"); fmt.Println(e) }\n')
    subprocess.run([go, "build", "-o", "hello", "hello.go"], cwd=box.path, check=True,
                   env={**os.environ, "GOFLAGS": "-mod=mod", "GOCACHE": str(box.path / "cache"),
                        "CGO_ENABLED": "0", "GO111MODULE": "off"})
    report = box.doctor(box.path / "hello")
    assert report["language"] == "Go" and report["language_version"].startswith("go1")
    assert report["static"] and report["verdict"] == "nothing"


def test_setuid_and_setgid_are_told(box):
    program = box.compile("shop", SERVER)
    program.chmod(0o4755)
    report = box.doctor(program)
    assert report["setuid"] and "setuid" in report["blockers"][0]
    program.chmod(0o2755)
    report = box.doctor(program)
    assert report["setgid"] and "setgid" in report["blockers"][0]


def test_file_capabilities_are_told(box):
    program = box.compile("shop", SERVER)
    subprocess.run(["/usr/sbin/setcap", "cap_net_bind_service=ep", str(program)], check=True)
    report = box.doctor(program)
    assert report["capabilities"] and "setcap" in report["blockers"][0]


def test_programs_of_other_machines_are_named(box):
    elf = bytearray(box.compile("shop", SERVER).read_bytes())
    for cls, machine, name in [(2, 183, "aarch64"), (1, 3, "32-bit x86"), (1, 40, "32-bit ARM"), (1, 62, "x32")]:
        elf[4], elf[18] = cls, machine
        other = box.path / "other"
        other.write_bytes(elf)
        other.chmod(0o755)
        assert name in box.doctor(other)["blockers"][0]


def test_libraries_are_searched_for_as_the_loader_does(box):
    """libssl through RUNPATH; libodbc behind a library that finds it by RPATH; libcassandra by LD_LIBRARY_PATH."""
    for folder in ("a", "b", "c"):
        (box.path / folder).mkdir()
    box.compile("a/libssl.so.3", "void ssl(void) {}", "-shared", "-fPIC", "-Wl,-soname,libssl.so.3")
    box.compile("b/libodbc.so.2", "void pq(void) {}", "-shared", "-fPIC", "-Wl,-soname,libodbc.so.2")
    box.compile("c/libcassandra.so.2", "void hi(void) {}", "-shared", "-fPIC", "-Wl,-soname,libcassandra.so.2")
    box.compile("a/libmid.so", "void pq(void); void mid(void) { pq(); }", "-shared", "-fPIC",
                f"{box.path}/b/libodbc.so.2", "-Wl,-soname,libmid.so", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../b")
    source = "void ssl(void); void mid(void); void hi(void);" + SERVER.replace("{", "{ ssl(); mid(); hi();", 1)
    program = box.compile("shop", source, f"{box.path}/a/libssl.so.3", f"{box.path}/a/libmid.so",
                          f"{box.path}/c/libcassandra.so.2", "-Wl,--enable-new-dtags,-rpath,${ORIGIN}/a",
                          "-Wl,--allow-shlib-undefined")
    report = box.doctor(program, env={"LD_LIBRARY_PATH": f"/nowhere:{box.path}/c"})
    assert report["tls"] == ["OpenSSL (libssl.so.3)"]
    assert sorted(report["databases"]) == ["Cassandra (libcassandra.so.2)", "ODBC (libodbc.so.2)"]
    assert report["verdict"] == "partly"
    assert "queries" in report["unseen"] and any("inside TLS" in s for s in report["seen"])
    report = box.doctor(program)
    assert report["databases"] == ["ODBC (libodbc.so.2)"]
    assert any("libcassandra.so.2" in n for n in report["notes"])


def test_calls_of_a_programs_libraries_count(box):
    box.compile("libnet.so", SERVER.replace("main", "serve"), "-shared", "-fPIC", "-Wl,-soname,libnet.so")
    report = box.doctor(box.compile("shop", "int serve(int, char **); int main(int n, char **a) { return serve(n, a); }",
                                    f"{box.path}/libnet.so", "-Wl,-rpath,$ORIGIN"))
    assert report["calls"]["accept"] == ["accept"] and report["verdict"] == "fine"


@pytest.mark.parametrize("soname, what", [("liburing.so.2", "io_uring"), ("libnghttp3.so.9", "HTTP/3"),
                                          ("libnss3.so", "NSS"), ("libodbc.so.2", "ODBC")])
def test_layers_that_are_not_read_are_named(box, soname, what):
    box.compile(soname, "void f(void) {}", "-shared", "-fPIC", f"-Wl,-soname,{soname}")
    report = box.doctor(box.compile("shop", "void f(void);" + SERVER.replace("{", "{ f();", 1),
                                    f"{box.path}/{soname}", "-Wl,-rpath,$ORIGIN"))
    assert report["verdict"] == "partly" and what in report["unseen"]


@pytest.mark.parametrize("soname, what", [("libssl.so.3", "OpenSSL"), ("libssl.so.1.1", "OpenSSL"), ("libgnutls.so.30", "GnuTLS"),
                                          ("libssl-6a9b88ec.so.3", "OpenSSL, bundled")])
def test_tls_libraries_that_are_hooked_are_seen(box, soname, what):
    box.compile(soname, "void f(void) {}", "-shared", "-fPIC", f"-Wl,-soname,{soname}")
    report = box.doctor(box.compile("shop", 'const char *mark = "OpenSSL 3.0.17";void f(void);' + SERVER.replace("{", "{ f();", 1),
                                    f"{box.path}/{soname}", "-Wl,-rpath,$ORIGIN"))
    assert report["verdict"] == "fine" and not report["tls_inside"]
    assert any("inside TLS" in s and f"{what} ({soname})" in s for s in report["seen"]), report["seen"]


@pytest.mark.parametrize("mark, name", [("third_party/boringssl BoringSSL", "BoringSSL"), ("OpenSSL 3.0.17 1 Jul 2025", "OpenSSL"),
                                        ("rustls", "rustls")])
def test_a_tls_library_inside_the_program_is_noticed(box, mark, name):
    report = box.doctor(box.compile("shop", f'const char *mark = "{mark}";' + SERVER))
    assert report["tls_inside"] and f"by {name}, which is in the program itself" in report["unseen"]


def test_boringssl_in_a_grpc_library_is_noticed(box):
    box.compile("libgrpc.so.29", 'const char *grpc_tls = "BoringSSL";void f(void) {}', "-shared", "-fPIC", "-Wl,-soname,libgrpc.so.29")
    report = box.doctor(box.compile("shop", "void f(void);" + SERVER.replace("{", "{ f();", 1), f"{box.path}/libgrpc.so.29",
                                    "-Wl,-rpath,$ORIGIN"))
    assert report["tls_inside"] and "BoringSSL" in report["unseen"] and "gRPC" in report["unseen"]


def test_an_exported_ssl_read_is_a_tls_library_inside(box):
    report = box.doctor(box.compile("shop", "void SSL_read(void) {}" + SERVER, "-rdynamic"))
    assert report["tls_inside"]


def test_rust_is_recognised(box):
    mark = 'const char *mark = "/rustc/90b35a623/library/std/src/net/tcp.rs";'
    assert box.doctor(box.compile("shop", mark + SERVER))["language"] == "Rust"


# -- doctor: from the command to the file --

def test_a_name_is_looked_up_in_path(box):
    program = box.compile("shop", SERVER)
    report = box.doctor("shop", env={"PATH": f"/nowhere:{box.path}"})
    assert report["file"] == str(program)


def test_a_script_is_its_interpreter(box):
    program = box.compile("shop", SERVER)
    for line in (f"#!{program} -x", f"#! {program}", "#!/usr/bin/env shop", "#!/usr/bin/env -S A=1 shop -v"):
        script = box.path / "script"
        script.write_text(line + "\n")
        script.chmod(0o755)
        report = box.doctor(script, env={"PATH": f"{box.path}:/usr/bin:/bin"})
        assert (report["script"], report["file"]) == (str(script), str(program)), line
        assert report["verdict"] == "fine"


def test_a_shell_script_is_told_to_be_one(box):
    script = box.path / "start"
    script.write_text("#!/bin/sh\nexec shop\n")
    script.chmod(0o755)
    assert any("shell script" in n for n in box.doctor(script)["notes"])


def test_what_cannot_be_run_is_said(box):
    script = box.path / "script"
    script.write_text("#!/no/such/interpreter\n")
    assert "not executable" in box.doctor(script)["blockers"][0]
    script.chmod(0o755)
    assert "interpreter" in box.doctor(script)["blockers"][0]
    script.write_text("just text\n")
    assert "not a program" in box.doctor(script)["blockers"][0]
    assert "no such program" in box.doctor(box.path / "nothing")["blockers"][0]
    assert "no such program" in box.doctor("no-such-name-anywhere")["blockers"][0]
    assert "is a library" in box.doctor(box.library)["blockers"][0]


def test_settings_that_keep_a_program_unseen_are_said(box):
    program = box.compile("shop", SERVER)
    for env, word in [({"OTELAUTO_EXCLUDE": "sh*"}, "OTELAUTO_EXCLUDE"), ({"OTELAUTO_INCLUDE": "x"}, "OTELAUTO_INCLUDE"),
                      ({"OTELAUTO_DISABLED": "1"}, "OTELAUTO_DISABLED"), ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK")]:
        report = box.doctor(program, env=env)
        assert report["verdict"] == "nothing" and word in report["blockers"][0]
    assert "built-in list" in box.doctor("bash")["blockers"][0]
    assert not box.doctor("bash", env={"OTELAUTO_EXCLUDE": "!bash"})["blockers"]


def test_a_library_too_new_for_the_c_library_here_is_said(box):
    box.compile("libc.so.6", "int gone(void) { return 0; }", "-shared", "-fPIC", "-nostdlib",
                "-Wl,-soname,libc.so.6", f"-Wl,--version-script={version_script(box.path)}")
    box.compile("libotelauto.so", "int gone(void); int f(void) { return gone(); }", "-shared", "-fPIC",
                "-nostdlib", f"{box.path}/libc.so.6")
    program = box.compile("shop", SERVER)
    (box.path / "libc.so.6").unlink()
    assert "needs glibc 2.99" in box.doctor(program)["blockers"][0]


def version_script(path):
    (path / "versions").write_text("GLIBC_2.99 { gone; };\n")
    return path / "versions"


def test_doctor_runs_nothing(box):
    program = box.compile("shop", '#include <stdio.h>\n' + SERVER.replace("if (argc", 'fopen("ran", "w"); if (argc'))
    subprocess.run([str(box.path / "otelauto"), "doctor", str(program)], cwd=box.path, check=True,
                   stdout=subprocess.DEVNULL)
    assert not (box.path / "ran").exists()


def test_a_damaged_file_does_not_harm(box):
    """Cut anywhere, or with any 8 bytes of its headers and tables overwritten."""
    whole = box.compile("shop", SERVER, "-s").read_bytes()
    broken = box.path / "broken"
    broken.touch(0o755)
    variants = [whole[:n] for n in range(0, len(whole), 997)]
    for at in list(range(16, 1024, 24)) + list(range(1024, len(whole), 1499)):
        for filler in (b"\xff" * 8, b"\x00" * 8, b"\xf8" + b"\xff" * 3 + b"\x7f" + b"\x00" * 3):
            variants.append(whole[:at] + filler + whole[at + 8:])
    for variant in variants:
        broken.write_bytes(variant)
        done = box.call("doctor", broken)
        assert done.returncode in (0, 1, 2), done
        assert done.stderr == ""


# -- doctor: programs of this machine --

@pytest.mark.parametrize("program, language, verdict, unseen", [
    ("/usr/sbin/nginx", "C or C++", "fine", ""),
    ("/usr/bin/python3.11", "Python", "fine", ""),
    ("java", "Java", "partly", "TLS is done in Java"),
    ("php", "PHP", "partly", "RTLD_DEEPBIND"),
    ("curl", "C or C++", "fine", ""),
    ("perl", "Perl", "fine", ""),
    ("redis-server", "C or C++", "fine", ""),
    ("git", "C or C++", "fine", ""),
])
def test_programs_of_this_machine(box, program, language, verdict, unseen):
    report = box.doctor(program)
    assert (report["language"], report["verdict"]) == (language, verdict)
    assert unseen in report["unseen"]
    assert not report["blockers"] and report["seen"]


def test_node_of_this_machine(box):
    shared = node_shares_openssl()
    report = box.doctor("node")
    assert (report["language"], report["verdict"]) == ("Node.js", "fine" if shared else "partly")
    assert ("inside the node program" in report["unseen"]) != shared
    assert not report["blockers"] and report["seen"]


@pytest.mark.parametrize("program, word", [("su", "setuid"), ("bash", "built-in"), ("gcc", "built-in")])
def test_programs_of_this_machine_that_are_left_alone(box, program, word):
    assert word in " ".join(box.doctor(program)["blockers"])


def test_the_text_says_the_same(box):
    done = box.call("doctor", "php")
    assert done.returncode == 1
    assert done.stdout.startswith("php: will be seen in part\n")
    for line in ("  tls        OpenSSL (libssl.so.3)", "inside TLS", "not seen", "    because: "):
        assert line in done.stdout


# -- run --

SHOW = """
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	static const char *const names[] = { "LD_PRELOAD", "OTEL_SERVICE_NAME", "OTEL_TRACES_EXPORTER",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_PROMETHEUS_PORT", "OTEL_METRICS_EXPORTER" };
	for (int i = 0; i < 6; i++)
		printf("%s=%s\\n", names[i], getenv(names[i]) ? getenv(names[i]) : "");
	for (int i = 1; i < argc; i++)
		printf("arg %s\\n", argv[i]);
	return 7;
}
"""


def shown(done):
    assert done.returncode == 7, done
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if not line.startswith("arg "))


def test_run_hands_over_settings_arguments_and_status(box):
    show = box.compile("show", SHOW)
    done = box.call("run", "--service", "shop", "--exporter=console", "--endpoint", "http://c:1",
                    "--metrics-port", "9999", "--no-metrics", "--", show, "--service", "x y", "--")
    assert shown(done) == {"LD_PRELOAD": str(box.library), "OTEL_SERVICE_NAME": "shop",
                           "OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
                           "OTEL_EXPORTER_PROMETHEUS_PORT": "9999", "OTEL_METRICS_EXPORTER": "none"}
    assert [l for l in done.stdout.splitlines() if l.startswith("arg")] == ["arg --service", "arg x y", "arg --"]


def test_run_without_options_changes_only_the_preload(box):
    done = box.call("run", box.compile("show", SHOW), "a", env={"OTEL_SERVICE_NAME": "mine"})
    values = shown(done)
    assert values.pop("LD_PRELOAD") == str(box.library)
    assert values.pop("OTEL_SERVICE_NAME") == "mine"
    assert set(values.values()) == {""}


def test_run_adds_to_a_preload_and_only_once(box):
    show = box.compile("show", SHOW)
    other = box.compile("libother.so", "", "-shared", "-fPIC", "-nostdlib")
    done = box.call("run", show, env={"LD_PRELOAD": str(other)})
    assert shown(done)["LD_PRELOAD"] == f"{other}:{box.library}"
    for before in (str(box.library), f"{other} {box.library}", f"{box.library}:{other}"):
        assert shown(box.call("run", show, env={"LD_PRELOAD": before}))["LD_PRELOAD"] == before


def test_run_finds_the_library_in_lib_beside_bin(box):
    show = box.compile("show", SHOW)
    for lib in ("lib", "lib/x86_64-linux-gnu", "lib64"):
        root = box.path / ("root-" + lib.replace("/", "-"))
        (root / "bin").mkdir(parents=True)
        (root / lib).mkdir(parents=True)
        shutil.copy(box.path / "otelauto", root / "bin/otelauto")
        shutil.copy(box.library, root / lib / "libotelauto.so")
        done = box.call("run", show, command=root / "bin/otelauto")
        assert shown(done)["LD_PRELOAD"] == str(root / lib / "libotelauto.so")


def test_run_says_why_nothing_will_be_seen_and_runs_all_the_same(box):
    done = box.call("run", box.compile("show", SHOW, "-static"))
    assert "will not be observed: linked statically" in done.stderr
    assert done.stderr.count("\n") == 1
    shown(done)
    assert box.call("run", box.compile("server", SERVER)).stderr == ""


def test_run_refuses_what_it_does_not_understand(box):
    show = box.compile("show", SHOW)
    for args, word in [(["--servise", "x", "--", show], "unknown option"), (["--service"], "needs a value"),
                       ([], "usage"), (["--"], "usage"), (["--no-metrics=1", show], "unknown option")]:
        done = box.call("run", *args)
        assert done.returncode == 64 and word in done.stderr and done.stdout == "", args


def test_run_has_the_statuses_of_a_shell_for_what_cannot_start(box):
    assert box.call("run", "--", box.path / "nothing").returncode == 127
    text = box.path / "text"
    text.write_text("x")
    assert box.call("run", "--", text).returncode == 126


def test_run_refuses_a_path_that_cannot_be_preloaded_or_is_missing(box):
    show = box.compile("show", SHOW)
    folder = box.path / "with blank"
    folder.mkdir()
    for name in ("otelauto", "libotelauto.so"):
        shutil.copy(box.path / name, folder / name)
    done = box.call("run", show, command=folder / "otelauto")
    assert done.returncode == 64 and "cannot preload" in done.stderr
    (folder / "libotelauto.so").unlink()
    done = box.call("run", show, command=folder / "otelauto")
    assert done.returncode == 64 and "libotelauto.so is neither" in done.stderr


# -- the rest --

def test_help_and_version(box):
    assert "otelauto run" in box.call("--help").stdout
    version = box.call("version")
    assert version.stdout.startswith("otelauto ") and str(box.library) in version.stdout
    nothing = box.call()
    assert nothing.returncode == 64 and "usage" in nothing.stderr
    assert "unknown command" in box.call("runn").stderr


def test_settings_lists_every_setting_of_the_table(box):
    names = [line.split('"')[1] for line in (TOP / "core/config.def").read_text().splitlines()
             if line.startswith("OA_SET_") and not line.startswith("OA_SET_GROUP")]
    text, markdown = box.call("settings").stdout, box.call("settings", "--markdown").stdout
    assert len(names) > 50
    for name in names:
        assert f"\n  {name}" in text and f"\n| `{name}` |" in markdown
    # Every row has its four cells.
    assert {line.replace(r"\|", "").count("|") for line in markdown.splitlines() if line.startswith("|")} == {5}


def gen_docs(box, top, *args):
    return subprocess.run([str(top / "scripts/gen-docs"), *args], capture_output=True, text=True,
                          env={**os.environ, "OTELAUTO_BIN": str(box.path / "otelauto")})


def test_the_written_tables_are_up_to_date(box):
    done = gen_docs(box, TOP, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_gen_docs_writes_between_the_markers_only_and_check_notices(box):
    top = box.path / "top"
    shutil.copytree(TOP / "scripts", top / "scripts")
    readme = top / "README.md"
    readme.write_text("# x\n<!-- settings:begin -->\nWAS HERE\n<!-- settings:end -->\nrest\n")
    assert gen_docs(box, top, "--check").returncode == 1
    assert "WAS HERE" in readme.read_text() and not (top / "docs").exists()
    assert gen_docs(box, top).returncode == 0
    text = readme.read_text()
    assert text.startswith("# x\n<!-- settings:begin -->\n") and text.endswith("<!-- settings:end -->\nrest\n")
    assert "WAS HERE" not in text and "`OTEL_SERVICE_NAME`" in text
    assert "`OTEL_SERVICE_NAME`" in (top / "docs/settings.md").read_text()
    assert gen_docs(box, top, "--check").returncode == 0
    readme.write_text("no markers")
    assert gen_docs(box, top).returncode == 1
