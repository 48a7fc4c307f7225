"""The lake as a resource: where the Delta tables of all lines are."""

import dagster as dg
from pydantic import Field

from factory.storage.journal import Journal
from factory.storage.lake import Lake


class LakeStore(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """Delta tables under one URL; a local folder by default, any object store that delta-rs knows."""

    url: str = Field(description="folder or object-store URL under which each line has a folder of its own")
    storage_options: dict[str, str] = Field(default_factory=dict, description="object-store options")

    def of(self, line: str) -> Lake:
        """Return one line's tables."""
        return Lake(self.url, line, self.storage_options)

    def journal(self, line: str) -> Journal:
        """Return what each stage of the line last did for each site."""
        return Journal(self.of(line))
