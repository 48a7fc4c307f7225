"""What a line is: its tables and their contracts, its features, recipe, gates and money, as frozen data.

Read from `lines/<line>/defs.yaml` by the orchestrator's component; nothing here knows where a line came from.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime

import polars as pl

from factory.errors import LineError, NameRefused
from factory.line.announced import Announced
from factory.line.calendar import Calendar, SiteThrough
from factory.line.changes import Changes, SurrogateKey
from factory.line.costs import Costs
from factory.line.drift import Limits
from factory.line.expectation import Expectation
from factory.line.freshness import Freshness
from factory.line.gates import Gates
from factory.line.label import Label
from factory.line.look_back import LookBack
from factory.line.outcomes import Outcomes
from factory.line.parsing import Parse
from factory.line.personal import Marking, PersonalData, Pseudonyms, Treatment, require_marks
from factory.line.recipe import Recipe
from factory.line.schema_changes import SchemaChanges
from factory.line.sinks import ColumnKind, SinkSection, kind_of_column, message_columns
from factory.line.site_names import SiteNames
from factory.line.split import DECIDED_AT, Division, Parts, Split, division_on_record
from factory.line.windows import Window
from factory.model.signature import Signature
from factory.names import checked_name
from factory.tasks.task import Floats, Task, Value

Repair = Callable[[pl.LazyFrame], pl.LazyFrame]
BuildFeatures = Callable[[Mapping[str, pl.LazyFrame]], pl.LazyFrame]
Figure = Callable[[Floats, Floats], float]
"""A line's own figure of merit: labels `[rows]` and answers `[rows, answers]` in, a number out."""


def unchanged(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return rows as they are: the repair of a table that needs none."""
    return rows


NOT_SAID = ("",)
"""The key of a table whose section says none, as a calendar's: a table without a key says `[]`."""
LEARNT_FROM = "learnt_from"
"""What a model's provenance calls the record of the rows it learnt from or was chosen by."""


@dataclass(frozen=True, kw_only=True)
class TableKeys:
    """What a line's file says of a raw table, and the line knows just so."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Each column and its type, a Polars type's name, in the source's order; those of a calendar are known."""
    key: tuple[str, ...] = NOT_SAID
    """The columns that identify a row; a later row of the same key supersedes the earlier one. Empty: rows are told
    apart by all that is in them, and none supersedes another."""
    cursor: str = ""
    """The column that only grows as time passes; loading goes on from the largest value the lake has. Empty: the whole
    table is loaded anew."""
    announced: Announced | None = None
    """Since when rows are known before their cursor, and with which columns; without it a row is known once it
    happens."""
    parse: Parse = field(default_factory=Parse)
    """How the source writes its values: signs of numbers, dates, missing values."""
    site_names: SiteNames = field(default_factory=SiteNames)
    """Which values of the site column are the same site."""
    schema_changes: SchemaChanges = field(default_factory=SchemaChanges)
    """What becomes of rows that come with other columns than these."""
    max_quarantine_share: float = 0.5
    """The largest share of a site's rows, of those that came in at once, that may go to quarantine; where it is more,
    and more than ten rows, the site stops and its clean rows stay as they are."""
    changes: Changes = field(default_factory=Changes)
    """How corrections, late rows and deletions at the source are known."""
    surrogate_key: SurrogateKey | None = None
    """A key made of the rows' content, for a table without one."""
    known_at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A moment of the repaired row → raw columns that become known then; the others do at the cursor."""
    personal: Mapping[str, Treatment] = field(default_factory=dict)
    """Column → what becomes of it before any row is kept, because it tells who a person is: `drop`, `mask` (`***`), or
    `pseudonymise`, which keeps that two values are the same. In such a table a column that is not declared is never
    kept, and a record that cannot be divided into columns is not either. `_file` marks the names of files."""
    calendar: Calendar | None = None
    """Of a table that no system has: it is made of the things it is about and of times."""


@dataclass(frozen=True, kw_only=True)
class Table(TableKeys):
    """One raw table of a line, exactly as its source delivers it."""

    name: str
    site_column: str | None
    """The column that names the site, or None for a table that all sites share."""
    contract: tuple[Expectation, ...]
    repair: Repair
    site_through: SiteThrough | None = None
    """Where the site column has the key of another table, which knows the site; its values are no sites then."""

    def __post_init__(self) -> None:
        """Raise LineError where a column is named that is not there, or announced rows could not be told apart."""
        require_marks(self)
        self._require_columns()
        if self.announced is not None:
            self._require_announced(self.announced)

    @property
    def delivered(self) -> "Table":
        """The table as its source has it: without the column that is made of the others."""
        if self.surrogate_key is None:
            return self
        made = self.surrogate_key.column
        columns = {name: kind for name, kind in self.columns.items() if name != made}
        return replace(self, columns=columns, key=tuple(name for name in self.key if name != made), surrogate_key=None)

    def site_of(self, value: str | None) -> str:
        """Return the site of a value of the site column as text: UNKNOWN for one that is missing or says nothing."""
        is_missing = value in self.parse.nulls(self.site_column or "")
        return self.site_names.site(None if is_missing else value)

    def by_site(self, values: Iterable[str | None]) -> dict[str, list[str | None]]:
        """Return each site with its values of the site column."""
        sites: dict[str, list[str | None]] = {}
        for value in values:
            sites.setdefault(self.site_of(value), []).append(value)
        return sites

    def _require_columns(self) -> None:
        if not 0 < self.max_quarantine_share <= 1:
            raise LineError(
                f"table {self.name}: max_quarantine_share is {self.max_quarantine_share:g}; it must be above 0 and at "
                "most 1",
                at=("max_quarantine_share",),
            )
        for key, columns in (("formats", self.parse.formats), ("null_values_of", self.parse.null_values_of)):
            if unknown := sorted(set(columns) - set(self.columns)):
                raise LineError(
                    f"table {self.name}: parse: {key} names {unknown[0]!r}, which is not among its columns",
                    at=("parse", key, unknown[0]),
                )
        self._require_changes()
        named = {column for columns in self.known_at.values() for column in columns}
        if unknown := sorted(named - set(self.columns)):
            raise LineError(
                f"table {self.name}: known_at names {unknown[0]!r}, which is not among its columns", at=("known_at",)
            )

    def _require_changes(self) -> None:
        """Raise LineError where changes could not be known in the way that the section says."""
        for column in self.changes.columns:
            if column not in self.columns:
                raise LineError(
                    f"table {self.name}: changes names {column!r}, which is not among its columns", at=("changes",)
                )
        if made := self.surrogate_key:
            named = [made.column, *made.leave_out]
            if unknown := [name for name in named if name not in self.columns]:
                raise LineError(
                    f"table {self.name}: surrogate_key names {unknown[0]!r}, which is not among its columns",
                    at=("surrogate_key",),
                )
            if self.columns[made.column] != "String" or made.column in (self.cursor, self.site_column):
                raise LineError(
                    f"table {self.name}: the surrogate key {made.column!r} must be a column of its own, a String",
                    at=("surrogate_key", "column"),
                )
        kind = self.columns.get(self.cursor, "")
        if self.changes.known_by == "look_back" and not kind.startswith("Date"):
            raise LineError(
                f"table {self.name}: changes: look_back counts days before the cursor, which is "
                f"{kind or 'not declared'}; name a date or moment as `cursor`, or say `known_by: whole`",
                at=("changes", "known_by"),
            )
        if self.changes.column and not self.key:
            raise LineError(
                f"table {self.name}: changes: {self.changes.known_by} needs a `key`, which says what changed",
                at=("changes", "known_by"),
            )

    def _require_announced(self, announced: Announced) -> None:
        """Raise LineError where a row could not be told apart, or placed in time, by what is announced of it."""
        if unknown := sorted({announced.at, *announced.columns} - {"", *self.columns}):
            raise LineError(
                f"table {self.name}: announced names {unknown[0]!r}, which is not among its columns", at=("announced",)
            )
        needed = dict.fromkeys(filter(None, [*self.key, self.site_column, self.cursor, announced.at]))
        if missing := [name for name in needed if name not in announced.columns]:
            raise LineError(
                f"table {self.name}: announced: columns leaves out {', '.join(missing)}: key, site, cursor and `at` "
                "must be known when a row is announced",
                at=("announced", "columns"),
            )
        for name in (self.cursor, announced.at or self.cursor):
            if not self.columns.get(name, "").startswith("Datetime"):
                raise LineError(
                    f"table {self.name}: announced rows need a cursor that is a moment, and so is `at`; "
                    f"{name or 'none'} is {self.columns.get(name, 'not declared')}",
                    at=("announced",),
                )


@dataclass(frozen=True, kw_only=True)
class FeatureKeys:
    """What a line's file says of the features, and the line knows just so."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Each feature and a sentence about what it holds; the network sees them in this order, and windows that are not
    among them after these."""
    windows: Mapping[str, Window] = field(default_factory=dict)
    """Features that need no code: what rows of other tables said before the decision."""
    decided_at: str = ""
    """Where there are windows: the column of the repaired decision table with the moment of the decision; without it
    the table's cursor."""
    key: tuple[str, ...]
    """The columns that identify a decision."""
    entity: tuple[str, ...] = ()
    """The columns that say what a row is about, within its site: an engine, a customer. Its rows in time make one
    sequence."""
    across_sites: tuple[str, ...] = ()
    """Tables of sites of which a site's features depend on other sites' rows, too: all sites' rows must be there."""


@dataclass(frozen=True, kw_only=True)
class Features(FeatureKeys):
    """What the network sees: the function that builds it, and each column with a sentence about its content."""

    build: BuildFeatures


@dataclass(frozen=True, kw_only=True)
class LineKeys:
    """What a line's file says, and the line knows just so: a key that is added here is in both at once."""

    purpose: str
    """The decision, in one sentence that the person who takes it would say."""
    owner: str
    """Who answers for the line: a mail address or a team."""
    decision_table: str
    """The table with one row a decision; it has a site column."""
    task: Task
    """What kind of answer the line gives."""
    split: Split
    """How feature rows are divided into training, validation and holdout: by time, or by whole things."""
    label: Label = field(default_factory=Label)
    """When it is known what became of a decision, and by which columns."""
    recipe: Recipe
    """The network and its training; what is not said is the recipe's default."""
    gates: Gates
    """What a candidate must reach before a site may serve it."""
    drift: Limits = field(default_factory=Limits)
    """When the line reports drift."""
    value: Value
    """What one decision is worth, in EUR; the task decides which amounts there are."""
    schedule: str = field(default="", metadata={"examples": ["0 4 1 * *"]})
    """When the whole line runs by itself: five fields of cron, in UTC; empty: never."""
    costs: Costs = field(default_factory=Costs)
    """What making models costs, in EUR."""
    online_snapshot: LookBack | None = None
    """How far back features look, where the gateway is to build them; without it the gateway takes features only."""
    freshness: Freshness = field(default_factory=Freshness)
    """How old a site's newest row may be before a check names the site."""
    sinks: Mapping[str, SinkSection] = field(default_factory=dict)
    """The business systems that get the line's decisions, by a name of one's own."""
    outcomes: Outcomes = field(default_factory=Outcomes)
    """What a decision that was acted on did to its own outcome."""
    personal_data: PersonalData = field(default_factory=PersonalData)
    """What holds for the columns that tables mark as personal."""


@dataclass(frozen=True, kw_only=True)
class Line(LineKeys):
    """One production line: a business decision, its data, its model recipe, its gates and its money."""

    name: str
    tables: Mapping[str, Table]
    features: Features
    figures: Mapping[str, Figure]
    """The line's own figures of merit, reported beside the task's."""
    as_of: datetime | None
    """The moment before which the line looks at the world (UTC, naive); None: the beginning of today."""

    def __post_init__(self) -> None:
        """Raise LineError where the sections of a line do not fit each other."""
        if not isinstance(self.value, self.task.value):
            wanted = ", ".join(amount.name for amount in fields(self.task.value))
            raise LineError(f"value: a {self.task.kind} line says {wanted}", at=("value",))
        if self.recipe.steps is not None and not self.features.entity:
            raise LineError(
                "features: a sequence recipe needs `entity`, the columns that say what a sequence is of",
                at=("features",),
            )
        if DECIDED_AT in self.features.key:
            raise LineError(
                f"features: key names {DECIDED_AT!r}, as every feature row calls the moment of its decision; give the "
                "column of the decision table another name",
                at=("features", "key"),
            )
        self._require_recipe_columns()
        self._require_outcomes()
        if self.online_snapshot and (wrong := sorted(set(self.online_snapshot.last_of) - set(self.tables))):
            raise LineError(
                f"online_snapshot: last_of names {wrong[0]!r}; the tables are {', '.join(self.tables)}",
                at=("online_snapshot", "last_of", wrong[0]),
            )
        of_sites = [name for name, table in self.tables.items() if table.site_column]
        if others := [name for name in of_sites if name != self.decision_table]:
            column = self.tables[others[0]].site_column
            raise LineError(
                f"table {others[0]}: only the decision table, {self.decision_table}, is brought in site by site, and "
                f"the others whole, for all sites: write `site: null`; {column!r} stays one of its columns, on which "
                "features can join",
                at=("tables", others[0], "site"),
            )
        if self.online_snapshot and self.decisions.site_through:
            raise LineError(
                f"online_snapshot: the gateway cannot tell the site of a row of {self.decision_table}, which another "
                "table knows; leave the section out, or let the decision table have a column with the site",
                at=("online_snapshot",),
            )
        if wrong := sorted(set(self.features.across_sites) - set(of_sites)):
            raise LineError(
                f"features: across_sites names {wrong[0]!r}; the tables of sites are {', '.join(of_sites)}",
                at=("features", "across_sites"),
            )
        self._require_gates()
        self._require_sinks()

    def _require_sinks(self) -> None:
        """Raise LineError where a sink has no name that can be kept, or asks for what no message has."""
        for name, sink in self.sinks.items():
            try:
                checked_name(name, "sink")
                sink.require_columns(self.message_columns)
            except (LineError, NameRefused) as error:
                raise LineError(f"sinks: {name}: {error}", at=("sinks", name, *getattr(error, "at", ()))) from error

    @property
    def message_columns(self) -> dict[str, ColumnKind]:
        """The columns from which a sink's fields are filled, and what each holds."""
        key = {name: kind_of_column(self.decisions.columns.get(name, "")) for name in self.features.key}
        return message_columns(key, self.task.answers, self.features.columns)

    def _require_outcomes(self) -> None:
        """Raise LineError where decisions are to be told apart by whether they were acted on, and all are."""
        if self.outcomes.acted_on != "as_labelled" and not self.task.classifies:
            raise LineError(
                f"outcomes: every estimate is acted on, so none can be told apart: a {self.task.kind} line says "
                "`acted_on: as_labelled`",
                at=("outcomes", "acted_on"),
            )

    def _require_gates(self) -> None:
        """Raise LineError where the gates name what the line has not."""
        if self.gates.alike == "entity" and not self.features.entity:
            raise LineError("gates: alike is `entity`, and the features say no `entity`", at=("gates", "alike"))
        figures = {*self.task.gateable, *self.figures, "value_eur"}
        if unknown := sorted({*self.gates.at_least, *self.gates.at_most} - figures):
            limits = "at_least" if unknown[0] in self.gates.at_least else "at_most"
            raise LineError(
                f"gates: there is no figure {unknown[0]!r}; there are {', '.join(sorted(figures))}",
                at=("gates", limits, unknown[0]),
            )

    def _require_label(self) -> None:
        """Raise LineError where the section `label` names what is not there."""
        if wrong := sorted(set(self.label.columns) - set(self.decisions.columns)):
            raise LineError(
                f"label: {wrong[0]!r} is not among the columns of {self.decision_table}", at=("label", "columns")
            )
        if wrong := sorted(set(self.label.known_before) - set(self.features.columns)):
            raise LineError(
                f"label: known_before names {wrong[0]!r}, which is no feature of the line", at=("label", "known_before")
            )

    def _require_recipe_columns(self) -> None:
        """Raise LineError where the recipe names a feature that is not there."""
        for what in ("condition", "category"):
            named = getattr(self.recipe, f"{what}_columns", ())
            if missing := [name for name in named if name not in self.features.columns]:
                raise LineError(
                    f"recipe: {what} column {missing[0]!r} is not among the features' columns",
                    at=("recipe", f"{what}_columns"),
                )
        self._require_label()

    @property
    def default_until(self) -> datetime:
        """The as-of moment of a run that does not name one."""
        return self.as_of or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)

    @property
    def signature(self) -> Signature:
        """What this line's models take and give."""
        return Signature(
            task=self.task.kind,
            features=tuple(self.features.columns),
            steps=self.recipe.steps,
            output=self.task.output,
            answers=self.task.answers,
        )

    def division(self, rows: pl.DataFrame, until: datetime) -> Division:
        """Return how the line divides feature rows as of a moment; `rows` are those of all sites."""
        return self.split.division(rows, until, self.label.after)

    def parts(self, rows: pl.DataFrame, until: datetime) -> Parts:
        """Return the feature rows of all sites divided for training and judging as of a moment."""
        return self.division(rows, until).divided(rows, self.told_apart_by)

    @property
    def told_apart_by(self) -> tuple[str, ...]:
        """The columns that, within a site, say what a row is about."""
        return self.features.entity or self.features.key

    def learnt_from(self, rows: pl.DataFrame, provenance: Mapping[str, str]) -> pl.Series:
        """Return, for each feature row, whether a model of that provenance learnt from it or was chosen by it.

        A model from before that was on record is taken for one of today's division, as of its own day.
        """
        record = provenance.get(LEARNT_FROM)
        learnt = (
            division_on_record(record) if record else self.division(rows, datetime.fromisoformat(provenance["as_of"]))
        )
        return learnt.learnt_from(rows, self.told_apart_by)

    def marking(self, table: Table) -> Marking | None:
        """Return what becomes of a table's personal columns; None without such. Raises EnvironmentRefused: no key."""
        return Marking(table.personal, self.pseudonyms(), table.parse.nulls) if table.personal else None

    def pseudonyms(self) -> Pseudonyms:
        """Return what gives pseudonyms under the line's key; raises EnvironmentRefused where there is none."""
        return Pseudonyms.under(self.personal_data.key, f"line {self.name}")

    @property
    def decisions(self) -> Table:
        """The table with one row a decision; it belongs to sites."""
        return self.tables[self.decision_table]

    @property
    def shared_tables(self) -> tuple[Table, ...]:
        """The tables that all sites share."""
        return tuple(table for table in self.tables.values() if table.site_column is None)

    @property
    def announced_tables(self) -> tuple[Table, ...]:
        """The tables whose rows are known before they happen."""
        return tuple(table for table in self.tables.values() if table.announced)

    def lake_table(self, stage: str, table: Table) -> str:
        """Return where a stage keeps a table: the decision table owns the plain name, others append theirs."""
        if stage == "raw":
            return f"raw/{table.name}"
        return stage if table.name == self.decision_table else f"{stage}_{table.name}"
