"""One writer at a time: named locks, released even when their holder is killed.

`Locks` is what the rooms ask for; on one machine `FileLocks` keeps it by advisory locks on files. A factory on several
machines gives an implementation of its own to whatever they share.
"""

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Locks(Protocol):
    """Locks by name; none is reentrant."""

    def __hash__(self) -> int:
        """Tell the same locks by the same number, so that what they guard is made once."""
        ...

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Hold a lock for the block; waits for other threads and processes."""
        ...

    def hold_if_free(self, name: str) -> AbstractContextManager[bool]:
        """Hold a lock for the block if nobody else does; gives whether it is held. Never waits."""
        ...


@dataclass(frozen=True)
class FileLocks:
    """Locks of one machine: a file each in a folder on a local disk."""

    folder: Path

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold a lock for the block; waits for other threads and processes."""
        with self._opened(name) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def hold_if_free(self, name: str) -> Iterator[bool]:
        """Hold a lock for the block if nobody else does; gives whether it is held. Never waits."""
        with self._opened(name) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.lock").open("w") as handle:
            yield handle.fileno()
