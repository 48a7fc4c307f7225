"""What a disk, a folder or a mount refuses, as one sentence: which folder, what is wrong, what is kept, what to do.

The operating system's error comes in, however deep in another library's: `sqlite3`, SQLAlchemy, MLflow, delta-rs and
Polars each wrap it in words of their own. A StorageError goes out.
"""

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.errors import FactoryError, StorageError
from factory.errors.masking import masked_cause

ROOM_BYTES = 2_000_000_000
"""What a home should have free: a run writes tables, models, pages and logs, and old versions stay beside new ones."""
KEPT = "what was finished before is kept and what is served goes on"
_ELSEWHERE = "or choose another home by --home"
_NO_ROOM_BYTES = 1_000_000
_NUMBER = re.compile(r"(?:os error|\[Errno) (\d+)")
_SAID: dict[str, int] = {
    "database or disk is full": errno.ENOSPC,
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "attempt to write a readonly database": errno.EROFS,
    "Read-only file system": errno.EROFS,
    "unable to open database file": errno.EACCES,
    "Permission denied": errno.EACCES,
    "disk I/O error": errno.EIO,
    "Not a directory": errno.ENOTDIR,
    "Stale file handle": errno.ESTALE,
}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_GONE = (errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ENXIO, errno.ENODEV, errno.EHOSTDOWN)
_OTHERS = {
    errno.EROFS: (
        "{folder} is on a read-only disk, or is a read-only database",
        f"Mount it for writing, {_ELSEWHERE}",
    ),
    errno.ENOTDIR: ("{file} is a file and should be a folder", f"Move that file away, {_ELSEWHERE}"),
    errno.EFBIG: (
        "a file below {folder} may not grow any larger",
        f"Raise this user's limit (`ulimit -f unlimited`), {_ELSEWHERE}",
    ),
    errno.EMFILE: (
        "{place} cannot be opened: this process has too many files open",
        "Raise the limit (`ulimit -n 65536`)",
    ),
    errno.ENFILE: (
        "{place} cannot be opened: this machine has too many files open",
        "Raise the limit (`sysctl fs.file-max`)",
    ),
    errno.ENAMETOOLONG: ("{place} is too long a path for this disk", "Choose a home with a shorter path by --home"),
}
"""What is wrong, and what a person does about it."""
_NUMBERS = (*_FULL, *_FORBIDDEN, *_GONE, *_OTHERS)


@contextmanager
def storage_faults(place: Path | str) -> Iterator[None]:
    """Raise StorageError where the block's error is about a disk or a folder; `place` is named where it names none."""
    try:
        yield
    except FactoryError:
        raise
    except Exception as error:
        fault = storage_error(error, place)
        if fault is None:
            raise
        raise fault from masked_cause(error)


def make_folder(place: Path) -> None:
    """Make a folder that a person named, and those above it; raises StorageError where the disk takes none there."""
    with storage_faults(place):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # as of /proc, though everything above it is there
            raise StorageError(
                f"{place} cannot be made: {_standing(place)} takes no folder. Choose another home by --home, then run "
                "the same command again"
            ) from error


def storage_error(error: BaseException, place: Path | str) -> StorageError | None:
    """Return what a person reads of a disk's or a folder's refusal; None where the error is about something else."""
    where = _named_place(error) or Path(place)
    number = _number(error, where)
    if number is None:
        return None
    wrong, remedy = _words(number, where)
    return StorageError(f"{wrong}; {KEPT}. {remedy}, then run the same command again")


def why_unusable(error: BaseException, place: Path | str) -> str:
    """Return what a disk or a folder refuses and what to do, as two clauses; empty where it is something else."""
    where = Path(place)
    number = _number(error, where)
    if number is None:
        return ""
    wrong, remedy = _words(number, where)
    return f"{wrong}: {remedy[:1].lower()}{remedy[1:]}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _number(error: BaseException, place: Path) -> int | None:
    """Return the operating system's number of the first refusal in an error's chain.

    SQLite says "disk I/O error" of a full disk too, where it is the index of its log that finds no room.
    """
    for link in _chain(error):
        number = link.errno if isinstance(link, OSError) and link.errno else _said(link)
        if number == errno.EEXIST and Path(str(getattr(link, "filename", ""))).is_file():
            return errno.ENOTDIR  # so says who makes a folder
        if number == errno.EIO and _free_bytes(place) < _NO_ROOM_BYTES:
            return errno.ENOSPC
        if number in _NUMBERS:
            return number
    return None


def _said(error: BaseException) -> int | None:
    """Return the number that stands in an error's text, or behind what SQLite and others say."""
    text = str(error)
    if isinstance(error, OSError | sqlite3.Error) or (numbered := _NUMBER.search(text)) is None:
        return next((number for words, number in _SAID.items() if words in text), None)
    return int(numbered[1])


def _named_place(error: BaseException) -> Path | None:
    """Return the file or folder that an error names."""
    for link in _chain(error):
        if isinstance(link, OSError) and link.filename and isinstance(link.filename, str | bytes):
            return Path(os.fsdecode(link.filename))
    return None


def _words(number: int, place: Path) -> tuple[str, str]:
    """Return what is wrong, and what a person does about it."""
    folder = _standing(place)
    if number in _FULL:
        return (
            f"the disk of {folder} is full ({_room(folder)})",
            f"Make room there, best {ROOM_BYTES / 1e9:.0f} GB, {_ELSEWHERE}",
        )
    if number in _FORBIDDEN:
        return (
            f"{place}: the user {_user()} may not write or read there",
            f"Give that user the folder (`chown -R {_user()} {folder}`), {_ELSEWHERE}",
        )
    if number in _GONE:
        return (
            f"the disk of {folder} does not answer ({os.strerror(number)}): is its mount gone?",
            f"Bring the disk back, {_ELSEWHERE}",
        )
    wrong, remedy = _OTHERS[number]
    return wrong.format(place=place, folder=folder, file=_no_folder(place)), remedy


def _standing(place: Path) -> Path:
    """Return the nearest folder at or above a place that is there."""
    for folder in (place, *place.absolute().parents):
        try:
            if folder.is_dir():
                return folder
        except OSError:
            continue
    return place


def _no_folder(place: Path) -> Path:
    """Return the file that stands where a folder should be."""
    return next((above for above in (*reversed(place.absolute().parents), place) if above.is_file()), place)


def _free_bytes(place: Path) -> float:
    try:
        return shutil.disk_usage(_standing(place)).free
    except OSError:
        return float("inf")


def _room(folder: Path) -> str:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return "how much it has is unknown"
    return f"{usage.free / 1e6:,.1f} MB free of {usage.total / 1e6:,.1f} MB"


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
