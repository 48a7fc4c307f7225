"""The snapshots of a model repository as a gateway follows them; heavy modules are imported with the first one."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from factory.release.layout import SNAPSHOTS
from factory.release.signing import public_key

if TYPE_CHECKING:
    from factory.features.online.builder import Builder


class ServedSnapshots:
    """A `SnapshotSource` of the gateway, for a folder and the public half of the release key."""

    def __init__(self, models: Path, key: Path, project: Path | None = None) -> None:
        """`project` is the folder that has the lines' code, where that is not importable as it is."""
        self._models = models
        self._key = key
        self._project = project

    def marks(self) -> Mapping[str, str] | None:
        """Return, for each line with a snapshot, a token that changes with it; None where the folder is missing."""
        if not self._models.is_dir():
            return None
        tokens = {}
        for place in (self._models / SNAPSHOTS).glob("*.json"):
            state = place.lstat()
            tokens[place.stem] = f"{state.st_ino}-{state.st_mtime_ns}"
        return tokens

    def builder(self, line: str) -> "Builder":
        """Return the builder of the line's snapshot; raises SnapshotRefused where the snapshot must not be used."""
        # Before Polars is imported: a build that takes every processor would delay the requests of other clients.
        os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, (os.cpu_count() or 1) - 1)))
        from factory.features.online.builder import Builder
        from factory.features.online.store import Snapshots

        if self._project and str(self._project) not in sys.path:
            sys.path.insert(0, str(self._project))
        return Builder(*Snapshots(self._models).load(line, public_key(self._key)))
