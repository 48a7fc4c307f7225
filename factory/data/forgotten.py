"""Who was forgotten: digests under the line's key, by which a source's rows of such a person are left out from then on.

A condition names a person by values of columns of one table. Two values are the same where the declared type reads them
as the same, or else where their texts are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from factory.connectors.source import Source
from factory.data.contract.typing import typed_values
from factory.line.line import Line, Table
from factory.line.personal import Pseudonyms
from factory.names import LINE_SITE
from factory.storage.columns import SITE
from factory.storage.lake import Lake
from factory.storage.raw_values import TEXT, text_of

FORGOTTEN = "forgotten"
"""The table of the lake with a digest for each condition."""
Person = Mapping[str, str]
"""A person's rows in one table: column → value, as the lake has it, all of which a row must have."""


def texts_of(rows: pl.DataFrame, column: str, table: Table) -> pl.Series:
    """Return a column of raw rows as texts that are the same where its values are."""
    texts = text_of(typed_values(rows, column, table)).cast(pl.String)
    for name in (column, f"{column}{TEXT}"):
        if name in rows.columns:
            texts = texts.zip_with(texts.is_not_null(), text_of(rows[name]).cast(pl.String))
    return texts.str.strip_chars().str.normalize("NFC").alias(column)


def has_columns(rows: pl.DataFrame, columns: Sequence[str]) -> bool:
    """Whether raw rows have values of each column."""
    return all(column in rows.columns or f"{column}{TEXT}" in rows.columns for column in columns)


def are_of(rows: pl.DataFrame, person: Person, table: Table) -> pl.Series:
    """Return which raw rows are a person's."""
    are = pl.repeat(has_columns(rows, list(person)), len(rows), dtype=pl.Boolean, eager=True)
    if are.any():
        for column, value in person.items():
            are &= (texts_of(rows, column, table) == _text(column, value, table)).fill_null(value=False)
    return are


def _text(column: str, value: str, table: Table) -> str:
    text: str = texts_of(pl.DataFrame({column: [value]}), column, table)[0]
    return text


def remember(
    lake: Lake, line: Line, persons: Mapping[str, Sequence[Person]], pseudonyms: Pseudonyms, now: datetime
) -> int:
    """Keep a digest for each condition, by table, of those that are not kept yet; return how many were added."""
    rows = list[tuple[Any, ...]]()
    for name, some in persons.items():
        for person in some:
            columns = sorted(person)
            texts = [_text(column, person[column], line.tables[name]) for column in columns]
            rows.append((LINE_SITE, name, json.dumps(columns), _digest(pseudonyms, name, texts), now))
    kept = set(lake.scan(FORGOTTEN).collect()["digest"]) if lake.has(FORGOTTEN) else set()
    schema = {SITE: pl.String, "table": pl.String, "columns": pl.String, "digest": pl.String}
    frame = pl.DataFrame(rows, schema={**schema, "at": pl.Datetime("us", "UTC")}, orient="row")
    new = frame.filter(~pl.col("digest").is_in(list(kept))).unique("digest", maintain_order=True)
    if len(new):
        lake.append(FORGOTTEN, new, {}, partitioned=False)
    return len(new)


def _digest(pseudonyms: Pseudonyms, table: str, texts: Sequence[str]) -> str:
    return pseudonyms.digest("forgotten", json.dumps([table, *texts]))


def without_forgotten(source: Source, lake: Lake, line: Line) -> Source:
    """Return a source that leaves out rows of who was forgotten; the source itself where that is nobody.

    Raises EnvironmentRefused where somebody was, and the key is not there.
    """
    if not lake.has(FORGOTTEN):
        return source
    digests: dict[str, dict[tuple[str, ...], set[str]]] = {}
    for name, columns, digest in lake.scan(FORGOTTEN).select("table", "columns", "digest").collect().iter_rows():
        digests.setdefault(name, {}).setdefault(tuple(json.loads(columns)), set()).add(digest)
    return _Without(source, digests, line.pseudonyms()) if digests else source


class _Without:
    """A source without some persons' rows; it counts and dates them all the same, as the source does."""

    def __init__(
        self, source: Source, digests: Mapping[str, Mapping[tuple[str, ...], set[str]]], pseudonyms: Pseudonyms
    ) -> None:
        self._source, self._digests, self._pseudonyms = source, digests, pseudonyms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the source's sites."""
        return self._source.sites(table, until)

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the source's batches without those rows."""
        for batch in self._source.read(table, site=site, after=after, until=until):
            yield self._rest(batch, table)

    def read_sites(
        self, table: Table, *, after: Mapping[str, Any | None], until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the source's batches of many sites without those rows."""
        for site, cursor in after.items() if not hasattr(self._source, "read_sites") else ():
            yield from ((site, rows) for rows in self.read(table, site=site, after=cursor, until=until))
        if hasattr(self._source, "read_sites"):
            for site, batch in self._source.read_sites(table, after=after, until=until):
                yield site, self._rest(batch, table)

    def _rest(self, batch: pl.DataFrame, table: Table) -> pl.DataFrame:
        for columns, digests in self._digests.get(table.name, {}).items():
            if set(columns) <= set(table.columns) and has_columns(batch, columns):
                batch = batch.filter(~self._are_forgotten(batch, columns, digests, table))
        return batch

    def _are_forgotten(self, batch: pl.DataFrame, columns: Sequence[str], digests: set[str], table: Table) -> pl.Series:
        texts = pl.DataFrame([texts_of(batch, column, table) for column in columns])
        different = texts.unique().drop_nulls()
        forgotten = [row for row in different.iter_rows() if _digest(self._pseudonyms, table.name, row) in digests]
        found = pl.DataFrame(forgotten, schema=texts.schema, orient="row").with_columns(pl.lit(True).alias("_is"))
        return texts.join(found, on=list(columns), how="left", maintain_order="left")["_is"].fill_null(value=False)
