"""Certificates made when they are needed, valid for two days and for this machine alone."""
import ssl
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def certificate():
    """(certificate, key): paths, readable by every user."""
    folder = Path(tempfile.mkdtemp(prefix="otelauto-certificate-"))
    folder.chmod(0o755)
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
                   check=True, capture_output=True)
    key.chmod(0o644)
    return cert, key


def server_context(**options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    for name, value in options.items():
        setattr(context, name, value)
    return context


def client_context():
    return ssl.create_default_context(cafile=str(certificate()[0]))


def node_shares_openssl():
    """Debian's node takes the system's OpenSSL, others have their own inside."""
    return subprocess.run(["node", "-p", "process.config.variables.node_shared_openssl"], capture_output=True, text=True,
                          check=True).stdout == "true\n"
