"""Whether time goes forward in a table, and where it has gaps; batch by batch."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

_ENTITIES = 100_000
_DAYS = 40_000
_RARE = 0.1
_PAIRS = 100
_FIRST_ROWS, _SERIES_ROWS, _EVEN = 50_000, 30, 0.6


@dataclass(kw_only=True)
class TimeOrder:
    """What was seen of a table's time column, and of each entity's."""

    time: str
    entity: str = ""
    backwards: int = 0
    """Rows that are older than the row before them."""
    entity_backwards: int = 0
    """Rows that are older than the row before them of the same entity."""
    target: str = ""
    site: str = ""
    days: dict[date, int] = field(default_factory=dict)
    known_days: dict[date, int] = field(default_factory=dict)
    """How many rows of each day have a target."""
    _last: datetime | None = None
    _first_rows: list[pl.DataFrame] = field(default_factory=list)
    """The series and the moment of the table's first rows: of a sample no two are neighbours."""
    _last_of: dict[object, datetime] = field(default_factory=dict)

    def see(self, batch: pl.DataFrame) -> None:
        """Take a batch, in the table's order."""
        moments = batch[self.time].drop_nulls()
        if not len(moments):
            return
        self.backwards += int((moments.diff().dt.total_microseconds() < 0).sum())
        if self._last is not None and moments[0] < self._last:
            self.backwards += 1
        self._last = moments[-1]
        if len(self.days) < _DAYS:
            for day, rows in moments.dt.date().alias("day").value_counts().iter_rows():
                self.days[day] = self.days.get(day, 0) + rows
        self._see_known(batch)
        if sum(map(len, self._first_rows)) < _FIRST_ROWS:
            self._first_rows.append(batch.select(*filter(None, [self.site, self.entity]), self.time).head(_FIRST_ROWS))
        if self.entity:
            self._see_entities(batch)

    def _see_known(self, batch: pl.DataFrame) -> None:
        if self.target and len(self.known_days) < _DAYS:
            known = batch.filter(pl.col(self.target).is_not_null())[self.time].drop_nulls()
            for day, rows in known.dt.date().alias("day").value_counts().iter_rows():
                self.known_days[day] = self.known_days.get(day, 0) + rows

    def _see_entities(self, batch: pl.DataFrame) -> None:
        rows = batch.select(self.entity, self.time).drop_nulls()
        older = (pl.col(self.time) < pl.col(self.time).shift(1).over(self.entity)).sum()
        self.entity_backwards += int(rows.select(older).item() or 0)
        ends = rows.group_by(self.entity).agg(pl.first(self.time).alias("first"), pl.last(self.time).alias("last"))
        for entity, first, last in ends.iter_rows():
            before = self._last_of.get(entity)
            self.entity_backwards += before is not None and first < before
            if len(self._last_of) < _ENTITIES or before is not None:
                self._last_of[entity] = last

    def spacing(self) -> timedelta | None:
        """Return how far apart the rows of a series are, those of an entity or of a site; None where at any time.

        Even is a table in which most neighbours are as far apart as the middle ones, and hardly two at one moment.
        """
        if not self._first_rows:
            return None
        rows = pl.concat(self._first_rows).drop_nulls().sort(self.time)
        by = [name for name in (self.site, self.entity) if name]
        apart = pl.col(self.time).diff().over(by) if by else pl.col(self.time).diff()
        gaps = rows.select(apart.dt.total_microseconds().alias("gap"))["gap"].drop_nulls()
        if len(gaps) < max(_SERIES_ROWS, len(rows) / 2):
            return None
        middle = float(gaps.median() or 0)  # type: ignore[arg-type]  # of whole numbers
        even = gaps.is_between(0.5 * middle, 1.5 * middle).mean()
        return timedelta(microseconds=middle) if middle > 0 and float(even or 0) > _EVEN else None  # type: ignore[arg-type]

    def late_days(self) -> int:
        """Return how many of the newest days have next to no target, where the days before them have one; else 0."""
        days = sorted(self.days)
        known = [day for day in days if self.known_days.get(day, 0) > _RARE * self.days[day]]
        return (days[-1] - known[-1]).days if known and self.target else 0

    def gap(self) -> tuple[date, timedelta] | None:
        """Return the last day before the longest time without a row, and its length; None where no day is without."""
        days = sorted(self.days)
        gaps = [(after - before, before) for before, after in itertools.pairwise(days)]
        length, start = max(gaps, default=(timedelta(days=1), date.min))
        return (start, length) if length > timedelta(days=1) else None


@dataclass(kw_only=True)
class Neighbours:
    """Whether rows beside each other in a table have like targets, as in a series; batch by batch."""

    pairs: int = 0
    same: int = 0
    products: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    _last: pl.Series | None = None

    def see(self, target: pl.Series) -> None:
        """Take a batch's targets, in the table's order."""
        values = target if self._last is None else pl.concat([self._last, target])
        self._last = target.tail(1) if len(target) else self._last
        both = pl.DataFrame({"one": values, "before": values.shift(1)}).drop_nulls()
        self.pairs += len(both)
        self.same += int((both["one"] == both["before"]).sum())
        if target.dtype.is_numeric():
            one, before = (both[name].cast(pl.Float64) for name in ("one", "before"))
            self.products += float((one * before).sum())
            self.total += float(one.sum())
            self.squares += float((one**2).sum())

    def alike(self, values: Mapping[Any, int] | None) -> float:
        """Return how much more alike neighbours are than rows at large, 0 to 1; `values` counts a target's classes."""
        if self.pairs < _PAIRS:
            return 0.0
        if values:
            known = sum(values.values())
            chance = sum((count / known) ** 2 for count in values.values())
            return max(0.0, (self.same / self.pairs - chance) / (1 - chance)) if chance < 1 else 0.0
        mean = self.total / self.pairs
        variance = self.squares / self.pairs - mean**2
        return max(0.0, (self.products / self.pairs - mean**2) / variance) if variance > 0 else 0.0
