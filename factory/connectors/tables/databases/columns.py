"""One column of a SQL table: the Polars type its values come as, and the SQL expressions that ask for them.

A family of databases says by a subclass what is its own. The promise is the same for all: a value comes exactly as the
database has it, in a type that holds it, or as the text that the database writes for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Self

import polars as pl
import sqlalchemy as sa

SLACK = timedelta(days=1)
"""A column without a zone may be in any: it is narrowed with a day to spare, and the source filters exactly."""

Expression = sa.ColumnElement[Any]
Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of any database."""

    name: str
    dtype: pl.DataType
    """What its values come as."""
    kind: Any = None
    """The type by the database's own name or SQLAlchemy's object."""
    through_driver: bool = True
    """Whether a driver makes values of what the database sends: then those that are not null are counted too."""

    @property
    def at(self) -> Expression:
        """The column itself; untyped, so that SQLAlchemy changes no value."""
        return sa.column(self.name)

    def sent(self, value: Expression) -> Expression:
        """Return what to select for a value of this column: the value, or its exact text."""
        return value

    def misfit(self) -> Condition | None:
        """Return the condition of values that `dtype` cannot hold, such as `infinity`; None where it holds all."""
        return None

    def as_text(self) -> Self:
        """Return this column with every value as the text that the database writes for it."""
        return replace(self, dtype=pl.String())

    def among(self, values: Sequence[str]) -> Condition | None:
        """Return a condition that no row with one of these texts fails; None where there is no such condition."""
        return self.sent(self.at).in_(list(values)) if self.dtype == pl.String else None

    def grouped(self) -> tuple[Expression, list[Expression]]:
        """Return what to select of a group of equal values, and what to group by: never two values as one."""
        return self.sent(self.at), [self.at]

    def within(self, after: Any, until: datetime | None) -> list[Condition]:
        """Return conditions that no row fails whose value is in `[after, until)`, is null, or can be no moment."""
        bounds: list[Condition] = []
        if self.dtype.is_integer() and isinstance(after, int):
            bounds.append(self.at >= after)
        elif isinstance(self.dtype, pl.Datetime | pl.Date):
            first, end = _in_utc(after), _in_utc(until)
            if first is not None and first > datetime.min + SLACK:
                bounds.append(self.at >= self.bound(first - SLACK))
            if end is not None and end < datetime.max - SLACK:
                bounds.append(self.at <= self.bound(end + SLACK))
        unknown = [self.at.is_(None), *([] if (misfit := self.misfit()) is None else [misfit])]
        return [sa.or_(bound, *unknown) for bound in bounds]

    def bound(self, moment: datetime) -> Any:
        """Return a moment on this column's clock as what it is compared with."""
        return moment.date() if self.dtype == pl.Date else moment

    def before(self, until: datetime) -> Condition | None:
        """Return the condition of values before a moment; None where the column holds no moments.

        A column without a zone is on the clock that the moment is given on.
        """
        if not isinstance(self.dtype, pl.Datetime | pl.Date):
            return None
        zoned = isinstance(self.dtype, pl.Datetime) and self.dtype.time_zone
        moment = until.astimezone(UTC) if zoned and until.tzinfo else until
        before: Condition = self.at < self.bound(moment.replace(tzinfo=None))
        return before


def _in_utc(moment: Any) -> datetime | None:
    """Return a moment, or a day's first one, in UTC and without a zone; None for all else."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return datetime.combine(moment, time()) if isinstance(moment, date) else None
