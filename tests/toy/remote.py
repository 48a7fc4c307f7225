"""A source whose one file is on a web server; where it is read is of no interest here."""

import io
import zipfile
from hashlib import sha256
from pathlib import Path

from factory.connectors import download as fetching
from factory.connectors.download import Archive, Published

PARTS = b"part,force_kn\n1,300\n"


def _packed() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("parts.csv", PARTS)
    return packed.getvalue()


PACKED = _packed()


class RemoteParts:
    """Parts in the folder `presses` of the data folder, from a server's `/parts.zip`."""

    def __init__(self, data_folder: Path, address: str) -> None:
        self.folder = data_folder / "presses"
        self.address = address

    def lacking(self) -> list[str]:
        """Return what is missing."""
        return fetching.lacking(self.published())

    def published(self) -> Published:
        """Return the one file."""
        archive = Archive(
            address=f"{self.address}/parts.zip",
            digest=sha256(PACKED).hexdigest(),
            page="https://example.com/parts",
            at_most_bytes=10_000,
        )
        files = {"parts.csv": sha256(PARTS).hexdigest()}
        return Published(line="presses", folder=self.folder, files=files, archive=archive)
