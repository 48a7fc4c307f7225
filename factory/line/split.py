"""Feature rows in, training, validation and holdout out; only rows whose outcome is known.

`TimeSplit` divides by the moment of decision: a model is judged on rows later than those it learnt from. `EntitySplit`
divides by the thing a row is about, such as an engine with its life; no thing is on both sides. It suits tables without
times, too.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

import polars as pl

from factory.errors import LineError
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


class Split(Protocol):
    """A way to divide feature rows."""

    def divided(self, rows: pl.DataFrame, until: datetime, entity: Sequence[str]) -> Parts:
        """Divide the rows; `entity` are the columns that, within a site, say what a row is about."""
        ...

    def learnt_from(self, rows: pl.DataFrame, until: datetime, entity: Sequence[str]) -> pl.Series:
        """Return, for each row, whether models of this division learn from it or are chosen by it."""
        ...

    def fingerprint(self, until: datetime) -> str:
        """Return what, beside the rows, decides the division; the journal compares it between runs."""
        ...


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where training ends and validation and holdout begin; each window is half-open, `[from, next)`."""

    train_from: datetime
    validation_from: datetime
    holdout_from: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class TimeSplit:
    """How the time before an as-of moment is divided: training, then validation, then holdout."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    holdout_days: int
    """Days before the as-of day that models are judged on."""
    validation_days: int
    """Days before those that choose threshold, calibration and when to stop."""
    train_days: int
    """Days before those that models learn from."""

    def before(self, until: datetime) -> Windows:
        """Return the windows that end at `until`."""
        holdout_from = until - timedelta(days=self.holdout_days)
        validation_from = holdout_from - timedelta(days=self.validation_days)
        return Windows(
            train_from=validation_from - timedelta(days=self.train_days),
            validation_from=validation_from,
            holdout_from=holdout_from,
            until=until,
        )

    def divided(self, rows: pl.DataFrame, until: datetime, entity: Sequence[str]) -> Parts:  # noqa: ARG002
        """Return the rows of each window; rows outside all windows and rows without a label are in none."""
        windows = self.before(until)
        placed = rows.with_row_index(PLACE)
        moment = decided()
        known = placed.filter(pl.col(LABEL).is_not_null())
        train, validation, holdout = (
            known.filter((moment >= start) & (moment < end))
            for start, end in [
                (windows.train_from, windows.validation_from),
                (windows.validation_from, windows.holdout_from),
                (windows.holdout_from, windows.until),
            ]
        )
        return Parts(train=train, validation=validation, holdout=holdout, rows=placed)

    def learnt_from(self, rows: pl.DataFrame, until: datetime, entity: Sequence[str]) -> pl.Series:  # noqa: ARG002
        """Return whether a row lies in the windows of training and validation; its outcome may come in later."""
        windows = self.before(until)
        return rows.select(decided().is_between(windows.train_from, windows.holdout_from, closed="left")).to_series()

    def fingerprint(self, until: datetime) -> str:
        """Return the windows."""
        return str(self.before(until))


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
    """A Boolean column of the features: true where a row belongs to the holdout."""
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

    def divided(self, rows: pl.DataFrame, until: datetime, entity: Sequence[str]) -> Parts:  # noqa: ARG002
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

    def learnt_from(self, rows: pl.DataFrame, until: datetime, entity: Sequence[str]) -> pl.Series:  # noqa: ARG002
        """Return whether a row's thing is not held out; all are taken for learnt from if that column is gone."""
        if self.holdout is not None and self.holdout not in rows.columns:
            return pl.Series([True]).new_from_index(0, len(rows))
        return (~self._held(rows, entity)).fill_null(value=True)

    def _held(self, rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
        if self.holdout:
            return rows[self.holdout]
        return _chances(rows, [SITE, *entity]) >= 1 - (self.holdout_share or 0)

    def fingerprint(self, until: datetime) -> str:  # noqa: ARG002  time changes no thing's side
        """Return the shares."""
        return str(self)


def _chances(rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
    """Return for each row a number in [0, 1) that depends on the name of its thing alone."""
    names = rows.select(pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in entity], separator="|"))
    thing = names.to_series().alias("name")
    distinct = thing.unique()
    drawn = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big") / 2**56 for name in distinct]
    return thing.replace_strict(distinct, pl.Series(drawn, dtype=pl.Float64), return_dtype=pl.Float64)


_SPLITS: dict[str, type[TimeSplit | EntitySplit]] = {"time": TimeSplit, "entity": EntitySplit}


@dataclass(frozen=True, kw_only=True)
class LearntFrom:
    """Which rows a model has learnt from or was chosen by: a division and its moment, on record with the model.

    A later model may be judged as of an earlier day, or by another division: the record tells what this one has seen.
    """

    split: Split
    until: datetime

    def to_json(self) -> str:
        """Return the record; `from_json` is the inverse."""
        kind = next(name for name, split in _SPLITS.items() if isinstance(self.split, split))
        known = {name: value for name, value in asdict(self.split).items() if value is not None}  # type: ignore[call-overload]
        return json.dumps({"kind": kind, "until": self.until.isoformat(), **known})

    @classmethod
    def from_json(cls, record: str) -> "LearntFrom":
        """Read a record; raises LineError on what `to_json` never wrote."""
        try:
            fields = json.loads(record)
            kind, until = fields.pop("kind"), datetime.fromisoformat(fields.pop("until"))
            return cls(split=_SPLITS[kind](**fields), until=until)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LineError(f"the record of what a model learnt from cannot be read: {record!r}") from error

    def of(self, rows: pl.DataFrame, entity: Sequence[str]) -> pl.Series:
        """Return, for each row, whether the model learnt from it or was chosen by it."""
        return self.split.learnt_from(rows, self.until, entity)
