"""What a database counts before a load, against what came: the account that says that no row and no value was lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import polars as pl
import sqlalchemy as sa

from factory.connectors.tables.databases.columns import Column, Condition
from factory.connectors.tables.databases.database import Database
from factory.connectors.tables.databases.queries import numbered
from factory.errors import SourceError


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of rows, of values of each column that are not null, and of those that its type cannot hold."""

    rows: int
    values: Mapping[str, int]
    misfits: Mapping[str, int]

    @classmethod
    def of(
        cls, database: Database, table: sa.TableClause, columns: Sequence[Column], conditions: Sequence[Condition]
    ) -> Self:
        """Return what the database itself counts under some conditions, in one query."""
        through_driver = [column for column in columns if column.through_driver]
        misfits = {column.name: misfit for column in columns if (misfit := column.misfit()) is not None}
        counted = [sa.func.count(), *(sa.func.count(column.at) for column in through_driver)]
        counted += [sa.func.count(sa.case((misfit, sa.literal_column("1")))) for misfit in misfits.values()]
        query = numbered(counted, table).where(*conditions)
        schema = {f"c{number}": pl.Int64() for number in range(len(counted))}
        rows, *counts = pl.concat(database.frames(query, schema)).row(0)
        values = dict(zip((column.name for column in through_driver), counts, strict=False))
        return cls(rows=rows, values=values, misfits=dict(zip(misfits, counts[len(values) :], strict=True)))


@dataclass(kw_only=True)
class Delivered:
    """What came of a load so far."""

    counted: Counts
    rows: int = 0
    values: dict[str, int] = field(default_factory=dict)

    def add(self, frame: pl.DataFrame) -> None:
        """Count a batch's rows and values."""
        self.rows += len(frame)
        for name in self.counted.values:
            self.values[name] = self.values.get(name, 0) + len(frame) - frame[name].null_count()

    def require_all(self, table: str) -> None:
        """Raise SourceError where other rows, or other values, came than the database counted."""
        wrong = [("rows", self.counted.rows, self.rows)] if self.rows != self.counted.rows else []
        for name, counted in self.counted.values.items():
            if (came := self.values.get(name, 0)) != counted:
                wrong.append((f"values in column {name!r}", counted, came))
        if wrong:
            what, counted, came = wrong[0]
            raise SourceError(
                f"table {table}: the database counts {counted:,} {what} and {came:,} came; was it written to "
                "meanwhile? Run again; if it says so again, ask who runs the database"
            )
