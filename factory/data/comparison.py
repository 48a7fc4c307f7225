"""What a source gives compared with what the lake has of it: which rows are new, and which are gone.

In: the rows that were read of some sites, and the rows that the lake has of what was read. Rows are compared by
content, copy for copy, so that reading again adds nothing; versions of one key by which of them is the last.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from factory.data.content import COPY, IDENTITY, hashes, identified
from factory.data.contract.typing import typed_part
from factory.data.versions import GONE, NEWEST, PLACE
from factory.line.line import Table
from factory.line.parsing.moments import within
from factory.storage.columns import CURSOR, LOAD, ROW, SCHEMA, SITE, UNPARSED
from factory.storage.raw_values import TEXT

KEY = ("_key_11", "_key_73")
"""Columns that tell keys apart: 128 bits of a row's site and typed key; null where a part of the key is null."""
COUNTED = "_counted"
"""Whether a row of the lake happened before the moment that a load looks at."""
_HAS_KEY = pl.col(KEY[0]).is_not_null()
_NUMBER, _START, _ROLLING, _FIRST = "_number", "_start", "_rolling", "_first"
_FLAGS = (NEWEST, GONE, COUNTED)
_CONTENT_BESIDE = {SITE, UNPARSED, SCHEMA}
_NOWHERE = pl.DataFrame(schema={SITE: pl.String, LOAD: pl.Int64, ROW: pl.Int64})
NO_FLAGS = _NOWHERE.with_columns(
    *(pl.lit(None, pl.UInt64).alias(name) for name in KEY), *(pl.lit(None, pl.Boolean).alias(flag) for flag in _FLAGS)
)
"""What a lake without rows says of them."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much of a site is read: its rows from a cursor on, and those whose cursor cannot be read."""

    start: Any | None = None
    """The smallest cursor, as a value of the table's; None: all rows."""
    change: Any | None = None
    """The smallest value of the change column: rows from it on are read beside those from `start` on."""
    withdraws: bool = True
    """Whether a row that is not among what was read is gone."""
    rolling: bool = False
    """Whether the source drops its oldest rows, so that nothing is known of those before the first that was read."""

    @property
    def is_whole(self) -> bool:
        """Whether all rows are read."""
        return self.start is None and self.change is None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a site's source differs from the lake."""

    new: pl.DataFrame
    """Rows that the lake is to have beside its own, in the order they were read."""
    gone: pl.DataFrame = field(default_factory=_NOWHERE.clone)
    """The places of rows that stand in the lake and that the source has no more."""
    searched: int = 0
    """How many rows of the lake stood within what was read."""
    standing: int = 0
    """How many rows of the site will stand in the lake, of those before the moment that the load looks at."""


def differences(
    read: pl.DataFrame,
    stored: pl.DataFrame,
    flags: pl.DataFrame,
    table: Table,
    extents: Mapping[str, Extent],
    until: datetime,
) -> dict[str, Difference]:
    """Return how the rows that were read of each site differ from those that the lake has of the same extents.

    `read` has SITE and, if the table has a cursor, CURSOR. `flags` has PLACE, KEY, NEWEST, GONE and COUNTED of all raw
    rows of the sites, `stored` those within the extents in the order they came. Of equal rows the lake is to have as
    many as were read.
    """
    types = {**read.schema, **stored.schema}
    declared = {place for name in table.columns for place in (name, f"{name}{TEXT}")}
    content = sorted(set(types) & (declared | _CONTENT_BESIDE))
    rows = keyed(identified(read, content, types), table).with_row_index(_NUMBER)
    known = stored.join(flags, on=PLACE, how="left", maintain_order="left")
    there = identified(known.filter(~pl.col(GONE)), content, types)
    new = rows.join(there, on=[*IDENTITY, COPY], how="anti")
    if table.changes.known_by != "change_log":
        new = pl.concat([new, _superseding(rows, new, known, there)]).unique(_NUMBER).sort(_NUMBER)
    standing = _searched(there.filter(NEWEST), rows, table, extents, until)
    still = rows.filter(_HAS_KEY).select(KEY).unique()
    gone = pl.concat(
        [
            standing.filter(_HAS_KEY).join(still, on=list(KEY), how="anti"),
            standing.filter(~_HAS_KEY).join(rows, on=[*IDENTITY, COPY], how="anti"),
        ]
    )
    stood = flags.filter(NEWEST, ~pl.col(GONE), COUNTED)
    keys = new.filter(_HAS_KEY).unique(list(KEY)).join(stood, on=list(KEY), how="anti")
    growth = [(stood, 1), (new.filter(~_HAS_KEY), 1), (keys, 1), (gone, -1)]
    counts = [{site: sign * rows for site, rows in _by_site(frame).items()} for frame, sign in growth]
    searched, new_rows, places = _by_site(standing), _parts(new.select(read.columns)), _parts(gone.select(PLACE))
    return {
        site: Difference(
            new=new_rows.get(site, read.clear()),
            gone=places.get(site, _NOWHERE),
            searched=searched.get(site, 0),
            standing=sum(some.get(site, 0) for some in counts),
        )
        for site in extents
    }


def keyed(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return raw rows with KEY."""
    declared = [name for name in _key_columns(table) if name in table.columns]
    return with_key(rows, table, typed_part(rows.lazy(), table, declared) if table.key else rows)


def with_key(rows: pl.DataFrame, table: Table, typed: pl.DataFrame) -> pl.DataFrame:
    """Return rows with KEY, of which `typed` has the key's columns; it is null where the table has no key."""
    if not table.key or rows.is_empty():
        return rows.with_columns(pl.lit(None, pl.UInt64).alias(name) for name in KEY)
    key = typed.select(_key_columns(table))
    is_whole = key.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    return rows.with_columns(pl.when(is_whole).then(of_key).alias(of_key.name) for of_key in hashes(key, KEY))


def _key_columns(table: Table) -> list[str]:
    return list(dict.fromkeys((SITE, *table.key)))


def _by_site(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by(SITE).len().iter_rows())


def _parts(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {str(site): part for (site,), part in rows.partition_by(SITE, as_dict=True, maintain_order=True).items()}


def _superseding(rows: pl.DataFrame, never: pl.DataFrame, known: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    """Return the last row read of each key that is not the lake's last, or will not be once others are added."""
    last = rows.filter(_HAS_KEY).unique(list(KEY), keep="last", maintain_order=True)
    changed = last.join(there.filter(NEWEST), on=[*KEY, *IDENTITY], how="anti").join(known, on=list(KEY), how="semi")
    return pl.concat([changed, last.join(never, on=list(KEY), how="semi")])


def _searched(
    standing: pl.DataFrame, rows: pl.DataFrame, table: Table, extents: Mapping[str, Extent], until: datetime
) -> pl.DataFrame:
    """Return the rows of the lake that would have been read, were they still at the source.

    An export that drops its oldest rows says nothing of rows no later than its first.
    """
    some = {site: extent for site, extent in extents.items() if extent.withdraws}
    standing = standing.filter(pl.col(SITE).is_in(list(some)))
    if not table.cursor:
        return standing
    kind = standing.schema[CURSOR]
    first = rows.group_by(SITE).agg(pl.col(CURSOR).min().alias(_FIRST))
    bounds = pl.DataFrame(
        {
            SITE: list(some),
            _START: pl.Series([extent.start for extent in some.values()], dtype=kind),
            _ROLLING: [extent.rolling for extent in some.values()],
        },
        {SITE: pl.String, _START: kind, _ROLLING: pl.Boolean},
    )
    bounded = standing.join(bounds, on=SITE, how="left").join(first, on=SITE, how="left")
    later = pl.col(CURSOR) > pl.col(_FIRST)
    started = pl.col(_START).is_null() | (pl.col(CURSOR) >= pl.col(_START))
    searched = started & (later | ~pl.col(_ROLLING)) & within(pl.col(CURSOR), kind, None, until)
    return bounded.filter(searched.fill_null(False) | pl.col(CURSOR).is_null()).drop(_START, _ROLLING, _FIRST)
