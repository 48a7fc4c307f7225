"""A line's source as a resource, opened when its first row is asked for: loading definitions must not read data."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from factory.connectors.download import Report, fetch
from factory.connectors.made_tables import CalendarSource, sited
from factory.connectors.source import (
    Acknowledged,
    Ahead,
    Beyond,
    Counted,
    Dated,
    Fetched,
    Inspected,
    Pooled,
    Source,
    Versioned,
)
from factory.errors import FactoryError, LineError, SourceError
from factory.line.file import LineFile
from factory.line.line import Line, Table
from factory.line.personal import withheld
from factory.line.sections import SourceSection
from factory.storage.journal import fingerprint

DATA_FOLDER = "data_folder"
SUFFIX = "_source"
"""A line's source is the resource `<line>_source`."""


class LineSource:
    """Keeps factory.connectors.source.Source's promise for the class that the line's file names."""

    def __init__(self, line: Line, file: LineFile, section: SourceSection) -> None:
        self.line = line
        self._file = file
        self._section = section
        self.data_folder = file.project / section.data_folder

    def bind(self, data_folder: Path) -> None:
        """Take another data folder than the line's file says; done by the composition root, before the first row."""
        self.data_folder = data_folder

    @cached_property
    def _source(self) -> Source:
        make, arguments = self.require_class()
        try:
            source: Source = make(**arguments)
        except TypeError as error:
            raise LineError(f"{self._refused}: {error}") from error
        except LineError as error:
            raise LineError(f"{self._file.place('source', 'arguments')}: {error}") from error
        return source

    def require_arguments(self) -> None:
        """Raise LineError where the class does not take the arguments; that it cannot be reached now is no mistake."""
        with suppress(SourceError):
            self._source  # noqa: B018  made, and no row asked for

    @property
    def _refused(self) -> str:
        return f"{self._file.place('source', 'arguments')}: {self._section.use} does not take these arguments"

    def require_class(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return what makes the source, and its arguments; raises LineError where one does not fit the other."""
        make = self._file.imported(self._section.use, "source", "use")
        taken = inspect.signature(make)
        bound = {DATA_FOLDER: self.data_folder} if DATA_FOLDER in taken.parameters else {}
        arguments = {**bound, **self._section.arguments}
        try:
            taken.bind_partial(**arguments)  # one that is not known is told before those that are missing
            taken.bind(**arguments)
        except TypeError as error:
            raise LineError(f"{self._refused}: {error}; it takes {', '.join(taken.parameters)}") from error
        return make, arguments

    def _of(self, table: Table) -> tuple[Source, Table]:
        """Return where a table's rows come from, and the table as its source has it, its sites named."""
        if table.calendar:
            return CalendarSource(self, self.line, table.calendar), table  # of rows without what is personal
        return self._source, sited(self._source, self.line, table.delivered)

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sites that have rows before `until`."""
        with self._withholding(table):
            source, delivered = self._of(table)
            return source.sites(delivered, until)

    def read(self, table: Table, *, site: str | None, after: Any, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the source's batches, without what the line's file marks as personal."""
        marking = self.line.marking(table)
        with self._withholding(table):
            source, delivered = self._of(table)
            for batch in source.read(delivered, site=site, after=after, until=until):
                yield marking.rows(batch) if marking else batch

    def read_sites(
        self, table: Table, *, after: Mapping[str, Any | None], until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield batches of many sites: from one pass where the source can, else site after site."""
        marking = self.line.marking(table)
        with self._withholding(table):
            source, delivered = self._of(table)
        if isinstance(source, Pooled):
            with self._withholding(table):
                for site, batch in source.read_sites(delivered, after=after, until=until):
                    yield site, marking.rows(batch) if marking else batch
            return
        for site, cursor in after.items():
            yield from ((site, batch) for batch in self.read(table, site=site, after=cursor, until=until))

    def newest(self, table: Table, until: datetime) -> dict[str, Any] | None:
        """Return each site's largest cursor before `until`; None where the source cannot tell."""
        with self._withholding(table):
            source, delivered = self._of(table)
            return source.newest(delivered, until) if isinstance(source, Dated) else None

    def version(self, table: Table) -> str | None:
        """Return what changes with a table that is always read whole; None of one that is not, or cannot tell."""
        with self._withholding(table):
            source, delivered = self._of(table)
            version = source.version(delivered) if isinstance(source, Versioned) else None
            return fingerprint(version, str(delivered.site_names)) if version and table.site_through else version

    def counts(self, table: Table, until: datetime) -> dict[str, int] | None:
        """Return each site's number of rows before `until`; None where the source must read them to know."""
        with self._withholding(table):
            source, delivered = self._of(table)
            return source.counts(delivered, until) if isinstance(source, Counted) else None

    def beyond(self, table: Table, until: datetime) -> dict[str, Beyond]:
        """Return what each site has in rows at or after `until`; nothing where the source cannot tell."""
        with self._withholding(table):
            source, delivered = self._of(table)
            return source.beyond(delivered, until) if isinstance(source, Ahead) else {}

    def acknowledge(self, table: Table, lines: pl.Series) -> None:
        """Tell the source that rows are in the lake, where it keeps them until then."""
        if not table.calendar and isinstance(self._source, Acknowledged):
            self._source.acknowledge(table.delivered, lines)

    @contextmanager
    def _withholding(self, table: Table) -> Iterator[None]:
        """Have an error of the source say no person's value, where the table has personal columns.

        Of our own errors stays what is not quoted, or what the line's file says too; what a library says is withheld.
        """
        try:
            yield
        except FactoryError as error:
            if table.personal:
                error.args = tuple(withheld(str(word), self._known_words(table)) for word in error.args)
                error.__cause__ = error.__context__ = None
            raise
        except Exception as error:
            if not table.personal:
                raise
            kind = type(error).__name__
        else:
            return
        raise SourceError(
            f"table {table.name}: its source failed with a {kind}, whose words are withheld, for they may tell of a "
            "person: the table has personal columns; read the source by hand to see what it says"
        )

    def _known_words(self, table: Table) -> set[str]:
        """Return what stands in the line's file about the table and its source."""
        return {table.name, *table.columns, *table.personal, *_texts(self._section.arguments)}

    def lacking(self) -> list[str]:
        """Return a sentence on each thing the source lacks; a source that cannot tell lacks nothing."""
        return self._source.lacking() if isinstance(self._source, Inspected) else []

    def fetch(self, report: Report) -> list[str]:
        """Fetch what the source lacks and return what was brought; raises FetchError, LineError if it cannot fetch."""
        if isinstance(self._source, Fetched):
            return fetch(self._source.published(), report)
        raise LineError(
            f"line {self.line.name}: its source {self._section.use} has nothing to fetch; "
            f"{'; '.join(self.lacking()) or 'all it needs is there'}"
        )


def _texts(said: Any) -> Iterator[str]:
    """Yield each text in a section of a line's file, keys and values."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, Mapping):
        yield from (text for one in (*said.keys(), *said.values()) for text in _texts(one))
    elif isinstance(said, Iterable):
        yield from (text for one in said for text in _texts(one))


def line_sources(definitions: dg.Definitions) -> dict[str, LineSource]:
    """Return each line's source by the line's name, in the order of the names."""
    resources = definitions.resources or {}
    sources = {name: resource for name, resource in resources.items() if isinstance(resource, LineSource)}
    return {name.removesuffix(SUFFIX): sources[name] for name in sorted(sources)}
