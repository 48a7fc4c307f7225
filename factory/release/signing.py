"""The release key: who may say what a site serves. Ed25519; the gateway needs the public half alone.

A message is plain JSON; it is signed in its canonical form, with sorted keys and no spaces, so that the same content
always has the same signature (RFC 8032 signatures are deterministic).
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from factory.errors import ModelRefused, ReleaseRefused
from factory.storage.home import PUBLIC_KEY, RELEASE_KEY


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """Return the key in the folder, made on first use; of several processes that make it at once, one wins.

    The private half is readable by its owner alone. Raises ReleaseRefused when the file is not such a key.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / RELEASE_KEY
    if not path.exists():
        _create(path, Ed25519PrivateKey.generate())
    key = _loaded_private(path)
    _write_public(folder / PUBLIC_KEY, key.public_key())
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key in a PEM file; raises ModelRefused when there is none."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ModelRefused(
            f"no release key at {path} ({error}); without it no model can be trusted: release one, or copy the key"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ModelRefused(f"{path} holds another kind of key; the release key is Ed25519")
    return key


def sign(message: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    """Return the signature of a message as hexadecimal digits."""
    return key.sign(_canonical(message)).hex()


def verify(message: Mapping[str, Any], signature: str, key: Ed25519PublicKey, what: str) -> None:
    """Raise ModelRefused, naming `what`, unless the signature is the key's for exactly this message."""
    try:
        key.verify(bytes.fromhex(signature), _canonical(message))
    except (InvalidSignature, ValueError) as error:
        raise ModelRefused(
            f"{what} is not signed by this factory's release key: somebody changed it, or the reader has another key; "
            "release the model again"
        ) from error


class Signed:
    """What one owner of the key vouches for as a whole: a frozen dataclass of plain JSON types with a `signature`."""

    signature: str

    @property
    def named(self) -> str:
        """What it is, in the error that says that nobody signed it."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]

    def signed(self, key: Ed25519PrivateKey) -> Self:
        """Return the same with the key's signature over everything else in it."""
        return replace(self, signature=sign(self._signed_part(), key))  # type: ignore[type-var]

    def require_signature(self, key: Ed25519PublicKey) -> None:
        """Raise ModelRefused unless the key's owner signed exactly this."""
        verify(self._signed_part(), self.signature, key, self.named)

    def _signed_part(self) -> dict[str, Any]:
        return {name: value for name, value in self.to_dict().items() if name != "signature"}


def _canonical(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _create(path: Path, key: Ed25519PrivateKey) -> None:
    """Write the key whole and owner-only, unless another process has done so meanwhile."""
    draft = _draft(path)
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails where the name is taken: the first key stays
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _loaded_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ReleaseRefused(f"the release key {path} cannot be read ({error}); restore it from its backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseRefused(f"{path} holds another kind of key; the release key is Ed25519")
    return key


def _write_public(path: Path, key: Ed25519PublicKey) -> None:
    content = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if path.exists() and path.read_bytes() == content:
        return
    draft = _draft(path)
    draft.write_bytes(content)
    draft.replace(path)


def _draft(path: Path) -> Path:
    """Return a name beside the file that no other thread or process uses, nor one that died."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")
