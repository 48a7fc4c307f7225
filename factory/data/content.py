"""The content of rows as one short digest a site: a stage that ran again can tell whether its result is different.

The digest depends on the rows, how often each one comes, and the names and types of the columns that hold a value; not
on the order of the rows, nor on columns that are unknown throughout. It is the same in every process of one Polars
version; after a change of version everything runs again, once.
"""

import functools
import hashlib
import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from factory.line.line import Table
from factory.storage.columns import SITE, UNPARSED
from factory.storage.journal import fingerprint
from factory.storage.raw_values import TEXT, text_of

_SEEDS = (11, 73)
_HALF = 1 << 32


class Content(NamedTuple):
    """What a site has in a table."""

    digest: str
    rows: int


def content_digests(rows: pl.DataFrame | pl.LazyFrame, sites: Sequence[str]) -> dict[str, str]:
    """Return a digest of each site's rows; a site without rows has one, too. `rows` has a column `site`."""
    return {site: content.digest for site, content in contents(rows, sites).items()}


def contents(rows: pl.DataFrame | pl.LazyFrame, sites: Sequence[str]) -> dict[str, Content]:
    """Return what each site has: its digest, and how many rows; a scan is read once, and never held whole."""
    scan = rows.lazy()
    schema = scan.collect_schema()
    halves = []
    for seed in _SEEDS:
        row = _row_hash(schema, seed)
        # Halves of 32 bits, whose sums over four billion rows fit into 64.
        halves += [(row // _HALF).alias(f"high{seed}"), (row % _HALF).alias(f"low{seed}")]
    sums = scan.select(SITE, *halves).group_by(SITE).agg(pl.len(), pl.exclude(SITE, "len").sum())
    sums_by_site = {row[0]: row[1:] for row in sums.collect(engine="streaming").iter_rows()}
    return {
        site: Content(digest=fingerprint(sums_by_site.get(site, (0,))), rows=sums_by_site.get(site, (0,))[0])
        for site in sites
    }


def _row_hash(schema: Mapping[str, pl.DataType], seed: int) -> pl.Expr:
    """Return a number for each row: the sum, without carry, of one for each value that is known, mixed once more."""
    known = (
        pl.when(pl.col(name).is_not_null())
        .then(pl.col(name).hash(seed, _column_seed(name, dtype)))
        .otherwise(pl.lit(0, pl.UInt64))
        for name, dtype in schema.items()
    )
    return functools.reduce(operator.add, known).hash(seed)


def _column_seed(name: str, dtype: pl.DataType) -> int:
    return int.from_bytes(hashlib.sha256(f"{name} {dtype}".encode()).digest()[:7])


IDENTITY, COPY = ("_identity_11", "_identity_73"), "_copy"
"""Columns that tell rows apart: 128 bits of a row's content, and which of several equal rows it is."""


def identified(rows: pl.DataFrame, content: Sequence[str], types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return rows with IDENTITY, made of the columns `content`, and COPY; a column that is not there counts as null."""
    columns = [pl.col(name) if name in rows.columns else pl.lit(None, types[name]).alias(name) for name in content]
    whole = rows.select(columns) if len(rows) else pl.DataFrame(schema={name: types[name] for name in content})
    hashed = rows.with_columns(hashes(whole, IDENTITY))
    return hashed.with_columns(pl.int_range(pl.len()).over(IDENTITY).alias(COPY))


def hashes(rows: pl.DataFrame, names: tuple[str, str]) -> list[pl.Series]:
    """Return 128 bits of each row's content as two columns of these names."""
    return [rows.hash_rows(seed=seed).alias(name) for name, seed in zip(names, _SEEDS, strict=True)]


def with_surrogate_key(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return raw rows with the key that the table has made of their content; as they are where it has none.

    A row's key is the same in every process and version: a digest of its values as text, and a number for each further
    row that is alike.
    """
    made = table.surrogate_key
    if made is None:
        return rows
    texts = []
    for name in table.columns:
        if name not in (made.column, *made.leave_out):
            values = [text_of(rows[place]) for place in (name, f"{name}{TEXT}") if place in rows.columns]
            whole = pl.coalesce(*values) if values else pl.lit(None, pl.String)
            texts.append(whole.alias(name))
    if UNPARSED in rows.columns:
        texts.append(pl.col(UNPARSED))
    content = rows.select(pl.struct(texts).struct.json_encode()).to_series()
    digests = [hashlib.blake2b(text.encode(), digest_size=12).hexdigest() for text in content]
    keys = pl.DataFrame({made.column: digests}, {made.column: pl.String})
    copy = pl.int_range(pl.len()).over(made.column)
    numbered = keys.select(
        pl.when(copy == 0).then(pl.col(made.column)).otherwise(pl.format("{}-{}", made.column, copy))
    )
    return rows.with_columns(numbered.to_series().alias(made.column))
