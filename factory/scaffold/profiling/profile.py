"""`profiled`: a table in, what a person and a line must know of it out; two passes over its batches, bounded memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from factory.connectors.tables.arguments import TableAt
from factory.errors import SourceError
from factory.line.parsing import Parse
from factory.scaffold.profiling.counting import HASHES, Counts, Distinct
from factory.scaffold.profiling.naming import words_of
from factory.scaffold.profiling.order import Neighbours, TimeOrder
from factory.scaffold.profiling.sampling import RowSample
from factory.scaffold.profiling.shapes import Shape
from factory.scaffold.profiling.suspects import Suspect
from factory.scaffold.profiling.task import Task

Holds = Literal["nothing", "constant", "flag", "number", "category", "moment", "text", "id"]
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_ID_WORDS = frozenset(["id", "ids", "key", "no", "nr", "number", "index", "uuid", "guid", "code", "ref", "identifier"])
_CATEGORIES = 30
_TEXT_WORDS = 3
_TEXT_LONG = 40


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: its name in the line and in the table, its shape, its counts."""

    name: str
    source_name: str
    shape: Shape
    counts: Counts
    quantiles: Mapping[float, float] = field(default_factory=dict)
    """Of a sample; empty for what is no number."""

    @property
    def kind(self) -> str:
        """The Polars type's name."""
        return self.shape.kind

    @property
    def known(self) -> int:
        """How many rows have a value."""
        return self.counts.rows - self.counts.nulls

    @property
    def empty(self) -> int:
        """How many rows have no value, those with one that cannot be read not counted."""
        return self.counts.nulls - self.shape.unread

    @property
    def null_share(self) -> float:
        """The share of rows without a value."""
        return self.counts.nulls / self.counts.rows if self.counts.rows else 0.0

    @property
    def unique(self) -> bool:
        """Whether every row has a value and no two the same; of a very large table, as far as a sample tells."""
        return self.counts.rows > 0 and not self.counts.nulls and not self.counts.distinct.repeated

    @property
    def holds(self) -> Holds:
        """What the values are to a model."""
        if not self.known:
            return "nothing"
        if self.counts.values is not None and len(self.counts.values) == 1:
            return "constant"
        if self.kind == "Boolean":
            return "flag"
        if self.kind.startswith("Date"):
            return "moment"
        return self._number() if self.kind != "String" else self._text()

    def _number(self) -> Holds:
        numbered = self.kind == "Int64" and self.unique and self.counts.rows >= 50
        if numbered and self.counts.high - self.counts.low < 2 * self.counts.rows:
            return "id"
        mostly = self.counts.distinct.count > 0.5 * self.known
        named = bool(_ID_WORDS & set(words_of(self.source_name)))
        return "id" if self.kind == "Int64" and named and mostly and self.known >= 50 else "number"

    def _text(self) -> Holds:
        distinct, words = self.counts.distinct.count, self.counts.words / self.known
        if (
            self.counts.longest <= _TEXT_LONG
            and distinct <= _CATEGORIES
            and (distinct <= 12 or self.known >= 5 * distinct)
        ):
            return "category"
        if words >= _TEXT_WORDS or (self.counts.longest > _TEXT_LONG and words > 1.5):
            return "text"
        return "id" if distinct > 0.5 * self.known or self.counts.longest > _TEXT_LONG else "category"


@dataclass(frozen=True, kw_only=True)
class TableProfile:
    """What any table holds, whatever it is to be used for. Names are the line's."""

    at: TableAt
    parse: Parse
    rows: int
    columns: Mapping[str, Column]
    keys: Mapping[tuple[str, ...], Counts]
    """Combinations of columns that might tell rows apart, and how often each was seen."""
    personal: Sequence[Suspect]
    sample: pl.DataFrame
    unused: Mapping[str, str]
    """Columns of the table that no line can use → why."""


@dataclass(frozen=True, kw_only=True)
class Profile(TableProfile):
    """What a table with a target holds; `site`, `time`, `entity` are empty where none was named."""

    target: str
    site: str
    time: str
    entity: str
    task: Task
    key: tuple[str, ...]
    """Columns that tell rows apart; empty where none do."""
    order: TimeOrder | None
    alike: float
    """How much more alike the targets of rows beside each other are than those of rows at large; 0 to 1."""
    labelled: Mapping[Any, tuple[int, int]]
    """Each value of the site column → its rows, and those with a target; None stands for no value."""
    suspects: Sequence[Suspect]

    @property
    def left_out(self) -> dict[str, str]:
        """Columns that must not be features → why."""
        return {one.column: one.why for one in (*self.personal, *self.suspects) if one.left_out}


class Counting:
    """The second pass: typed batches in, counts out."""

    def __init__(
        self, names: Sequence[str], *, site: str, target: str, order: TimeOrder | None, keys: Sequence[tuple[str, ...]]
    ) -> None:
        limit = max(2_000, HASHES // max(len(names) + len(keys), 1))
        self.counts = {name: Counts(distinct=Distinct(limit=limit)) for name in names}
        self.keys = {key: Counts(distinct=Distinct(limit=limit)) for key in keys}
        self.sample = RowSample(len(names))
        self.labelled: dict[Any, tuple[int, int]] = {}
        self.neighbours = Neighbours()
        self.order = order
        self.rows = 0
        self._site, self._target = site, target

    def see(self, batch: pl.DataFrame) -> None:
        """Count a batch."""
        self.rows += len(batch)
        for name, counts in self.counts.items():
            counts.see(batch[name])
        for key, counts in self.keys.items():
            rows = batch.select(key)
            counts.rows += len(rows)
            counts.nulls += len(rows) - len(rows.drop_nulls())
            counts.distinct.see(rows.hash_rows(1, 2, 3, 4).to_numpy())
        self.sample.see(batch)
        if self._target:
            self.neighbours.see(batch[self._target])
        if self.order:
            self.order.see(batch)
        if self._site:
            self._count_sites(batch)

    def _count_sites(self, batch: pl.DataFrame) -> None:
        counts = batch.group_by(self._site).agg(pl.len().alias("_rows"), pl.col(self._target).count().alias("_known"))
        for site, rows, known in counts.iter_rows():
            before = self.labelled.get(site, (0, 0))
            self.labelled[site] = (before[0] + rows, before[1] + known)
        if len(self.labelled) > MOST_SITES:
            raise SourceError(
                f"column {self._site!r} has more than {MOST_SITES} different values; a site is a plant, a shop, a "
                "carrier: choose a column with fewer, or name this one with --entity"
            )


MOST_SITES = 2_000


def quantiles_of(values: pl.Series) -> dict[float, float]:
    """Return a sample's quantiles; none of what is no number."""
    known = (values.fill_nan(None) if values.dtype.is_float() else values).drop_nulls()
    if not values.dtype.is_numeric() or not len(known):
        return {}
    return {share: float(known.quantile(share, "linear") or 0.0) for share in _QUANTILES}
