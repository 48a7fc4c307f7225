"""Files that a crash leaves whole or absent, and reads that cannot be led astray."""

import errno
import os
import secrets
import stat
from pathlib import Path

from factory.errors import ModelRefused

TEMPORARY = ".new-"


def temporary_name(name: str) -> str:
    """Return a name nobody else uses, which marks a leftover as one that may be deleted."""
    return f"{TEMPORARY}{name}-{secrets.token_hex(8)}"


def create_file(place: Path, content: bytes, *, mode: int) -> None:
    """Write a file that must not exist yet, and return once it is on the disk; an OSError names the file."""
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(place)  # a full disk's has none
        raise


def replace_file(place: Path, content: bytes, *, mode: int) -> None:
    """Write a file, over an earlier one too, and return once it is on the disk; a crash leaves the old or the new."""
    draft = place.with_name(temporary_name(place.name))
    create_file(draft, content, mode=mode)
    draft.replace(place)
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Return once the folder's entries are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_file(place: Path, *, at_most: int) -> bytes:
    """Return a plain file's bytes, read once; raises ModelRefused on a link, a pipe, nothing, or too much."""
    handle = _opened(place)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ModelRefused(f"{place} is not a plain file; release the model again")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(at_most + 1)
    finally:
        os.close(handle)
    if len(content) > at_most:
        raise ModelRefused(f"{place} is larger than {at_most} bytes, the limit")
    return content


def _opened(place: Path) -> int:
    try:
        # Without O_NONBLOCK a pipe in the file's place would hang the reader for ever.
        return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelRefused(f"{place} is missing; release the model again") from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise  # a disk that is away for a moment says nothing about the model
        raise ModelRefused(f"{place} is a link; release the model again") from error
