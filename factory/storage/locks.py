"""One writer at a time on one machine: an advisory lock on a file, released even when its holder is killed."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held_lock(file: Path) -> Iterator[None]:
    """Hold the file's lock for the block; waits for other threads and processes. Not reentrant."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def lock_if_free(file: Path) -> Iterator[bool]:
    """Hold the file's lock for the block if nobody else does; gives whether it is held. Never waits."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
