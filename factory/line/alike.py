"""Which rows of a holdout are alike, and so one witness together: `alike` of a line's `gates`.

1,147 seconds of one experiment are one witness, and so are the departures of one stormy day. Feature rows come in;
blocks of rows go out, by which it is told how sure figures are, and `min_rows` is counted.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from factory.errors import LineError
from factory.line.line import Line
from factory.line.split import DECIDED_AT, LABEL, Parts, decided
from factory.tasks.intervals import Blocks

Codes = npt.NDArray[np.int64]

NEAR = 1e-3
"""Two rows are near where no feature differs by more than this share of its standard deviation."""
_NEIGHBOURS = 8
_ALIKE = 0.5
"""Near rows are duplicates where at least this share of the labels' variance lies between groups of them."""
_PERIODS = {"1m": "minutes", "1h": "hours", "1d": "days", "1w": "weeks", "1mo": "months"}


def blocks(line: Line, parts: Parts) -> Blocks:
    """Return which of one site's holdout rows are alike, as the line's `gates: alike` says.

    `auto` takes what leaves fewest witnesses: the line's entity where there is one, the day (UTC) where decisions are
    made at moments, and where there is neither, groups of near-duplicate rows.
    """
    how, rows = line.gates.alike, parts.holdout
    if how == "row":
        return Blocks.rows(len(rows))
    if not isinstance(how, str):
        return _by_columns(rows, how)
    if how == "entity":
        return _by_columns(rows, line.features.entity)
    if how != "auto":
        return _by_period(rows, how)
    possible = [_by_columns(rows, line.features.entity)] if line.features.entity else []
    if _has_moments(parts.rows):
        possible.append(_by_period(rows, "1d"))
    return min(possible, key=lambda one: one.count) if possible else _by_likeness(line, rows)


def period(every: str = "1d") -> pl.Expr:
    """Return the beginning of the period, in UTC, that a decision falls into."""
    return decided().dt.truncate(every)


def _has_moments(rows: pl.DataFrame) -> bool:
    """Whether decisions are made at more than one moment; a clock of the entity's own is none."""
    return rows.schema[DECIDED_AT].is_temporal() and rows[DECIDED_AT].n_unique() > 1


def _by_period(rows: pl.DataFrame, every: str) -> Blocks:
    if not rows.schema[DECIDED_AT].is_temporal():
        raise LineError(
            f"gates: alike is {every!r}, a period of time, and `decided_at` is {rows.schema[DECIDED_AT]}; say "
            "`entity`, `row` or columns of the features",
            at=("gates", "alike"),
        )
    what = _PERIODS.get(every, f"periods of {every}")
    return Blocks(of_row=_codes(rows.select(period(every))), in_time=True, what=what)


def _by_columns(rows: pl.DataFrame, columns: tuple[str, ...]) -> Blocks:
    if missing := [name for name in columns if name not in rows.columns]:
        raise LineError(
            f"gates: alike names {missing[0]!r}, which is not among the feature rows' columns: "
            f"{', '.join(rows.columns)}",
            at=("gates", "alike"),
        )
    return Blocks(of_row=_codes(rows.select(columns)), what=f"values of {', '.join(columns)}")


def _codes(rows: pl.DataFrame) -> Codes:
    """Return each row's place among the different ones, in their order."""
    distinct = rows.unique().sort(rows.columns).with_row_index("place")
    placed = rows.join(distinct, on=rows.columns, how="left", nulls_equal=True, maintain_order="left")
    return placed["place"].cast(pl.Int64).to_numpy()


def _by_likeness(line: Line, rows: pl.DataFrame) -> Blocks:
    """Return groups of rows whose features hardly differ and whose labels agree far more than chance lets them.

    Rows of equal features with labels of their own are no duplicates: a table of few categories has many.
    """
    features = rows.select(pl.col(list(line.features.columns)).cast(pl.Float64)).to_numpy()
    label = line.task.codes(rows[LABEL]).astype(np.float64)
    groups = near_groups(features)
    if groups.max(initial=-1) + 1 == len(groups) or _agreement(groups, label) < _ALIKE:
        return Blocks.rows(len(rows))
    return Blocks(of_row=groups, what="groups of near-duplicate rows")


def near_groups(features: npt.NDArray[np.float64]) -> Codes:
    """Return each row's group, `[rows]`: rows that are near, and those that are near to these; see NEAR."""
    if not features.size:
        return np.arange(len(features), dtype=np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    distinct, place = np.unique(_scaled(features), axis=0, return_inverse=True)
    tree = cKDTree(distinct)
    distance, beside = tree.query(distinct, k=min(_NEIGHBOURS, len(distinct)), p=np.inf, distance_upper_bound=NEAR)
    near = np.isfinite(np.atleast_2d(distance.reshape(len(distinct), -1)))
    pairs = np.nonzero(near)[0], beside.reshape(len(distinct), -1)[near]
    graph = coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(len(distinct), len(distinct)))
    group: Codes = connected_components(graph, directed=False)[1].astype(np.int64)
    return group[place.reshape(-1)]


def _scaled(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the features in standard deviations of their known values; unknown is far from all that is known."""
    known = np.isfinite(features)
    count = np.maximum(known.sum(0), 1)
    middle = np.where(known, features, 0).sum(0) / count
    spread = np.sqrt(np.where(known, np.square(features - middle), 0).sum(0) / count)
    return np.where(known, (features - middle) / np.where(spread > 0, spread, 1), -1e6)


def _agreement(groups: Codes, label: npt.NDArray[np.float64]) -> float:
    """Return the share of the labels' variance that lies between groups (intraclass correlation), 0 for chance."""
    rows = np.bincount(groups)
    mean = np.bincount(groups, weights=label) / rows
    within = float(np.square(label - mean[groups]).sum()) / max(1, int((rows - 1).sum()))
    whole = float(label.var(ddof=1)) if len(label) > 1 else 0.0
    return 1 - within / whole if whole > 0 else 0.0
