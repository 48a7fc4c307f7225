"""Which of a table's raw rows stand: the newest version of each key, unless the source has it no more.

In: raw rows with their declared columns typed, `site`, `_load`, `_row`; the rows that ingest found gone. Out: two truth
values a row. A row that stands is neither superseded nor withdrawn.
"""

from collections.abc import Sequence

import polars as pl

from factory.data.contract.typing import ORDER
from factory.line.line import Table
from factory.storage.columns import LOAD, MENDS, ROW, SITE
from factory.storage.lake import Lake

NEWEST, GONE, WITHDRAWN = "_newest", "_gone", "_withdrawn"
"""Whether a row is its key's last; whether the source was seen without it; whether it is withdrawn for any reason."""
PLACE = [SITE, LOAD, ROW]
"""What tells raw rows apart."""
_LAST, _ORDER = "_last", "_order"


def withdrawn_table(table: Table) -> str:
    """Return the lake's table that names a table's raw rows which the source had and has no more."""
    return f"withdrawn/{table.name}"


def gone_rows(lake: Lake, table: Table, sites: Sequence[str] | None = None) -> pl.LazyFrame | None:
    """Return the places of the raw rows that the source has no more; None where there never was one."""
    name = withdrawn_table(table)
    return lake.scan(name, sites).select(PLACE) if lake.has(name) else None


def flag_newest(rows: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """Add NEWEST: whether a row is the last of its key in its site; one without a key, or with a null in it, is.

    The last is the one that came last, or in a change log the one with the largest change.
    """
    if not table.key:
        return rows.with_columns(pl.lit(True).alias(NEWEST))
    by = list(dict.fromkeys((SITE, *table.key)))
    is_log = table.changes.known_by == "change_log"
    last = ORDER.sort_by(pl.col(table.changes.column), ORDER).last() if is_log else ORDER.max()
    repeated = (
        rows.filter(*(pl.col(column).is_not_null() for column in by))
        .group_by(by)
        .agg(last.alias(_LAST), pl.len().alias(NEWEST))
        .filter(pl.col(NEWEST) > 1)
        .drop(NEWEST)
    )
    flagged = rows.join(repeated, on=by, how="left", maintain_order="left")
    return flagged.with_columns((pl.col(_LAST).is_null() | (pl.col(_LAST) == ORDER)).alias(NEWEST)).drop(_LAST)


def flag_gone(rows: pl.LazyFrame, gone: pl.LazyFrame | None) -> pl.LazyFrame:
    """Add GONE: whether a row is among those that the source has no more."""
    if gone is None:
        return rows.with_columns(pl.lit(False).alias(GONE))
    named = gone.unique().with_columns(pl.lit(True).alias(GONE))
    return rows.join(named, on=PLACE, how="left", maintain_order="left").with_columns(pl.col(GONE).fill_null(False))


def corrected_rows(raw: pl.LazyFrame) -> pl.LazyFrame | None:
    """Return site and ORDER of the raw rows that a person corrected; None where the table has no corrections."""
    if MENDS not in raw.collect_schema():
        return None
    return raw.filter(pl.col(MENDS).is_not_null()).select(SITE, pl.col(MENDS).alias(_ORDER)).unique()


def flag_standing(
    rows: pl.LazyFrame, table: Table, gone: pl.LazyFrame | None, corrected: pl.LazyFrame | None
) -> pl.LazyFrame:
    """Add WITHDRAWN, and NEWEST as it is of rows that stand: the last of its key, not withdrawn and not corrected.

    A row that a person corrected is not the newest, whatever key its correction has.
    """
    flagged = flag_gone(flag_newest(rows, table), gone)
    withdrawn = pl.col(GONE) | _tells_deletion(table)
    stands = pl.col(NEWEST) & ~withdrawn
    if corrected is not None:
        replaced = corrected.with_columns(pl.lit(True).alias(_LAST))
        flagged = flagged.with_columns(ORDER.alias(_ORDER))
        flagged = flagged.join(replaced, on=[SITE, _ORDER], how="left", maintain_order="left").drop(_ORDER)
        stands &= pl.col(_LAST).is_null()
    flagged = flagged.with_columns(withdrawn.alias(WITHDRAWN), stands.alias(NEWEST))
    return flagged.drop(GONE, _LAST, strict=False)


def _tells_deletion(table: Table) -> pl.Expr:
    """Return whether a typed row says that its key was deleted."""
    deleted = table.changes.deleted
    if deleted is None:
        return pl.lit(False)
    value = pl.col(deleted.column)
    return value.cast(pl.String).is_in(deleted.texts).fill_null(False) if deleted.values else value.is_not_null()
