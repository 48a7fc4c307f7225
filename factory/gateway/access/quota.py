"""How many rows each API key has spent, at this process or at all workers of the gateway together.

Each worker adds to a number of its own and reads those of all, in memory that they share: nobody waits for anybody, and
what a killed worker has spent stays spent.
"""

import hashlib
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_NUMBER_BYTES = 8


class Spending(Protocol):
    """The rows that one key has spent since the gateway began."""

    def add(self, rows: int) -> None:
        """Spend so many more."""

    @property
    def rows(self) -> int:
        """All that were spent."""


SpendingOf = Callable[[str], Spending]
"""Gives a key's spending, by the key's hash."""


class OwnSpending:
    """What is spent where there is one process."""

    def __init__(self, key: str = "") -> None:  # noqa: ARG002  the signature of SpendingOf
        self.rows = 0

    def add(self, rows: int) -> None:
        """Spend so many more."""
        self.rows += rows


class SharedSpending:
    """What is spent at all workers: a file of one number for each, which each of them has in its memory."""

    def __init__(self, place: Path, own: int, workers: int) -> None:
        self._own = own
        size = _NUMBER_BYTES * workers
        with place.open("ab") as file:
            file.truncate(size)  # of that size already, it stays as it is
        with place.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), size)).cast("q")

    def add(self, rows: int) -> None:
        """Spend so many more."""
        self._numbers[self._own] += rows

    @property
    def rows(self) -> int:
        """All that were spent."""
        return sum(self._numbers)


def shared_spending(folder: Path, number: int, workers: int) -> SpendingOf:
    """Return what gives a key's spending at all workers, which meet in the folder; this one has the number, from 1."""

    def spending(key: str) -> Spending:
        name = hashlib.sha256(key.encode()).hexdigest()  # whatever the key file says, a plain name
        return SharedSpending(folder / f"{name}.spent", number - 1, workers)

    return spending
