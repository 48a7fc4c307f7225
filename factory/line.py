"""What a line is: its tables and their contracts, its features, recipe, gates and money, as frozen data.

Read from `lines/<line>/defs.yaml` by the orchestrator's component; nothing here knows where a line came from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

import polars as pl

from factory.contract.expectation import Expectation
from factory.gates import Gates
from factory.training.recipe import Recipe
from factory.value import Value

Repair = Callable[[pl.LazyFrame], pl.LazyFrame]
BuildFeatures = Callable[[Mapping[str, pl.LazyFrame]], pl.LazyFrame]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One raw table of a line, exactly as its source delivers it."""

    name: str
    columns: Mapping[str, str]
    """Column name → Polars type name, in the source's order."""
    key: tuple[str, ...]
    """What identifies a row; a later row of the same key supersedes the earlier one."""
    cursor: str
    """The column that only grows as time passes; loading goes on from the largest value the lake has."""
    site_column: str | None
    """The column that names the site, or None for a table that all sites share."""
    contract: tuple[Expectation, ...]
    repair: Repair


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where training ends and validation and holdout begin; each window is half-open, `[from, next)`."""

    train_from: datetime
    validation_from: datetime
    holdout_from: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the time before an as-of moment is divided; always by time, never at random."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    holdout_days: int
    validation_days: int
    train_days: int

    def before(self, until: datetime) -> Windows:
        """Return the windows that end at `until`: training, then validation, then holdout."""
        holdout_from = until - timedelta(days=self.holdout_days)
        validation_from = holdout_from - timedelta(days=self.validation_days)
        return Windows(
            train_from=validation_from - timedelta(days=self.train_days),
            validation_from=validation_from,
            holdout_from=holdout_from,
            until=until,
        )


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the network sees: the function that builds it, and each column with a sentence on what it holds."""

    build: BuildFeatures
    columns: Mapping[str, str]
    key: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One production line: a business decision, its data, its model recipe, its gates and its money."""

    name: str
    purpose: str
    owner: str
    decision_table: str
    tables: Mapping[str, Table]
    features: Features
    split: Split
    recipe: Recipe
    gates: Gates
    value: Value
    default_until: datetime

    @property
    def decisions(self) -> Table:
        """The table with one row a decision; it belongs to sites."""
        return self.tables[self.decision_table]

    @property
    def shared_tables(self) -> tuple[Table, ...]:
        """The tables that all sites share."""
        return tuple(table for table in self.tables.values() if table.site_column is None)

    def lake_table(self, stage: str, table: Table) -> str:
        """Return where a stage keeps a table: the decision table owns the plain name, others append theirs."""
        if stage == "raw":
            return f"raw/{table.name}"
        return stage if table.name == self.decision_table else f"{stage}_{table.name}"
