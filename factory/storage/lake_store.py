"""Where the Delta tables of all lines are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from factory.storage.home import Home
from factory.storage.journal import Journal
from factory.storage.lake import Lake


@dataclass(frozen=True, kw_only=True)
class LakeStore:
    """Delta tables under one URL; a local folder by default, any object store that delta-rs knows."""

    url: str
    storage_options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, home: Home) -> "LakeStore":
        """Return the lake of a home."""
        return cls(url=home.lake, storage_options=home.lake_options)

    def lines(self) -> list[str] | None:
        """Return the lines that have tables, sorted; None where an object store would have to be searched."""
        if "://" in self.url:
            return None
        root = Path(self.url)
        return sorted(folder.name for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []

    def of(self, line: str) -> Lake:
        """Return one line's tables."""
        return Lake(self.url, line, self.storage_options)

    def journal(self, line: str) -> Journal:
        """Return what each stage of the line last did for each site."""
        return Journal(self.of(line))
