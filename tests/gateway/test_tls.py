"""TLS with a certificate of our own, over HTTP and gRPC."""

import socket
import ssl
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from factory.errors import TlsRefused
from factory.gateway.endpoints.grpc.messages import CLASSES, SERVICE
from factory.gateway.http.tls import Tls
from factory.gateway.limits import Limits
from factory.gateway.processes.server import Server
from factory.gateway.settings import Settings
from tests.gateway.builders import Shop, onnx_model, question, running


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.release(onnx_model())
    return made


@pytest.fixture
def tls(tmp_path):
    """A certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def test_over_tls_rows_are_answered_and_plain_text_is_not(shop, tls):
    trusted = ssl.create_default_context(cafile=str(tls.certificate))
    with running(shop, tls=tls) as server:
        with httpx.Client(base_url=f"https://127.0.0.1:{server.port}", verify=trusted) as client:
            assert client.post("/v2/models/toy.UA/infer", json=question([[1, 2, 3]])).status_code == 200
            too_large = client.post("/v2/models/toy.UA/infer", content=b" " * (17 * 2**20))
            assert too_large.status_code == 413
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{server.port}/v2/health/live")


def test_handshakes_that_never_end_are_ended_and_hold_up_nobody(shop, tls):
    trusted = ssl.create_default_context(cafile=str(tls.certificate))
    with running(shop, tls=tls, limits=Limits(request_s=1.0)) as server, ExitStack() as opened:
        half_open = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60)) for _ in range(50)
        ]
        with httpx.Client(base_url=f"https://127.0.0.1:{server.port}", verify=trusted) as client:
            assert client.get("/v2/health/live").status_code == 200
            for connection in half_open:
                with suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
            assert client.get("/v2/health/live").status_code == 200


def test_grpc_speaks_tls_with_the_same_certificate(shop, tls):
    credentials = grpc.ssl_channel_credentials(tls.certificate.read_bytes())
    asks, answers = CLASSES["ServerLiveRequest"], CLASSES["ServerLiveResponse"]
    with (
        running(shop, tls=tls, grpc_port=0) as server,
        grpc.secure_channel(f"127.0.0.1:{server.grpc_port}", credentials) as channel,
    ):
        call = channel.unary_unary(f"/{SERVICE}/ServerLive", asks.SerializeToString, answers.FromString)
        assert call(asks(), timeout=5).live


def test_a_certificate_that_cannot_be_used_is_told_before_anything_listens(shop, tls):
    tls.key.write_text("nonsense")
    with pytest.raises(TlsRefused, match=r"key\.pem"):
        Server(shop.home / "models", shop.public, Settings(tls=tls))
