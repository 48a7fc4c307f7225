"""Whether the gateway gives the features that training has: recent decisions are built again and compared, twice.

Many of each site from all that the snapshot has: this finds features that look back further than the snapshot goes, and
a repair or build that treats one row differently from many. Some from exactly what a request at their moment could have
had: rows as they were known then (past.py), their own, and no neighbour that was not announced. This finds features
that depend on later rows, or on rows that nobody could have sent. Both before a client is answered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from factory.compute.isolation import Isolated, one_by_one
from factory.errors import LineError
from factory.features.comparison import differences, in_same_order
from factory.features.online.builder import Builder
from factory.features.online.past import Past, newest_versions
from factory.line.line import Line
from factory.line.look_back import comparable
from factory.line.split import DECIDED_AT
from factory.storage.columns import SITE

CHECKED_ROWS = 32
"""Of each site: half of them the newest, half the oldest that are answered, which look back furthest."""
FROM_THE_PAST, FEWEST, MOMENTS = 8, 2, 64
"""So many of each site are built from the past, fewer where there are many sites: at about so many moments in all."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training was made of and has, as the lake has it."""

    line: Line
    raw: Mapping[str, pl.LazyFrame]
    """The raw rows of each table by its name, with SITE, load and number."""
    features: pl.LazyFrame


def prove(trained: Trained, builder: Builder, snapshot: Mapping[str, pl.DataFrame]) -> Isolated[int]:
    """Return how many recent decisions of each of its sites were built again; a site where one differs fails.

    `snapshot` are the tables that the builder was made with. A failure is a LineError that names the feature and both
    values.
    """
    sites, line = builder.snapshot.sites, trained.line
    recent = _recent(builder, trained.features)
    raw = trained.raw[line.decision_table]
    looked_back = one_by_one(sites, lambda site: _look_back(builder, raw, recent.filter(pl.col(SITE) == site)))
    left = recent.filter(pl.col(SITE).is_in(list(looked_back.done)))
    some = _ends(left, max(FEWEST, min(FROM_THE_PAST, MOMENTS // max(1, len(sites)))))
    failed = dict(looked_back.failed)
    past = Past(line, snapshot, trained.raw, trained.features, some)
    for asked in _requests(past, some):
        failed |= _differing(past, builder, asked.filter(~pl.col(SITE).is_in(list(failed))))
    return Isolated(done={site: rows for site, rows in looked_back.done.items() if site not in failed}, failed=failed)


def _recent(builder: Builder, features: pl.LazyFrame) -> pl.DataFrame:
    """Return feature rows that the snapshot answers, of each site from both ends."""
    start = builder.snapshot.answers_from
    rows = features.filter(pl.col(SITE).is_in(list(builder.snapshot.sites)), pl.col(DECIDED_AT).is_not_null())
    if start is not None:
        moment = comparable(datetime.fromisoformat(start), rows.collect_schema()[DECIDED_AT])
        rows = rows.filter(pl.col(DECIDED_AT) >= moment)
    return _ends(rows.sort(DECIDED_AT, *builder.snapshot.row_path.features_key).collect(), CHECKED_ROWS)


def _ends(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the first and the last rows of each site, so many in all."""
    place, rows_of_site = pl.int_range(pl.len()).over(SITE), pl.len().over(SITE)
    return rows.filter((place < count // 2) | (place >= rows_of_site - count // 2))


def _look_back(builder: Builder, raw: pl.LazyFrame, expected: pl.DataFrame) -> int:
    """Return how many of a site's decisions were built again from the whole snapshot; raises LineError."""
    if expected.is_empty():
        return 0
    path, site = builder.snapshot.row_path, expected[SITE][0]
    by = [SITE, *path.features_key]
    wanted = raw.filter(pl.col(SITE) == site).join(expected.lazy().select(by), on=by, how="semi", nulls_equal=True)
    built, _ = builder.features(site, newest_versions(wanted, path).collect())
    if reason := _difference(builder, site, built, expected, _LOOK_BACK):
        raise LineError(reason)
    return len(expected)


_LOOK_BACK = (
    "features look back further than the snapshot goes; raise `online_snapshot: days`, or name in `last_of` what the "
    "newest earlier row is needed of"
)
_PAST = (
    "a request at that moment could not have had all that it is made of; declare the rows it looks at as `announced`, "
    "or let it use only what is known before the decision"
)


def _requests(past: Past, recent: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the feature rows of decisions of one moment that can be built at once: no one is news to the others."""
    by = [SITE, *past.line.features.key]
    for (moment,), rows in recent.group_by(DECIDED_AT, maintain_order=True):
        if past.line.decisions.announced is None:
            yield from rows.iter_slices(1)
        else:
            known = past.tables(moment)[past.line.decision_table].select(by)
            yield rows.join(known, on=by, how="semi", nulls_equal=True)
            yield from rows.join(known, on=by, how="anti", nulls_equal=True).iter_slices(1)


def _differing(past: Past, builder: Builder, expected: pl.DataFrame) -> dict[str, Exception]:
    """Return why sites' decisions of one moment come out otherwise; where a build fails, each site is built alone."""
    if expected.is_empty():
        return {}
    sites = sorted(set(expected[SITE]))
    try:
        built = _built(past, builder, expected)
    except Exception as error:  # noqa: BLE001  the boundary of a site: a row of one shuts no other's door
        if len(sites) == 1:
            return {sites[0]: error}
        alone = (expected.filter(pl.col(SITE) == site) for site in sites)
        return {site: why for rows in alone for site, why in _differing(past, builder, rows).items()}
    reasons = {}
    for site in sites:
        of_site = pl.col(SITE) == site
        reasons[site] = _difference(builder, site, built.filter(of_site), expected.filter(of_site), _PAST)
    return {site: LineError(reason) for site, reason in reasons.items() if reason}


def _built(past: Past, builder: Builder, expected: pl.DataFrame) -> pl.DataFrame:
    """Return the features of decisions of one moment, built from what a request could have had then."""
    moment = expected[DECIDED_AT][0]
    tables, asked = past.tables(moment), past.asked(expected, moment)
    others = tables.pop(past.line.decision_table).join(
        asked, on=[SITE, *past.line.decisions.key], how="anti", nulls_equal=True
    )
    built = builder.built(asked, others, {name: rows.lazy() for name, rows in tables.items()})
    by = [SITE, *past.line.features.key]
    return built.join(expected.select(by), on=by, how="semi", nulls_equal=True)


def _difference(builder: Builder, site: str, built: pl.DataFrame, expected: pl.DataFrame, advice: str) -> str | None:
    """Return what is wrong with a site's features that were built again; None if they are those of training."""
    path = builder.snapshot.row_path
    both = in_same_order(built, expected, path.features_key, path.features)
    if both is None:
        return (
            f"site {site}: of {len(expected)} recent decisions {len(built)} come out when they are built anew on the "
            "snapshot, or with another key or moment; see that the table's repair leaves the key as it is"
        )
    built, expected = both
    wrong = differences(built, expected, path.features)
    if not wrong:
        return None
    (name, place), *more = wrong.items()
    others = f" (so are {', '.join(other for other, _ in more[:5])})" if more else ""
    return (
        f"site {site}: {name} cannot be told at the gateway's door: built anew, that of its decision at "
        f"{expected[DECIDED_AT][place]} is {built[name][place]} and not {expected[name][place]}{others}: {advice}"
    )
