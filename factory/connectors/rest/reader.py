"""`RestReader`: what a service answers in JSON as one table; its rows are given when all pages are there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from factory.connectors.rest.pages import Page, Pages, records_key
from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.json_text import compact_json, text_of_json
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing
from factory.connectors.web.access import value_of
from factory.connectors.web.reading import ChangedError, HeldPages, as_source, split_query
from factory.connectors.web.session import Service
from factory.errors import SourceError
from factory.storage.columns import UNPARSED

_READINGS = 2


class RestReader:
    """A table that a service gives page by page.

    Its columns are the keys of the first page's records, and every row may have more. A value is text: a string as it
    is, a number as it is written, an object or a list as JSON.
    """

    sparse = True

    def __init__(self, place: Place, at: TableAt, service: Callable[..., Service] = Service) -> None:
        self.place, self.at, self._make = place, at, service
        self._schema: dict[str, pl.DataType] = {}

    def schema(self) -> dict[str, pl.DataType]:
        """Return the keys of the first page's records; raises SourceError."""
        with self._pages(Narrowing()) as pages:
            keys = dict.fromkeys(key for record in pages.first().records if isinstance(record, dict) for key in record)
        self._schema = dict.fromkeys(keys, pl.String())
        return self._schema

    def state(self, cursor: str) -> str | None:
        """Return None where the service is asked for rows since a moment, and else nothing: it is read whole."""
        return None if cursor and any("{after}" in text for text in self.at.query.values()) else ""

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the rows in the order of the pages, those of the columns that any row has; raises SourceError.

        A column that neither the first page nor `columns` has comes too, for it is new.
        """
        left_out = self._schema.keys() - set(columns)
        for reading in range(1, _READINGS + 1):
            with HeldPages() as held:
                try:
                    with self._pages(only) as pages:
                        for page in pages:
                            held.add(_frame(page, left_out))
                except ChangedError as change:
                    if reading == _READINGS:
                        raise SourceError(
                            f"table {self.at.at}: {change}, {reading} times: it changes while it is read; nothing was "
                            "written. Read it when less is written, or ask for rows up to a moment by `query`"
                        ) from None
                    continue
                known = dict.fromkeys(name for name in columns if name in self._schema)
                yield from (_with(batch, known) for batch in held.batches(only, row_number))
                return

    def discovered(self) -> TableAt:
        """Return the table's arguments with where the records are in an answer; raises SourceError."""
        with self._pages(Narrowing()) as pages:
            return replace(self.at, records=self.at.records or records_key(pages.first().document))

    @contextmanager
    def _pages(self, only: Narrowing) -> Iterator[Pages]:
        address, own = split_query(self.place.at)
        with as_source(self.at.at), self._make(address, self.at.access) as service:
            params = {**own, **parameters(self.at.query, only)}
            yield Pages(service, self.at.paging, self.at.records, params)


def parameters(query: Mapping[str, str], only: Narrowing) -> dict[str, str]:
    """Return a table's own parameters, the moments in them filled in; one without its moment is left out."""
    moments = {"after": only.after, "until": only.until}
    told = {name: _moment(value) for name, value in moments.items() if value is not None}
    filled: dict[str, str] = {}
    for name, text in query.items():
        wanted = [moment for moment in moments if f"{{{moment}}}" in text]
        if all(moment in told for moment in wanted):
            for moment in wanted:
                text = text.replace(f"{{{moment}}}", told[moment])  # noqa: PLW2901
            filled[name] = value_of(text)
    return filled


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else f"{value.isoformat()}Z"
    return str(value)


def _frame(page: Page, left_out: set[str]) -> pl.DataFrame:
    """Return a page's records as texts; what is no object is kept as its text in UNPARSED."""
    rows = [record if isinstance(record, dict) else {} for record in page.records]
    keys = dict.fromkeys(key for row in rows for key in row if key not in left_out)
    columns = [pl.Series(key, [text_of_json(row.get(key)) for row in rows], pl.String) for key in keys]
    unparsed = [None if isinstance(record, dict) else compact_json(record) for record in page.records]
    if any(unparsed):
        columns.append(pl.Series(UNPARSED, unparsed, pl.String))
    return pl.DataFrame(columns) if columns else pl.DataFrame({UNPARSED: pl.Series(unparsed, dtype=pl.String)})


def _with(batch: pl.DataFrame, known: Mapping[str, None]) -> pl.DataFrame:
    """Return a batch with the columns that the first page had, though none of its rows has them."""
    return batch.with_columns(pl.lit(None, pl.String).alias(name) for name in known if name not in batch.columns)
