"""A service on this machine that speaks HTTP/1.1 over TLS, with a certificate of an authority of its own."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Asked:
    """A request as it came; the names of headers are in small letters."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What is answered; `cut` closes the connection in the middle, `slow_s` comes before it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    slow_s: float = 0.0
    drop: bool = False
    """The connection is closed before a word is said."""


@dataclass
class Host:
    """A service that runs: where it is, and what it was asked."""

    address: str
    asked: list[Asked] = field(default_factory=list)


@dataclass(frozen=True)
class Certificates:
    """Files of an authority and of a certificate for 127.0.0.1 and `localhost`, signed by it."""

    authority: Path
    certificate: Path
    key: Path


@cache
def certificates(name: str = "Test CA") -> Certificates:
    """An authority of this name, made once for all tests of a process."""
    folder = Path(mkdtemp(prefix="test-ca-"))
    now = datetime.now(UTC)

    def signed(subject: str, key: Any, issuer: str, by: Any, *extensions: Any) -> bytes:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (subject, issuer)]
        built = x509.CertificateBuilder(
            issuer_name=names[1],
            subject_name=names[0],
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + timedelta(days=1),
        )
        for extension in extensions:
            built = built.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return built.sign(by, hashes.SHA256()).public_bytes(Encoding.PEM)

    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    files = Certificates(folder / "authority.pem", folder / "cert.pem", folder / "key.pem")
    by = x509.SubjectKeyIdentifier.from_public_key(root.public_key())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    files.authority.write_bytes(signed(name, root, name, root, x509.BasicConstraints(True, None), by, usage))
    issued = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(by)
    files.certificate.write_bytes(
        signed("service", leaf, name, root, names, x509.BasicConstraints(False, None), issued)
    )
    files.key.write_bytes(leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


class _Handler(BaseHTTPRequestHandler):
    """Gives the answers of its server's host."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves in one piece
    server: "_Server"

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, parts.path, parts.query, headers, body)
        self.server.host.asked.append(asked)
        answer = self.server.answer(asked)
        if answer.slow_s:
            time.sleep(answer.slow_s)
        self.close_connection = self.close_connection or answer.drop or answer.cut
        if not answer.drop:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            for line in value.split("\n"):
                self.send_header(name, line)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_MERGE = do_HEAD = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    host: Host
    answer: Callable[[Asked], Answer]

    def handle_error(self, *_: object) -> None:  # a client that does not trust the certificate goes away
        pass


@contextmanager
def serving(
    answer: Callable[[Asked], Answer], *, tls: Certificates | None = None, plain: bool = False
) -> Iterator[Host]:
    """A service for the block, on a port of its own; what it answers is asked for each request, in threads."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if not plain:
        files = tls or certificates()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    host = Host(f"http{'' if plain else 's'}://127.0.0.1:{server.server_port}")
    server.host, server.answer = host, answer
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
