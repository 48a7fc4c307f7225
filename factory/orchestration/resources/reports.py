"""Reports as a resource: the folder of pages that people look at."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from factory.reports.folder import Shelf


class Reports(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """HTML pages in a folder, one folder a line; losing them costs the seconds to draw them again."""

    root: str = Field(description="folder under which each line has its pages")

    def of(self, line: str) -> Shelf:
        """Return one line's pages."""
        return Shelf(Path(self.root), line)
