"""The contract of a new line's table: a Great Expectations suite fitted to its profile, with margins for the future.

A rule quarantines rows, so it asks only for what the very data keep by far: ranges half as wide again, sets that were
seen whole, nulls only where none was met in many rows. What no row can be blamed for is judged on the table.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from factory.scaffold.plan import ONLY_SITE_COLUMN, Plan
from factory.scaffold.profiling.profile import Column
from factory.scaffold.texts import yaml_value

_MARGIN = 0.5
_SEEN_OFTEN = 5
_MANY = 1_000
_MOST_MEDIANS = 60
_MEDIAN_SPAN = 0.5


@dataclass(frozen=True, kw_only=True)
class Contracted:
    """A table as its contract sees it."""

    table: str
    made: date
    rows: int
    columns: Sequence[Column]
    """Those that the line declares."""
    needed: Mapping[str, str]
    """Columns that every row must have → what they are."""
    free: Collection[str] = ()
    """Columns of which any value may come: the site, or what a row is about."""
    target: str = ""
    codes: Sequence[Any] = ()
    """The values of the target that have a label; empty where any has."""
    are_medians_asked: bool = False
    """Whether middle values may be judged: the rows are of one site, and sites differ from each other."""


def contract_file(plan: Plan) -> str:
    """Return contracts/<table>.yaml of a line of one table."""
    profile = plan.profile
    roles = {"part of the key": plan.key, "the time": (profile.time,), "what a row is about": (profile.entity,)}
    return contract_of(
        Contracted(
            table=plan.table,
            made=plan.made,
            rows=profile.rows,
            columns=[column for name, column in profile.columns.items() if name in plan.columns],
            needed={name: role for role, names in roles.items() for name in names if name in profile.columns},
            free=(profile.site,),
            target=profile.target,
            codes=list(plan.start.codes(profile)),
            are_medians_asked=plan.site_column == ONLY_SITE_COLUMN,
        )
    )


def contract_of(table: Contracted) -> str:
    """Return a table's contract as YAML."""
    lines = [
        f"# Contract of `{table.table}`, fitted with margins to {table.rows:,} rows on {table.made}.",
        "# A row that breaks a rule waits in quarantine with the rule's name; the last rules judge the whole table.",
        "# Every rule is a guess from one table: tighten what you know, strike out what may change.",
        "expectations:",
    ]
    for type_, kwargs, notes in _expectations(table):
        lines += [
            f"  - type: {type_}",
            f"    kwargs: {yaml_value(kwargs)}",
            f"    meta: {yaml_value({'notes': notes})}",
        ]
    return "\n".join(lines) + "\n"


Expected = tuple[str, dict[str, Any], str]


def _expectations(table: Contracted) -> Iterator[Expected]:
    for name, role in table.needed.items():
        yield "expect_column_values_to_not_be_null", {"column": name}, role
    for column in table.columns:
        if column.name not in table.needed and column.name not in (*table.free, table.target):
            yield from _never_null(column)
        if column.name not in table.free:
            yield from _values(column, table)
    if table.are_medians_asked:
        yield from list(_medians(table.columns))[:_MOST_MEDIANS]
    yield "expect_table_row_count_to_be_between", {"min_value": 1}, "an empty table is a source that failed in silence"


def _never_null(column: Column) -> Iterator[Expected]:
    if not column.counts.nulls and column.counts.rows >= _MANY:
        notes = f"none was missing in {column.counts.rows:,} rows"
        yield "expect_column_values_to_not_be_null", {"column": column.name}, notes


def _values(column: Column, table: Contracted) -> Iterator[Expected]:
    if column.name == table.target and table.codes:
        kwargs = {"column": column.name, "value_set": list(table.codes)}
        yield "expect_column_values_to_be_in_set", kwargs, "the classes that were seen; another has no label"
    elif column.kind in ("Int64", "Float64") and column.holds == "number":
        yield from _range(column)
    elif column.kind == "String" and column.known:
        yield from _set_or_length(column)


def _range(column: Column) -> Iterator[Expected]:
    low, high = column.counts.low, column.counts.high
    if not all(abs(bound) < 1e300 for bound in (low, high)):
        return
    margin = (high - low) * _MARGIN or abs(high) or 1
    least = 0 if low >= 0 else low - margin
    whole = column.kind == "Int64"
    bounds = [round(bound) if whole else float(f"{bound:.6g}") for bound in (least, high + margin)]
    yield (
        "expect_column_values_to_be_between",
        {"column": column.name, "min_value": bounds[0], "max_value": bounds[1]},
        f"from {low:g} to {high:g} were seen",
    )


def _set_or_length(column: Column) -> Iterator[Expected]:
    counted = column.counts.values
    if counted and column.holds == "category" and min(counted.values()) >= _SEEN_OFTEN:
        values = sorted(counted)
        notes = f"each was seen {min(counted.values())} times or more"
        yield "expect_column_values_to_be_in_set", {"column": column.name, "value_set": values}, notes
        return
    longest = max(20, 2 * column.counts.longest)
    notes = f"the longest has {column.counts.longest} characters"
    yield "expect_column_value_lengths_to_be_between", {"column": column.name, "max_value": longest}, notes


def _medians(columns: Sequence[Column]) -> Iterator[Expected]:
    """Yield that the middle value stays among the middle nine tenths: a change of unit breaks no range."""
    for column in columns:
        shares = column.quantiles
        if column.holds == "number" and shares and column.null_share < 0.05 and shares[0.05] < shares[0.95]:
            span = _MEDIAN_SPAN * (shares[0.95] - shares[0.05])
            low, high = (float(f"{bound:.6g}") for bound in (shares[0.05] - span, shares[0.95] + span))
            bounds = {"column": column.name, "min_value": low, "max_value": high}
            yield "expect_column_median_to_be_between", bounds, f"it was {shares[0.5]:g}"
