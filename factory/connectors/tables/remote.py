"""Files that lie elsewhere, at https:// or in an object store, as copies on this machine, each fetched once a version.

S3, Google and Azure are spoken to by Arrow, which takes credentials from the environment, as their own tools do. What
is fetched is as long as its server said, or refused.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from factory.connectors.tables.reader import DamagedError
from factory.errors import FetchError, SourceError
from factory.errors.masking import masked

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

MOST_BYTES = 64 << 30
"""A larger file is refused: it would be copied whole."""
_COPIES = "factory-copies-"
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0
_WEB = ("http://", "https://")
_fetching = threading.Lock()


def copied(address: str) -> Path:
    """Return a copy of what lies at an address, of its present version; raises DamagedError."""
    with _fetching:
        try:
            return _of_web(address) if address.startswith(_WEB) else _of_store(address)
        except (OSError, FetchError, ImportError) as error:
            raise _unreachable(error) from None


def listed(address: str) -> list[str]:
    """Return the names of the files below a folder of an object store; raises SourceError."""
    from pyarrow import fs

    try:
        store, path = _store(address)
        files = store.get_file_info(fs.FileSelector(path.rstrip("/"), recursive=True))
    except (OSError, ImportError) as error:
        fault = _unreachable(error)
        raise SourceError(f"{masked(address)} cannot be listed: {fault.why}; {fault.remedy}") from None
    names = [file.path.removeprefix(path.rstrip("/") + "/") for file in files if file.type == fs.FileType.File]
    return sorted(name for name in names if not any(part.startswith((".", "_")) for part in name.split("/")))


def has_folder(address: str, name: str) -> bool:
    """Whether a folder of an object store has one of this name in it; raises SourceError."""
    from pyarrow import fs

    try:
        store, path = _store(address)
        selector = fs.FileSelector(f"{path.rstrip('/')}/{name}", allow_not_found=True)
        return bool(store.get_file_info(selector))
    except (OSError, ImportError) as error:
        fault = _unreachable(error)
        raise SourceError(f"{masked(address)} cannot be read: {fault.why}; {fault.remedy}") from None


_REMEDIES = (
    ("403", "let the credentials in the environment read it"),
    ("access denied", "let the credentials in the environment read it"),
    ("401", "put credentials that may read it into the environment"),
    ("credentials", "put credentials that may read it into the environment"),
    ("404", "is the address right?"),
    ("not found", "is the address right?"),
    ("does not exist", "is the address right?"),
    ("region", "name its region in AWS_REGION"),
)


def _unreachable(error: BaseException) -> DamagedError:
    words = masked(" ".join(str(error).split())[:300]) or type(error).__name__
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in words.lower()), "is it up, and may it be reached?")
    return DamagedError(words, remedy)


@cache
def _folder() -> Path:
    """Return the folder of this process's copies, which only this user can read, and which is gone with it.

    Those of processes that were killed go now.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_COPIES}*"):
        process = left.name.removeprefix(_COPIES).partition("-")[0]
        if process.isdecimal() and not _lives(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_COPIES}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _copy(address: str, version: str, size: int | None, stream: "_Stream") -> Path:
    """Return the copy of a version: the one that is there, or what a stream gives."""
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    place = _folder() / name / hashlib.sha256(version.encode()).hexdigest()[:16] / _name(address)
    if version and place.is_file():
        return place
    if size is not None and size > MOST_BYTES:
        raise OSError(f"it has {size:,} bytes, more than the {MOST_BYTES:,} that are copied")
    shutil.rmtree(_folder() / name, ignore_errors=True)
    place.parent.mkdir(parents=True)
    part, fetched = place.with_name("part"), 0
    with part.open("wb") as file:
        while chunk := stream.read(_CHUNK_BYTES):
            fetched += len(chunk)
            if fetched > MOST_BYTES:
                raise OSError(f"it has more than the {MOST_BYTES:,} bytes that are copied")
            file.write(chunk)
    if size is not None and fetched != size:
        raise OSError(f"it ended after {fetched:,} of {size:,} bytes")
    return part.replace(place)


def _name(address: str) -> str:
    return Path(urlsplit(address).path).name or "file"


def _of_web(address: str) -> Path:
    import requests

    from factory.connectors.download import require_web_redirect

    with requests.get(
        address,
        stream=True,
        timeout=_TIMEOUT_S,
        headers={"Accept-Encoding": "identity"},  # so that lengths are those of the file
        hooks={"response": require_web_redirect},
    ) as answer:
        if not answer.ok:
            raise OSError(f"the server answers {answer.status_code} {answer.reason}")
        length = answer.headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else None
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified", "")
        return _copy(address, version and f"{version} {length}", size, _Answer(answer))


class _Stream(Protocol):
    """What is fetched, piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        ...


class _Answer:
    """The body of an answer, as a stream."""

    def __init__(self, answer: Any) -> None:
        self._raw = answer.raw

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        from urllib3.exceptions import HTTPError

        try:
            return bytes(self._raw.read(size))
        except HTTPError as error:
            raise OSError(f"it was cut short: {error}") from error


def _of_store(address: str) -> Path:
    from pyarrow import fs

    store, path = _store(address)
    info = store.get_file_info(path)
    if info.type != fs.FileType.File:
        raise OSError("there is no such file: not found")
    version = f"{info.size} {info.mtime_ns}"
    with store.open_input_stream(path) as stream:
        return _copy(address, version, info.size, stream)


def _store(address: str) -> tuple["FileSystem", str]:
    """Return the object store of an address and the path in it."""
    from pyarrow import fs

    scheme, _, rest = address.partition("://")
    if scheme in ("s3", "s3a"):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
        anonymous = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true")
        return fs.S3FileSystem(endpoint_override=endpoint, region=region, anonymous=anonymous), rest
    if scheme in ("gs", "gcs"):
        return fs.GcsFileSystem(), rest
    if scheme in ("az", "abfs", "abfss"):
        account = os.environ.get("AZURE_STORAGE_ACCOUNT") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account:
            raise OSError("the environment variable AZURE_STORAGE_ACCOUNT is not set: no credentials")
        return fs.AzureFileSystem(account_name=account, account_key=os.environ.get("AZURE_STORAGE_KEY")), rest
    raise OSError(f"{scheme}:// is not read; https://, s3://, gs:// and az:// are")
