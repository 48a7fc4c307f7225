"""Whether a snapshot gives the features that training has: recent rows of each site are built again and compared.

This finds features that look back further than the snapshot, features that depend on later rows, and a repair or build
that treats one row differently from many; before a client is answered.
"""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from factory.errors import LineError
from factory.features.online.builder import Builder
from factory.line.look_back import comparable
from factory.line.split import DECIDED_AT
from factory.storage.columns import LOAD, ROW, SITE

CHECKED_ROWS = 32
"""Of each site: half of them the newest, half the oldest that are answered, which look back furthest."""


def checked(builder: Builder, site: str, raw: pl.LazyFrame, features: pl.LazyFrame) -> int:
    """Return how many of the site's recent decisions were built again; raises LineError where a feature differs.

    `raw` are the site's raw rows and `features` its feature rows, both as the lake has them.
    """
    recent = _recent(builder, features.filter(pl.col(SITE) == site))
    if recent.is_empty():
        return 0
    rows = _raw_rows(builder, raw.filter(pl.col(SITE) == site), recent)
    built, _ = builder.features(site, rows)
    _require_same(builder, site, built, recent)
    return len(recent)


def _recent(builder: Builder, features: pl.LazyFrame) -> pl.DataFrame:
    """Return feature rows that the snapshot answers, from both ends."""
    start = builder.snapshot.answers_from
    rows = features.sort(DECIDED_AT, *builder.snapshot.row_path.features_key)
    if start is not None:
        moment = comparable(datetime.fromisoformat(start), rows.collect_schema()[DECIDED_AT])
        rows = rows.filter(pl.col(DECIDED_AT) >= moment)
    answered, half = rows.collect(), CHECKED_ROWS // 2
    return answered if len(answered) <= CHECKED_ROWS else pl.concat([answered.head(half), answered.tail(half)])


def _raw_rows(builder: Builder, raw: pl.LazyFrame, recent: pl.DataFrame) -> pl.DataFrame:
    """Return the raw rows that the feature rows come from, each in its newest version."""
    path = builder.snapshot.row_path
    by = [SITE, *path.features_key]
    wanted = raw.join(recent.lazy().select(by), on=by, how="semi", nulls_equal=True).sort(LOAD, ROW)
    return wanted.unique([SITE, *path.key], keep="last", maintain_order=True).select(SITE, *path.columns).collect()


def _require_same(builder: Builder, site: str, built: pl.DataFrame, expected: pl.DataFrame) -> None:
    path = builder.snapshot.row_path
    by, names = [SITE, *path.features_key], list(path.features)
    order = [*by, DECIDED_AT]
    built, expected = (rows.select(*order, *names).sort(order) for rows in (built, expected))
    if not built.select(order).equals(expected.select(order)):
        raise LineError(
            f"site {site}: of its {len(expected)} recent decisions {len(built)} come out when they are built anew on "
            "the snapshot, or with another key or moment; see that the table's repair leaves the key as it is"
        )
    differing = {name: _first(built[name], expected[name]) for name in names}
    if wrong := {name: place for name, place in differing.items() if place is not None}:
        raise LineError(_difference(site, wrong, built, expected))


def _first(built: pl.Series, expected: pl.Series) -> int | None:
    """Return the first place at which two columns differ; NaN and null are equal."""
    differ = built.fill_nan(None).ne_missing(expected.fill_nan(None))
    return differ.arg_max() if differ.any() else None


def _difference(site: str, wrong: Mapping[str, int], built: pl.DataFrame, expected: pl.DataFrame) -> str:
    (name, place), *more = wrong.items()
    others = f" (so are {', '.join(other for other, _ in more[:5])})" if more else ""
    return (
        f"site {site}: built anew on the snapshot, {name} of its decision at {expected[DECIDED_AT][place]} is "
        f"{built[name][place]} and not {expected[name][place]}{others}: features look back further than the snapshot "
        "goes; raise `online_snapshot: days`, or name in `last_of` what the newest earlier row is needed of"
    )
