import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """A CA, a server's certificate for 127.0.0.1 and localhost, a client's, and another CA that signed nothing."""
    path = tmp_path_factory.mktemp("pki")
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-addext", "keyUsage=critical,keyCertSign", "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=path)
    for name, extensions in [
        ("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        ("wrong", "subjectAltName=DNS:elsewhere.example,IP:127.0.0.2,IP:::1,DNS:127.0.0.3"),
        ("client", "extendedKeyUsage=clientAuth"),
    ]:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if name == "server" else ["-newkey", "rsa:2048"]
        openssl("req", *key, "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=path)
        (path / "ext").write_text(extensions)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
                "-extfile", "ext", "-out", f"{name}.pem", cwd=path)
    return path
