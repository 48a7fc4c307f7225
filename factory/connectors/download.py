"""Files of a source that lie at a public address: which are missing, and how to download them.

In: a source's list of files, each with the SHA-256 digest it must have. Out: those files in their folder. A file is
written under a temporary name, verified, and only then renamed: it is complete or absent. An interrupted download
leaves nothing behind and starts from the beginning.

`pooch` downloads the archive: temporary name, digest, another try. This module adds what `pooch` leaves to its caller:
a limit of size, which redirects are followed, and the check of each file in the zip against its own digest.
"""

import gzip
import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from factory.errors import FetchError
from factory.errors.masking import keep_secret, masked_cause
from factory.storage.atomic_files import sync_folder, temporary_name

if TYPE_CHECKING:
    from requests import Response

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60.0
RETRIES = 1
"""More tries, a second later, after a failed connection, an answer 5xx or a different digest."""
SECURE = "https://"
_LATER = (408, 429)
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError)
"""The errors of reading and writing; those of `requests` are OSErrors."""

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip at a public address."""

    address: str
    digest: str
    """SHA-256 of the zip, in hexadecimal."""
    page: str
    """Where a person finds the zip with a browser."""
    within: str = ""
    """The name of the zip inside the zip that holds the files, if they are not in the outer one."""
    at_most_bytes: int
    """The limit of size of the zip, and of any file in it."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Files that belong in a folder, and the archive that holds them."""

    line: str
    folder: Path
    files: Mapping[str, str]
    """Name → SHA-256 of the content, in hexadecimal; a file may also lie in the folder packed, as `<name>.gz`."""
    archive: Archive


def read_digests(place: Path) -> dict[str, str]:
    """Return name → digest from a file that `sha256sum` wrote; lines that begin with `#` are remarks."""
    lines = (line.split() for line in place.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {name.lstrip("*"): digest for digest, name in filter(None, lines)}


def present(folder: Path, name: str) -> Path | None:
    """Return where a file lies in a folder, plain or packed as `<name>.gz`; None if it is not there."""
    return next((place for place in (folder / name, folder / f"{name}.gz") if place.is_file()), None)


def unpacked(place: Path) -> BufferedIOBase:
    """Open a file for reading, through gzip if its name ends in `.gz`."""
    return gzip.GzipFile(place) if place.suffix == ".gz" else place.open("rb")


def lacking(published: Published) -> list[str]:
    """Return a sentence on every file that is missing, cannot be read, or has another content than was published."""
    faults = ((name, _fault(published.folder, name, digest)) for name, digest in published.files.items())
    return [f"{published.folder / name} {fault}" for name, fault in faults if fault]


def fetch(published: Published, report: Report) -> list[str]:
    """Bring every lacking file from its archive into its folder and return the names of those brought.

    A file with the right digest stays; one with another content is replaced. Raises FetchError, which says what a
    person can do by hand; no file is incomplete then.
    """
    folder, files = published.folder, published.files
    keep_secret(published.archive.address)
    wanted = {name: digest for name, digest in files.items() if _fault(folder, name, digest)}
    if not wanted:
        return []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _downloaded(published, report) as archive, _holding(archive, published) as packed:
            for name, digest in wanted.items():
                _unpack(packed, name, digest, published)
                report(f"{name}: verified, in {folder}")
        sync_folder(folder)
    except _BROKEN as error:
        raise FetchError(
            f"{published.archive.address} could not be fetched: {error}; {by_hand(published)}"
        ) from masked_cause(error)
    return list(wanted)


def by_hand(published: Published) -> str:
    """Return instructions for a machine without a network: which files, from which page, into which folder."""
    archive = published.archive
    inner = f"the {archive.within} inside it" if archive.within else "it"
    digests = "".join(f"\n  {digest}  {name}" for name, digest in published.files.items())
    return (
        f"where there is no network, get {archive.address} (or see {archive.page}) on a machine that has one, unpack "
        f"these files from {inner} into {published.folder}, and compare their SHA-256, as "
        f"`factory fetch {published.line}` and `factory doctor` then do:{digests}"
    )


def _fault(folder: Path, name: str, digest: str) -> str:
    place = present(folder, name)
    if place is None:
        return "is missing"
    try:
        actual = _digest(place)
    except _BROKEN as error:
        return f"cannot be read: {error}"
    return "" if actual == digest else f"has SHA-256 {actual[:12]}…, not the published {digest[:12]}…"


def _digest(place: Path) -> str:
    with unpacked(place) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _downloaded(published: Published, report: Report) -> Iterator[Path]:
    """Give the verified archive for the block, in a folder with a temporary name that is gone afterwards."""
    archive, folder = published.archive, published.folder / temporary_name("archive")
    report(f"downloading {archive.address}")
    try:
        place = _verified(archive, folder)
        report(f"downloaded {place.stat().st_size / 1e6:.1f} MB, as published")
        yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _verified(archive: Archive, folder: Path) -> Path:
    """Download an archive into a new folder; raises FetchError where its digest differs, OSError on a failure."""
    import pooch  # imported here: every line imports its source, and few download

    pooch.get_logger().setLevel("ERROR")  # the caller reports progress
    registry, urls = {"archive.zip": f"sha256:{archive.digest}"}, {"archive.zip": archive.address}
    archives = pooch.create(folder, base_url="", registry=registry, urls=urls, retry_if_failed=RETRIES)
    try:
        return Path(archives.fetch("archive.zip", downloader=_downloader(archive.at_most_bytes)))
    except OSError:  # some errors of `requests` are ValueErrors too
        raise
    except ValueError as error:  # so pooch says that the digest differs
        raise FetchError(
            f"{archive.address} is not the {archive.digest} it was published as; nothing was kept; ask at "
            f"{archive.page} whether it was published anew: {error}"
        ) from error


def _downloader(limit_bytes: int) -> Callable[[str, str, object], None]:
    """Return a downloader for pooch: it stops beyond the limit, and follows redirects as `require_web` says."""

    def download(address: str, place: str, _: object) -> None:
        import requests

        require_web(address)
        headers = {"Accept-Encoding": "identity"}  # so that lengths are those of the file
        with requests.get(
            address, stream=True, timeout=TIMEOUT_S, headers=headers, hooks={"response": require_web_redirect}
        ) as answer:
            if (
                400 <= answer.status_code < 500 and answer.status_code not in _LATER
            ):  # another try would get the same answer
                raise OSError(f"it answers {answer.status_code} {answer.reason}")
            answer.raise_for_status()
            _write(answer, Path(place), limit_bytes)

    return download


def _write(answer: "Response", place: Path, limit_bytes: int) -> None:
    import requests

    with place.open("wb") as file:
        try:
            for chunk in answer.iter_content(CHUNK_BYTES):
                _require_size(file.tell() + len(chunk), limit_bytes, answer.url)
                file.write(chunk)
        except requests.exceptions.ChunkedEncodingError as error:
            announced = answer.headers.get("Content-Length", "unknown")
            raise requests.ConnectionError(f"{answer.url} ended after {file.tell()} of {announced} bytes") from error


def require_web(address: str, origin: str = "") -> None:
    """Raise FetchError unless an address is a web address; after a redirect, an encrypted one if the origin was."""
    allowed = (SECURE,) if origin.startswith(SECURE) else (SECURE, "http://")
    if address.lower().startswith(allowed):
        return
    if origin:
        raise FetchError(f"{origin} redirects to {address}, which is refused: only {' and '.join(allowed)}")
    raise FetchError(f"{address}: unknown url type: {urlsplit(address).scheme}; give one of {' and '.join(allowed)}")


def require_web_redirect(answer: "Response", **_: Any) -> None:
    """Raise FetchError where an answer redirects to no web address, or from an encrypted one to one that is not."""
    if answer.is_redirect:
        require_web(urljoin(answer.url, answer.headers["Location"]), answer.url)


@contextmanager
def _holding(archive: Path, published: Published) -> Iterator[zipfile.ZipFile]:
    """Open the zip that holds the files, the archive itself or one inside it."""
    within = published.archive.within
    with zipfile.ZipFile(archive) as outer:
        if not within:
            yield outer
            return
        place = published.folder / temporary_name(within)
        try:
            with outer.open(_member(outer, within)) as packed:
                _copied(packed, place, published.archive.at_most_bytes)
            with zipfile.ZipFile(place) as inner:
                yield inner
        finally:
            place.unlink(missing_ok=True)


def _member(packed: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the one member of that file name, in any folder of the zip; its path is never used for writing."""
    members = [info for info in packed.infolist() if not info.is_dir() and info.filename.split("/")[-1] == name]
    if len(members) != 1:
        raise FetchError(f"the archive has {len(members)} files named {name} and should have one; see its page")
    return members[0]


def _unpack(packed: zipfile.ZipFile, name: str, digest: str, published: Published) -> None:
    place = published.folder / temporary_name(name)
    try:
        with packed.open(_member(packed, name)) as member:
            actual = _copied(member, place, published.archive.at_most_bytes)
        if actual != digest:
            raise FetchError(
                f"{name} has SHA-256 {actual}, not the {digest} it was published with; nothing was kept; "
                f"ask at {published.archive.page} whether it was published anew"
            )
        place.replace(published.folder / name)
    finally:
        place.unlink(missing_ok=True)


def _copied(source: IO[bytes], place: Path, at_most: int) -> str:
    """Write a stream to a new file on the disk, and return its SHA-256."""
    digest, written = hashlib.sha256(), 0
    with place.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            written += len(chunk)
            _require_size(written, at_most, place.name)
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _require_size(size_bytes: int, at_most: int, what: str) -> None:
    if size_bytes > at_most:
        raise FetchError(f"{what} is larger than {at_most:,} bytes, the limit; nothing was kept")
