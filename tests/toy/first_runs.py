"""Homes in which the toy line ran once: each kind is made by the first test that asks, and copied for every other.

A first run takes seconds and a copy none, and a copy is a home like another: a home may be moved. A test of what a
first run itself does makes its own.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.storage.locks import FileLocks
from tests.toy.line import ToyFactory


@dataclass(frozen=True, kw_only=True)
class FirstRuns:
    """Keeps such homes in a folder that all of pytest's workers share."""

    folder: Path

    def copied(self, home: Path, *, sites: Sequence[str] = (), until: str = "", **swapped: Any) -> ToyFactory:
        """Return the toy line at `home`, a folder still empty, where it ran for these sites as of that day.

        What is `swapped` there counts from now on; the run was made without it.
        """
        kind = "-".join([*(sites or ["all"]), until or "today"])
        made, is_whole = self.folder / kind, self.folder / f"{kind}.whole"
        with FileLocks(self.folder).hold(kind):
            if not is_whole.exists():
                shutil.rmtree(made, ignore_errors=True)
                assert ToyFactory(made).run(sites, until=until) == 0
                is_whole.touch()
        return ToyFactory(made).copied(home, **swapped)
