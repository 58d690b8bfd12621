"""A login by ssh: sshd forks, gives up root, locks itself in with seccomp; files by scp and sftp."""
import os
import socket
from pathlib import Path

import pytest

from kit import CONTEXT, both, command, kill, library_for_all, listen, need, need_root, wait_until

CONFIG = """Port @PORT@
ListenAddress 127.0.0.1
HostKey @FOLDER@/../host_key
AuthorizedKeysFile @FOLDER@/../key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
AcceptEnv LANG
"""


def keys(folder):
    for name in ("host_key", "key"):
        if not (folder / name).exists():
            command(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", folder / name)


# ssh and sshd are on the list of programs that are left alone; taken off it, they must work as well.
@pytest.mark.parametrize("excluded", [True, False], ids=["left-alone", "observed"])
def test_login_and_files(ways, folder, excluded):
    need_root()
    keys(folder)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    library = library_for_all(folder)
    (folder / "big").write_bytes(os.urandom(3000000))

    def scenario(way):
        port = way.port()
        config = way.write("sshd_config", CONFIG, port=port)
        settings = {"LD_PRELOAD": str(library)} if way.ours else {}
        if not excluded:
            settings["OTELAUTO_EXCLUDE"] = "!ssh,!sshd,!sshd-session"
        options = ["-F", "none", "-i", folder / "key", "-o", f"UserKnownHostsFile={way.folder}/known", "-o",
                   "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
        ssh = [need("ssh"), *options, "-p", port, "root@127.0.0.1"]

        def run(argv, **more):
            return way.run(argv, settings=settings, **more)
        with way.program([need("sshd"), "-D", "-e", "-f", config], settings=settings) as program:
            tree = listen(program, port)
            results = [run([*ssh, "echo in; echo err >&2; id -un; env | grep -c LD_PRELOAD; exit 3"]),
                       run([*ssh, "cat"], stdin_text="through\n" * 20000),
                       run([*ssh, "head -c 2000000 /dev/zero | sha256sum"])]
            scp = [need("scp"), *options, "-P", port]
            results.append(run([*scp, folder / "big", f"root@127.0.0.1:{way.folder}/copied"]))
            results.append(run([*scp, "-O", f"root@127.0.0.1:{way.folder}/copied", way.folder / "back"]))
            same = (way.folder / "back").read_bytes() == (folder / "big").read_bytes()
            wrong_key = run([need("ssh"), *options[:2], *options[4:], "-o", "IdentitiesOnly=yes", "-i", "/nowhere", "-p", port,
                                 "root@127.0.0.1", "true"])
            results.append(wrong_key[0])
            results.append(forwarded(way, ssh, settings))
            wait_until(lambda: not tree.workers(), what="the sessions to end")
            way.same_fds(tree)
            result = program.stop()
            refused = [line for line in result.stderr.splitlines() if "fatal" in line or "error:" in line]
            assert not way.ours or not excluded or not way.collector.spans
            return results, same, result.status, len(refused)
    both(ways, scenario)


def forwarded(way, ssh, settings):
    """Bytes through a forwarded port: HTTP, so sshd's own connection carries our header when it is observed."""
    target, local = way.port(), way.port()
    server = socket.create_server(("127.0.0.1", target))
    server.settimeout(20)
    with way.program([*ssh[:-1], "-N", "-L", f"{local}:127.0.0.1:{target}", ssh[-1]], settings=settings) as tunnel:
        listen(tunnel, local)
        with server, socket.create_connection(("127.0.0.1", local), 20) as near:
            near.sendall(b"POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
            near.shutdown(socket.SHUT_WR)
            far, _ = server.accept()
            with far:
                got = b""
                while data := far.recv(65536):
                    got += data
        kill(tunnel.pid)
        tunnel.wait()
    return CONTEXT.sub(b"", got)
