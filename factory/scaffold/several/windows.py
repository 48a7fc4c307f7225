"""A plan of several tables in, the windows out: how many rows, how long ago, means of numbers, what the thing is."""

from collections.abc import Iterator
from datetime import timedelta

from factory.line.windows import Window
from factory.scaffold.profiling.naming import identifier_words
from factory.scaffold.profiling.profile import Column
from factory.scaffold.several.plan import TablePlan, TablesPlan

_MOST_NUMBERS, _MOST_VALUES, _MOST_ATTRIBUTES = 24, 8, 12
_DENSE = 0.5
"""From so many rows a thing and day on, a table is one of measurements; of fewer, one of events."""
_LONG = "28d"


def windows_of(plan: TablesPlan) -> dict[str, Window]:
    """Return the features by name, no two alike."""
    windows: dict[str, Window] = {}
    taken = {plan.site, "due_at", "site", "label", "decided_at", *plan.entity}
    for name, window in _windows(plan):
        free, number = name, 1
        while free in windows or free in taken:
            number += 1
            free = f"{name}_{number}"
        windows[free] = window
    return windows


def _windows(plan: TablesPlan) -> Iterator[tuple[str, Window]]:
    yield from _attributes(plan.things, {}, but={plan.site, *plan.calendar.values()})
    if since := plan.calendar.get("since"):
        yield f"days_since_{_plain(since)}", Window(days_since=f"{plan.of}.{since}")
    for table in plan.tables.values():
        if table.join is None:
            continue
        by = {} if table.join.column == plan.entity[0] else {plan.entity[0]: table.join.column}
        if table.is_about_one:
            yield from _attributes(table, by, but={table.join.column})
        elif _rows_a_day(plan, table) >= _DENSE:
            yield from _measured(table, by)
        else:
            yield from _happened(table, by)


def _rows_a_day(plan: TablesPlan, table: TablePlan) -> float:
    counts = table.profile.columns[table.cursor].counts
    return float(table.profile.rows / plan.things.profile.rows / max(1, (counts.high - counts.low) / timedelta(days=1)))


def _attributes(table: TablePlan, by: dict[str, str], but: set[str]) -> Iterator[tuple[str, Window]]:
    for column in _told(table, but):
        named = f"{table.name}.{column.name}"
        if column.holds in ("number", "flag"):
            yield _plain(column.name), Window(attribute=named, by=by)
        elif column.holds == "category":
            values = sorted(column.counts.values or {}, key=str)
            for value in values if len(values) <= _MOST_ATTRIBUTES else []:
                yield f"{_plain(column.name)}_is_{_plain(value)}", Window(attribute=named, equals=value, by=by)


def _measured(table: TablePlan, by: dict[str, str]) -> Iterator[tuple[str, Window]]:
    yield f"{table.name}_1d", Window(count=table.name, within="1d", by=by)
    for column in [one for one in _told(table, set()) if one.holds == "number"][:_MOST_NUMBERS]:
        named, plain = f"{table.name}.{column.name}", _plain(column.name)
        for within in ("1d", "7d"):
            yield f"{plain}_mean_{within}", Window(mean=named, within=within, by=by)
        yield f"{plain}_std_7d", Window(std=named, within="7d", by=by)


def _happened(table: TablePlan, by: dict[str, str]) -> Iterator[tuple[str, Window]]:
    for within in ("1d", "7d", _LONG):
        yield f"{table.name}_{within}", Window(count=table.name, within=within, by=by)
    yield f"days_since_{table.name}", Window(days_since=table.name, by=by)
    for column in _told(table, set()):
        if column.holds == "number":
            named = f"{table.name}.{column.name}"
            yield f"{table.name}_{_plain(column.name)}_mean_{_LONG}", Window(mean=named, within=_LONG, by=by)
        elif column.holds == "category" and column.counts.values and len(column.counts.values) <= _MOST_VALUES:
            for value in sorted(column.counts.values):
                where, end = {column.name: value}, f"{_plain(column.name)}_{_plain(value)}"
                yield f"{table.name}_{end}_7d", Window(count=table.name, within="7d", where=where, by=by)
                yield f"days_since_{table.name}_{end}", Window(days_since=table.name, where=where, by=by)


def _told(table: TablePlan, but: set[str]) -> list[Column]:
    """Return the columns that say something of a row beside what it is about and when."""
    roles = {*table.key, table.cursor, table.entered_at, *but, table.join.column if table.join else ""}
    return [column for name, column in table.kept.items() if name not in roles]


def _plain(text: object) -> str:
    return identifier_words(str(text)).lower()[:40].rstrip("_") or "other"
