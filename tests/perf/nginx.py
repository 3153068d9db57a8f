"""nginx for the benchmark: as the proxy that does nothing, and as the end of TLS and HTTP/2 before the fake upstream.

Only texts of configuration and throw-away certificates; `stand.py` starts the processes.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=1)
ADDRESS = ipaddress.ip_address("127.0.0.1")


def find_program() -> str | None:
    """Return where nginx is; also where distributions put it, out of the way of people who are not root."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which("nginx", path=places)


def version() -> str:
    """Return what nginx calls itself."""
    program = find_program()
    if program is None:
        return "no nginx"
    told = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10).stderr
    return told.strip().rpartition(": ")[2]


def has_http2() -> bool:
    """Tell whether nginx is installed and can speak HTTP/2 over TLS."""
    program = find_program()
    if program is None:
        return False
    told = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=10).stderr
    return "http_v2_module" in told and "http_ssl_module" in told


def configuration(folder: Path, upstream_port: int, servers: str, open_files: int) -> str:
    """Return a whole configuration: one process, no buffering, kept connections, no logs."""
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections {min(open_files, 16_384)}; }}
http {{
{temporary}
  access_log off;
  tcp_nodelay on;
  client_max_body_size 0;
  client_body_buffer_size 64k;
  keepalive_requests 1000000;
  upstream fake {{ server 127.0.0.1:{upstream_port}; keepalive 2048; keepalive_requests 1000000; }}
{servers}}}
"""


def plain_server(port: int) -> str:
    """Return a server that passes everything on."""
    return f"  server {{ listen 127.0.0.1:{port} backlog=4096; {_PASS_ON} }}\n"


def tls_server(port: int, folder: Path) -> str:
    """Return the same behind TLS, with HTTP/2 for those who offer it."""
    return (
        f"  server {{ listen 127.0.0.1:{port} ssl http2 backlog=4096; ssl_certificate {folder}/server.pem; "
        f"ssl_certificate_key {folder}/server.key; http2_max_concurrent_streams 4096; {_PASS_ON} }}\n"
    )


_PASS_ON = (
    'location / { proxy_pass http://fake; proxy_http_version 1.1; proxy_set_header Connection ""; '
    "proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300s; }"
)


def write_certificates(folder: Path) -> Path:
    """Write `server.pem` and `server.key` for 127.0.0.1, and return the authority that signed them; good for a day."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name, server_name = _name("perf authority"), _name("127.0.0.1")
    authority = (
        _draft(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        _draft(server_name, authority_name, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ADDRESS)]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    (folder / "server.key").write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "authority.pem"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _draft(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LIFETIME)
        .not_valid_after(now + LIFETIME)
    )
