"""Feature rows in, training, validation and holdout out; only rows whose outcome is known.

`TimeSplit` divides by the moment of decision: a model is judged on rows later than those it learnt from. `EntitySplit`
divides by the thing a row is about, such as an engine with its life; no thing is on both sides. It suits tables without
times, too.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

import polars as pl

from factory.errors import LineError
from factory.line.lengths import length_in_words, length_of
from factory.storage.columns import SITE

DECIDED_AT = "decided_at"
LABEL = "label"
PLACE = "_place"
"""A row's place among all feature rows of a run, by which a sequence finds the moments before it."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Rows with a known outcome, divided; and all rows, since a decision looks back on rows of any part."""

    train: pl.DataFrame
    validation: pl.DataFrame
    holdout: pl.DataFrame
    rows: pl.DataFrame

    def of(self, site: str) -> "Parts":
        """Return one site's rows."""
        of_site = pl.col(SITE) == site
        return Parts(
            train=self.train.filter(of_site),
            validation=self.validation.filter(of_site),
            holdout=self.holdout.filter(of_site),
            rows=self.rows.filter(of_site),
        )


def decided() -> pl.Expr:
    """Return the moment of decision in UTC without a zone, as windows have it; a column without a zone is in UTC."""
    return pl.col(DECIDED_AT).dt.convert_time_zone("UTC").dt.replace_time_zone(None)


class Division(Protocol):
    """A split as of a moment, on the rows that there are: which rows train, validate and judge a model."""

    @property
    def until(self) -> datetime:
        """The moment before which the rows were looked at; UTC, naive."""
        ...

    def divided(self, rows: pl.DataFrame, entity: Sequence[str]) -> Parts:
        """Divide the rows; `entity` are the columns that, within a site, say what a row is about."""
        ...

    def learnt_from(self, rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
        """Return, for each row, whether models of this division learn from it or are chosen by it."""
        ...

    @property
    def fingerprint(self) -> str:
        """What, beside the rows, decides the division; the journal compares it between runs."""
        ...

    @property
    def record(self) -> str:
        """The division as JSON, kept with every model; `division_on_record` is the inverse."""
        ...


class Split(Protocol):
    """A way to divide feature rows."""

    @property
    def asks_for_rows(self) -> bool:
        """Whether the division depends on the rows that there are."""
        ...

    def division(self, rows: pl.DataFrame, until: datetime, horizon: timedelta) -> Division:
        """Return the division as of a moment; `rows` are those of all sites, with DECIDED_AT and LABEL.

        `horizon` is how long after a decision its outcome is known.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where training ends and validation and holdout begin; each window is half-open, `[from, next)`.

    A row is in a window only if its outcome, too, is known by the window's end: so much time is left out between them.
    """

    train_from: datetime | None
    """None: from the first row on."""
    validation_from: datetime
    holdout_from: datetime
    until: datetime
    horizon: timedelta = timedelta(0)

    def divided(self, rows: pl.DataFrame, entity: Sequence[str]) -> Parts:  # noqa: ARG002
        """Return the rows of each window; rows outside all windows and rows without a label are in none."""
        placed = rows.with_row_index(PLACE)
        known = placed.filter(pl.col(LABEL).is_not_null())
        train, validation, holdout = (known.filter(within) for within in self._within())
        return Parts(train=train, validation=validation, holdout=holdout, rows=placed)

    def learnt_from(self, rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:  # noqa: ARG002
        """Return whether a row lies in the windows of training and validation; its outcome may come in later."""
        train, validation, _ = self._within()
        return rows.select(train | validation).to_series()

    def little_history(self, rows: pl.DataFrame) -> str | None:
        """Return what to say where models learn from less time than they are judged on; `rows` are all there are."""
        train, _, holdout = self._within()
        learnt, judged = (rows.filter(within, pl.col(LABEL).is_not_null()) for within in (train, holdout))
        if learnt.is_empty() or judged.is_empty():
            return None
        first, last = (learnt.select(moment).item() for moment in (decided().min(), decided().max()))
        trained, tested = last - first, self.until - self.holdout_from
        if trained >= tested:
            return None
        return (
            f"models learn from {length_in_words(trained)} and are judged on {length_in_words(tested)}: there is too "
            "little history for this `split`. Load more, or give its windows as shares of the rows there are: "
            "`{holdout: 0.2, validation: 0.2}`"
        )

    def _within(self) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
        """Return whether a row lies in the windows of training, validation and holdout."""
        train, validation, holdout = (
            (decided() >= start if start else decided().is_not_null())
            & (decided() < end)
            & (decided() <= end - self.horizon)
            for start, end in (
                (self.train_from, self.validation_from),
                (self.validation_from, self.holdout_from),
                (self.holdout_from, self.until),
            )
        )
        return train, validation, holdout

    @property
    def fingerprint(self) -> str:
        """The windows."""
        return self.record

    @property
    def record(self) -> str:
        """The windows as JSON."""
        moments = {name: getattr(self, name) for name in _MOMENTS}
        return json.dumps(
            {
                "kind": "windows",
                **{name: moment.isoformat() for name, moment in moments.items() if moment},
                "horizon_s": self.horizon.total_seconds(),
            }
        )


_MOMENTS = ("train_from", "validation_from", "holdout_from", "until")


@dataclass(frozen=True, kw_only=True)
class TimeSplit:
    """How the time before an as-of moment is divided: training, then validation, then holdout.

    A window is as long as it says, such as `30d`, `6h` or `90m`, or holds a share of the rows that there are as of that
    moment with a known outcome, those of all sites together.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    holdout: str | float | None = None
    """What models are judged on: the newest time, such as `30d`, or the newest share of the rows, such as 0.2."""
    validation: str | float | None = None
    """What chooses threshold, calibration and when to stop: the time before that, or a share of the rows before it."""
    train: str | None = None
    """The time before that, which models learn from; left out: all there is."""
    holdout_days: int | None = None
    """The same as `holdout`, as a number of days."""
    validation_days: int | None = None
    """The same as `validation`, as a number of days."""
    train_days: int | None = None
    """The same as `train`, as a number of days."""

    def __post_init__(self) -> None:
        """Raise LineError unless holdout and validation are each given once, as a length or as a share of the rows."""
        for name in ("holdout", "validation"):
            self._require_once(name)
        if self.train is not None and self.train_days is not None:
            raise LineError("split: say either `train` or `train_days`, one of the two", at=("train",))
        for name in ("holdout_days", "validation_days", "train_days"):
            days = getattr(self, name)
            if days is not None and days <= 0:
                raise LineError(f"split: {name} {days} must be 1 or more", at=(name,))
        for name in ("holdout", "validation", "train"):
            if isinstance(length := self._length(name), timedelta) and not length:
                raise LineError(f"split: {name} must be longer than nothing", at=(name,))

    def _require_once(self, name: str) -> None:
        written, days = getattr(self, name), getattr(self, f"{name}_days")
        if (written is None) == (days is None):
            raise LineError(
                f"split: say `{name}` once, as a length such as 30d or 6h, or as a share of the rows such as 0.2",
                at=(name,) if written is not None else (),
            )
        if isinstance(written, int | float) and not 0 < written < 1:
            raise LineError(
                f"split: {name} {written:g} must be a share between 0 and 1, or a length such as 30d", at=(name,)
            )

    def _length(self, name: str) -> timedelta | float | None:
        """Return a window's length, or its share; None where training has all there is."""
        days, written = getattr(self, f"{name}_days"), getattr(self, name)
        if days is not None:
            return timedelta(days=days)
        return length_of(written, name) if isinstance(written, str) else written

    @property
    def asks_for_rows(self) -> bool:
        """Whether one of its windows is a share."""
        return any(isinstance(self._length(name), float) for name in ("holdout", "validation"))

    def division(self, rows: pl.DataFrame, until: datetime, horizon: timedelta) -> Windows:
        """Return the windows that end at `until`."""
        known = self._known_moments(rows, until - horizon) if self.asks_for_rows else pl.Series(dtype=pl.Int64)
        holdout_from = _start(self._length("holdout"), until, known)
        before = known.filter(known <= holdout_from - horizon) if self.asks_for_rows else known
        validation_from = _start(self._length("validation"), holdout_from, before)
        train = self._length("train")
        return Windows(
            train_from=validation_from - train if isinstance(train, timedelta) else None,
            validation_from=validation_from,
            holdout_from=holdout_from,
            until=until,
            horizon=horizon,
        )

    def _known_moments(self, rows: pl.DataFrame, until: datetime) -> pl.Series:
        """Return the moments, in order, of the decisions whose outcome is known."""
        known = rows.filter(pl.col(LABEL).is_not_null()).select(decided().cast(pl.Datetime("us"))).to_series()
        return known.filter(known <= until).sort()


def _start(length: timedelta | float | None, end: datetime, known: pl.Series) -> datetime:
    """Return where a window begins that ends at `end` and is so long, or has that share of the known moments."""
    if isinstance(length, timedelta):
        return end - length
    before = known.filter(known < end)
    place = math.ceil(len(before) * (1 - (length or 0.0)))
    start: datetime = before[place] if place < len(before) else end
    return start


@dataclass(frozen=True, kw_only=True)
class EntitySplit:
    """How things are divided: by a hash of their names, or by a column of the features that says what is held out.

    A thing stays on its side whatever other things there are, and on every machine.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    validation_share: float = 0.2
    """Share of the things that are not held out."""
    holdout_share: float | None = None
    """Share of all things."""
    holdout: str | None = None
    """A column of the features, true or 1 where a row belongs to the holdout, false or 0 elsewhere."""
    last_only: bool = False
    """Whether only the last row of each thing held out is judged, as in published tests of remaining life."""

    def __post_init__(self) -> None:
        """Raise LineError unless the holdout is given in exactly one way and each share leaves rows on both sides."""
        if (self.holdout is None) == (self.holdout_share is None):
            raise LineError("split: say either `holdout_share` or the column `holdout`, one of the two")
        for name in ("validation_share", "holdout_share"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise LineError(f"split: {name} {share:g} must lie between 0 and 1", at=(name,))

    asks_for_rows: ClassVar[bool] = False
    """Whether the division depends on the rows that there are: a thing stays on its side whatever others there are."""

    def division(self, rows: pl.DataFrame, until: datetime, horizon: timedelta) -> "EntityDivision":  # noqa: ARG002
        """Return the division, which is the same at any moment."""
        return EntityDivision(split=self, until=until)

    def divided(self, rows: pl.DataFrame, entity: Sequence[str]) -> Parts:
        """Return each side's rows; rows without a label are in none."""
        if self.holdout is not None and self.holdout not in rows.columns:
            raise LineError(f"split: the features have no column {self.holdout!r}; give it in `features: build`")
        placed = rows.with_row_index(PLACE)
        chance, held = _chances(placed, [SITE, *entity]), self._held(placed, entity)
        # The chance of rows not held out is scaled to 0 to 1 again: the two shares do not depend on each other.
        left = chance if self.holdout else chance / (1 - (self.holdout_share or 0))
        known = placed.with_columns(_held=held, _validates=left >= 1 - self.validation_share).filter(
            pl.col(LABEL).is_not_null()
        )
        holdout = known.filter("_held")
        if self.last_only:
            holdout = holdout.sort(PLACE).unique([SITE, *entity], keep="last", maintain_order=True)
        learnt_from = known.filter(~pl.col("_held"))
        return Parts(
            train=learnt_from.filter(~pl.col("_validates")).drop("_held", "_validates"),
            validation=learnt_from.filter("_validates").drop("_held", "_validates"),
            holdout=holdout.drop("_held", "_validates"),
            rows=placed,
        )

    def learnt_from(self, rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
        """Return whether a row's thing is not held out; all are taken for learnt from if that column is gone."""
        if self.holdout is not None and self.holdout not in rows.columns:
            return pl.Series([True]).new_from_index(0, len(rows))
        return (~self._held(rows, entity)).fill_null(value=True)

    def _held(self, rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
        if self.holdout:
            return _flags(rows[self.holdout])
        return _chances(rows, [SITE, *entity]) >= 1 - (self.holdout_share or 0)


def _flags(column: pl.Series) -> pl.Series:
    """Return a column of true and false, or of 1 and 0, as Boolean. Raises LineError on any other."""
    if column.dtype.is_numeric() and column.drop_nulls().is_in([0, 1]).all():
        return column.cast(pl.Boolean)
    if column.dtype != pl.Boolean:
        found = ", ".join(str(value) for value in column.drop_nulls().unique().sort().head(3))
        raise LineError(
            f"split: the column {column.name!r} says what is held out, and is {column.dtype} with values such "
            f"as {found}; give true and false, or 1 and 0, in `features: build`",
            at=("holdout",),
        )
    return column


@dataclass(frozen=True, kw_only=True)
class EntityDivision:
    """A division by whole things, as of a moment, which changes no thing's side."""

    split: EntitySplit
    until: datetime

    def divided(self, rows: pl.DataFrame, entity: Sequence[str]) -> Parts:
        """Return each side's rows; rows without a label are in none."""
        return self.split.divided(rows, entity)

    def learnt_from(self, rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
        """Return whether a row's thing is not held out; all are taken for learnt from if that column is gone."""
        return self.split.learnt_from(rows, entity)

    @property
    def fingerprint(self) -> str:
        """The shares."""
        return str(self.split)

    @property
    def record(self) -> str:
        """The shares as JSON."""
        known = {name: value for name, value in asdict(self.split).items() if value is not None}
        return json.dumps({"kind": "entity", "until": self.until.isoformat(), **known})


def _chances(rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
    """Return for each row a number in [0, 1) that depends on the name of its thing alone."""
    names = rows.select(pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in entity], separator="|"))
    thing = names.to_series().alias("name")
    distinct = thing.unique()
    drawn = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big") / 2**56 for name in distinct]
    return thing.replace_strict(distinct, pl.Series(drawn, dtype=pl.Float64), return_dtype=pl.Float64)


def division_on_record(record: str) -> Division:
    """Read which rows a model has learnt from or was chosen by; raises LineError on what no division wrote.

    A later model may be judged as of an earlier day, or by another division: the record tells what this one has seen.
    """
    try:
        fields = json.loads(record)
        kind = fields.pop("kind")
        if kind == "windows":
            horizon = timedelta(seconds=fields.pop("horizon_s"))
            train_from = datetime.fromisoformat(fields.pop("train_from")) if "train_from" in fields else None
            moments = {name: datetime.fromisoformat(moment) for name, moment in fields.items()}
            return Windows(train_from=train_from, horizon=horizon, **moments)
        until = datetime.fromisoformat(fields.pop("until"))
        # Models from before windows were on record have the lengths of a split by time, in days.
        split: Split = {"time": TimeSplit, "entity": EntitySplit}[kind](**fields)
        return split.division(pl.DataFrame(), until, timedelta(0))
    except (ValueError, KeyError, TypeError, AttributeError, LineError) as error:
        raise LineError(f"the record of what a model learnt from cannot be read: {record!r}") from error
