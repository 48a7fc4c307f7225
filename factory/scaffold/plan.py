"""What a new line will be: choices made from a profile, each of which a person may change in the line's file."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from factory.connectors.tables.place import Place
from factory.errors import SourceError
from factory.line.lengths import length_text
from factory.line.parsing import Parse
from factory.line.site_names import SiteNames
from factory.line.split import DECIDED_AT, LABEL, TimeSplit
from factory.scaffold.features import Feature, features_of
from factory.scaffold.profiling.naming import RESERVED, identifier, words_of
from factory.scaffold.profiling.profile import Profile
from factory.scaffold.series import Series, series_features, series_of
from factory.scaffold.starting_points import STARTING_POINTS, StartingPoint

ONLY_SITE = "all"
ONLY_SITE_COLUMN = "only_site"
ROW_ID = "row_id"
HOLDOUT_SHARE, VALIDATION_SHARE = 0.2, 0.2
SMALL_ROWS, SMALL_HOLDOUT_SHARE, SMALL_VALIDATION_SHARE = 1_000, 0.25, 0.33
"""A small table gives a larger share of itself: a task needs some thirty rows to fit an interval or a threshold."""
_LEAST_ROWS, _LEAST_LOOK_BACK = 5, 14
_SELDOM = 0.05
_ALIKE = 0.2
_OVERLAP_HOURS = 1
CHANGED = frozenset(["updated", "update", "changed", "change", "modified", "modification", "mtime", "touched"])
"""Words in the name of a column that tells when a row changed last."""
_MIN_WITNESSES = 50
_BATCH_ROWS = 256
_STEPS, _PASSES = 4_000, 8
"""The most steps of a training, which stops before once it no longer learns; of very many rows, passes through them."""
_VALIDATE_EVERY, _LOOKS_A_PASS, _PATIENCE = 50, 4, 8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A line to be written."""

    name: str
    table: str
    profile: Profile
    is_read_whole: bool
    """Whether the table lies in files, which are read whole whenever they change."""
    features: tuple[Feature, ...]
    series: Series | None
    """What of earlier rows is looked back on; None where rows are no series."""
    as_of: date
    """The line looks at the world before this day."""
    split: Mapping[str, Any]
    made: date

    @property
    def start(self) -> StartingPoint:
        """What lines of its kind of task begin with."""
        return STARTING_POINTS[self.profile.task.kind]

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that tell rows apart."""
        return self.profile.key or (ROW_ID,)

    @property
    def site_column(self) -> str:
        """The column that names the site, the table's own or the one the source adds."""
        return self.profile.site or ONLY_SITE_COLUMN

    @property
    def cursor(self) -> str:
        """The time, if most rows have one: later rows can be told from it, and those without wait in quarantine."""
        time = self.profile.time
        return time if time and 2 * self.profile.columns[time].empty < self.profile.rows else ""

    @property
    def by_time(self) -> bool:
        """Whether the rows are divided by time."""
        return "validation" in self.split

    @property
    def unsure_split(self) -> str:
        """What a person should know of a division by a hash, where the rows may be a series; empty: nothing."""
        profile = self.profile
        if self.by_time:
            return ""
        if profile.time:
            named = profile.columns[profile.time].source_name
            return (
                f"{named!r} has too few moments to divide rows by them, so they are divided by a hash: rows of one "
                "moment are learnt from and judged on"
            )
        times = [one for one in profile.columns.values() if one.holds == "moment" and one.null_share < _SELDOM]
        if not times and profile.alike > _ALIKE and not profile.entity:
            return (
                "rows are divided by a hash, and those beside each other in the table have like targets: if its rows "
                "are a series, a model is judged on rows between those it learnt from. Give the table a column with "
                "the moment and name it as --time, or name as --entity what the rows beside each other are about"
            )
        if not times:
            return ""
        shown = " or ".join(f"--time {one.source_name!r}" for one in times[:3])
        return (
            "rows are divided by a hash, and the table tells times: if its rows are a series, a model is judged on "
            f"rows between those it learnt from. Make the line again with {shown}"
        )

    @property
    def site_names(self) -> dict[str, Any]:
        """The section `site_names`: blanks count for nothing; values that would be one site get names that differ."""
        if not self.profile.site:
            return {}
        rule = SiteNames(trim=True)
        taken: dict[str, str | None] = {}
        mapping = {}
        for value in sorted(self.profile.labelled, key=str):
            site, spelling = rule.site(value), rule.spelling(value)
            if value is not None and taken.get(site, spelling) != spelling:
                mapping[value] = site = f"{site[:55]}-{len(taken)}"
            taken[site] = spelling
        return {"trim": True, **({"mapping": mapping} if mapping else {})}

    @property
    def parse(self) -> dict[str, Any]:
        """The section `parse`: what differs from its defaults."""
        return parse_section(self.profile.parse, self.columns)

    @property
    def columns(self) -> dict[str, str]:
        """The declared columns and their types: those of the table, then those the source makes."""
        kept = {name: column.kind for name, column in self.profile.columns.items() if name not in self.private}
        made = {} if self.profile.site else {ONLY_SITE_COLUMN: "String"}
        told_apart = {} if self.profile.key else {ROW_ID: "String"}
        return {**kept, **made, **told_apart}

    @property
    def surrogate_key(self) -> dict[str, Any]:
        """The section `surrogate_key` of a table without a key: the target may change while the row is the same."""
        return {} if self.profile.key else {"column": ROW_ID, "leave_out": [self.profile.target]}

    @property
    def label(self) -> dict[str, Any]:
        """The section `label`: the target, and where it comes late how long after its row it is known."""
        late = self.profile.order.late_days() if self.profile.order else 0
        return {"columns": [self.profile.target], **({"horizon": length_text(timedelta(days=late))} if late else {})}

    @property
    def changes(self) -> dict[str, Any]:
        """The section `changes`: of a file only where the newest rows have no outcome yet, of a server what tells most.

        That is a column that tells of changes, or else so many days as outcomes come late.
        """
        days = self.profile.order.late_days() if self.profile.order else 0
        if not self.cursor:
            return {}
        if self.is_read_whole:
            return {"known_by": "whole", "rolling": True} if days else {}
        if self.change_column:
            return {"known_by": "change_column", "column": self.change_column, "overlap_hours": _OVERLAP_HOURS}
        return {"known_by": "look_back", "days": max(_LEAST_LOOK_BACK, 2 * days)} if days else {}

    @property
    def change_column(self) -> str:
        """The column that tells by its name when a row changed last; empty where none does, or most rows lack it."""
        for name, column in self.profile.columns.items():
            is_named = CHANGED & set(words_of(column.source_name))
            told = is_named and column.holds == "moment" and 2 * column.known > self.profile.rows
            if told and name not in (self.profile.time, self.profile.target, *self.private):
                return name
        return ""

    @property
    def private(self) -> list[str]:
        """Columns with personal data, which stay out of the factory unless they have a role in the line."""
        needed = {self.profile.target, self.profile.site, self.profile.time, self.profile.entity, *self.profile.key}
        return [one.column for one in self.profile.personal if one.column not in needed]


def parse_section(parse: Parse, columns: Collection[str]) -> dict[str, Any]:
    """Return the section `parse` of a table with these columns: what differs from its defaults."""
    plain = Parse()
    said = {"decimal": parse.decimal, "thousands": parse.thousands}
    kept: dict[str, Any] = {name: value for name, value in said.items() if value != getattr(plain, name)}
    by_column = {"formats": parse.formats, "null_values_of": parse.null_values_of}
    for key, values in by_column.items():
        if named := {name: value for name, value in values.items() if name in columns}:
            kept[key] = {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}
    return kept


def table_name(text: str) -> str:
    """Return a table's name in the line, from what a person calls it."""
    table = identifier(text).lower().strip("_") or "rows"
    return table if table[0].isalpha() and table not in RESERVED else f"table_{table}"


def planned(name: str, place: Place, profile: Profile, today: date) -> Plan:
    """Return the plan of a line; raises SourceError where no column is left to learn from."""
    features = features_of(profile)
    if not features:
        left_out = "; ".join(f"{profile.columns[one].source_name!r} {why}" for one, why in profile.left_out.items())
        raise SourceError(
            f"table {profile.at.at}: no column is left to learn {profile.columns[profile.target].source_name!r} from"
            f"{f': {left_out}' if left_out else ''}; add columns that are known before the decision"
        )
    as_of = _as_of(profile, today)
    series = series_of(profile)
    return Plan(
        name=name,
        table=table_name(place.name),
        profile=profile,
        is_read_whole=place.kind not in ("sql", "odata", "salesforce") or place.at.startswith("sqlite"),
        features=features + (tuple(series_features(series, profile)) if series else ()),
        series=series,
        as_of=as_of,
        split=_split(profile, as_of),
        made=today,
    )


def in_the_future(profile: Profile, today: date) -> bool:
    """Whether the table has moments that have not come yet."""
    return bool(profile.time) and profile.columns[profile.time].counts.high.date() > today


def _as_of(profile: Profile, today: date) -> date:
    """Return the day after the last row that has happened; of a table wholly in the future, after its last row."""
    if profile.order is None or not profile.order.days:
        return today + timedelta(days=1)
    happened = [day for day in profile.order.days if day <= today]
    return max(happened or profile.order.days) + timedelta(days=1)


def _split(profile: Profile, as_of: date) -> dict[str, Any]:
    """Return a split by time where the moments of a sample allow one, by a hash of key or entity elsewhere."""
    held, validates = _shares(profile)
    if profile.time:
        known = pl.col(profile.target).is_not_null()
        moments = profile.sample.select(pl.col(profile.time).alias(DECIDED_AT), pl.when(known).then(1.0).alias(LABEL))
        until = datetime(as_of.year, as_of.month, as_of.day)
        parts = (
            TimeSplit(holdout=held, validation=validates).division(moments, until, timedelta(0)).divided(moments, [])
        )
        if min(len(parts.train), len(parts.validation), len(parts.holdout)) >= _LEAST_ROWS:
            return {"holdout": held, "validation": validates}
    return {"holdout_share": held, "validation_share": validates}


def _shares(profile: Profile) -> tuple[float, float]:
    """Return the share held out of all rows, and of the rest the share that validates."""
    small = profile.columns[profile.target].known < SMALL_ROWS
    return (SMALL_HOLDOUT_SHARE, SMALL_VALIDATION_SHARE) if small else (HOLDOUT_SHARE, VALIDATION_SHARE)


def gates_of(plan: Plan) -> dict[str, Any]:
    """Return limits that a model of these data should reach if it has learnt anything."""
    profile = plan.profile
    sites = max(1, len(profile.labelled)) if profile.site else 1
    held_out = _shares(profile)[0] * profile.columns[profile.target].known / sites
    return {
        "min_rows": max(5, min(_MIN_WITNESSES, int(_witnesses(plan, held_out) * 0.5))),
        "min_contract_share": 0.95,
        **plan.start.first_limits(profile, held_out),
    }


def _witnesses(plan: Plan, held_out: float) -> float:
    """Return about how many witnesses a site's holdout has: days, entities or rows, whichever are fewest."""
    profile, share = plan.profile, _shares(plan.profile)[0]
    days = sorted(profile.order.days) if profile.order else []
    counts = [held_out]
    if len(days) > 1:
        first = plan.as_of - timedelta(days=plan.split.get("holdout_days", 0))
        counts.append(sum(day >= first for day in days) if plan.by_time else len(days))
    if profile.entity:
        sites = max(1, len(profile.labelled)) if profile.site else 1
        counts.append(profile.columns[profile.entity].counts.distinct.count * (1 if plan.by_time else share) / sites)
    return min(counts)


def recipe_of(plan: Plan) -> dict[str, Any]:
    """Return the network's recipe."""
    target = plan.profile.columns[plan.profile.target].counts
    held, validates = _shares(plan.profile)
    schedule = schedule_of((1 - held) * (1 - validates) * (target.rows - target.nulls))
    codes = [feature.name for feature in plan.features if feature.values]
    return {"kind": "table", "seed": 7, **schedule, **({"category_columns": codes} if codes else {})}


def schedule_of(rows: float) -> dict[str, int]:
    """Return how long a network learns from so many rows: as the validation rows ask, in small batches of few rows."""
    batch = next((size for size in (16, 32, 64, 128) if rows < 32 * size), _BATCH_ROWS)
    pass_steps = math.ceil(rows / batch)
    return {
        "batch_rows": batch,
        "max_steps": max(_STEPS, _PASSES * pass_steps),
        "validate_every": max(_VALIDATE_EVERY, pass_steps // _LOOKS_A_PASS),
        "patience": _PATIENCE,
    }


def decided_at(plan: Plan) -> datetime:
    """Return the moment of decision of rows that tell none: the day before `as_of`."""
    day = plan.as_of - timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
