"""A line's source as a resource, opened when its first row is asked for: loading definitions must not read data."""

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from assets.line_file import LineFile, SourceSection
from factory.line import Line, Table
from factory.sources import Source


class LineSource:
    """Keeps factory.sources.Source's promise for the class that the line's file names."""

    def __init__(self, line: Line, file: LineFile, section: SourceSection) -> None:
        self.line = line
        self._file = file
        self._section = section

    @cached_property
    def _source(self) -> Source:
        made: Source = self._file.imported(self._section.use, "source", "use")(**self._section.arguments)
        return made

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sites that have rows before `until`."""
        return self._source.sites(table, until)

    def read(self, table: Table, *, site: str | None, after: Any, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the source's batches."""
        return self._source.read(table, site=site, after=after, until=until)
