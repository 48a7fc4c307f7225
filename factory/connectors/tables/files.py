"""The files that a table lies in, opened as what is packed in them; and what is wrong with one, as an exception.

    orders.csv                  a file
    orders.csv.gz, .zst, .bz2, .xz, .zip   the same, packed; a zip holds one file
    exports.zip!orders.csv      one file of a zip that holds many

How a file is packed is seen from its first bytes, not from its name.
"""

import bz2
import gzip
import lzma
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from factory.connectors.tables import remote
from factory.connectors.tables.reader import DamagedError
from factory.errors.masking import masked

PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
MEMBER = "!"
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
"""What opening and reading a packed file raises."""
_MOMENT_S = 2.0
"""How coarse times of files may be, on any file system."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a table."""

    at: str
    """Its path, or its address."""
    member: str = ""
    """The file inside a zip, or the sheet of a workbook; empty where it holds one, or is none."""
    name: str
    """What the rows of the file are told by."""
    partition: Mapping[str, str | None] = field(default_factory=dict)
    """Columns that the names of its folders give values to, as in plant=Ulm/."""

    @property
    def path(self) -> Path:
        """Where it lies on this machine: a copy of what lies elsewhere. Raises DamagedError."""
        return remote.copied(self.at) if "://" in self.at else Path(self.at)

    def __str__(self) -> str:
        return f"{masked(self.at)}{MEMBER}{self.member}" if self.member else masked(self.at)


@contextmanager
def plain(file: File) -> Iterator[Path]:
    """Give a file for the block as one that is not packed; a workbook is a zip and stays one. Raises as `unpacked`."""
    path = file.path
    if path.suffix.lower() not in PACKED:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="factory-") as folder, unpacked(file) as stream:
        copy = Path(folder) / "plain"
        with copy.open("wb") as target:
            shutil.copyfileobj(stream, target, 1 << 20)
        yield copy


def state_of(files: Iterable[Path]) -> str:
    """Return a text that changes when one of some files does, by size and times; raises OSError.

    It is empty where one changed within the last moments: what is written next might then not show in its times.
    """
    stats = {str(path): path.stat() for path in files}
    if any(time.time() - max(stat.st_mtime, stat.st_ctime) < _MOMENT_S for stat in stats.values()):
        return ""
    return "; ".join(f"{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}" for path, stat in stats.items())


@contextmanager
def unpacked(file: File) -> Iterator[IO[bytes]]:
    """Open a file for reading what is in it. Raises DamagedError; reading raises what `UNREADABLE` names too."""
    with ExitStack() as stack:
        packed = stack.enter_context(file.path.open("rb"))
        packing = "zip" if file.member else _packing(packed.read(6))
        packed.seek(0)
        yield stack.enter_context(_unpacking(packed, packing, file)) if packing else packed


_SIGNS = {b"\x1f\x8b": "gz", b"(\xb5/\xfd": "zst", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip"}


def _packing(first: bytes) -> str:
    return next((packing for sign, packing in _SIGNS.items() if first.startswith(sign)), "")


def _unpacking(packed: IO[bytes], packing: str, file: File) -> IO[bytes]:
    if packing == "gz":
        return gzip.GzipFile(fileobj=packed)  # type: ignore[return-value]  # a binary stream in all but its type
    if packing == "bz2":
        return bz2.BZ2File(packed)
    if packing == "xz":
        return lzma.LZMAFile(packed)
    if packing == "zst":
        from backports import zstd

        return zstd.ZstdFile(packed)  # type: ignore[return-value]  # a binary stream in all but its type
    return _member(packed, file)


def _member(packed: IO[bytes], file: File) -> IO[bytes]:
    archive = zipfile.ZipFile(packed)
    names = _names(archive)
    if file.member not in (names if file.member else [""]):
        raise DamagedError(
            f"the zip has no file {file.member!r}; it has {_shown(names)}", "mend the name after the `!`"
        )
    if not file.member and len(names) != 1:
        raise DamagedError(
            f"the zip holds {len(names)} files: {_shown(names)}",
            f"name one, as in {file.path.name}{MEMBER}{names[0]}" if names else "export it again",
        )
    info = archive.getinfo(file.member or names[0])
    if info.flag_bits & 1:
        raise DamagedError("the zip has a password", "unpack it, or export it without one")
    return archive.open(info)


def members(path: Path) -> list[str]:
    """Return the names of the files in a zip; none where it is no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _names(archive)
    except UNREADABLE:
        return []


def _names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of a zip's files, but for what a Mac adds."""
    return [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]


def _shown(names: list[str]) -> str:
    return ", ".join(sorted(names)[:8]) + (" …" if len(names) > 8 else "") or "none"
