"""TLS, where the gateway itself has the certificate."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from factory.errors import TlsRefused


@dataclass(frozen=True, kw_only=True)
class Tls:
    """A certificate, with its chain, and its private key: two PEM files, read once at the start."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what a listener needs, TLS 1.2 or newer; raises TlsRefused where the files do not fit."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise TlsRefused(
                f"certificate {self.certificate} with key {self.key} cannot be used: {error}; give two PEM files"
            ) from error
        return context

    def pair(self) -> tuple[bytes, bytes]:
        """Return the key's and the certificate's content."""
        return self.key.read_bytes(), self.certificate.read_bytes()
