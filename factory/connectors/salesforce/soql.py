"""SOQL: queries of names that are checked and of values that are written as literals; no text gets in as it is."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from factory.connectors.salesforce.objects import Field
from factory.connectors.tables.reader import Narrowing
from factory.errors import SourceError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_{1,2}[A-Za-z0-9]+)*\Z")
_ESCAPES = str.maketrans(
    {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
)
_FIRST, _LAST = datetime(1700, 1, 2, tzinfo=UTC), datetime(4000, 12, 30, tzinfo=UTC)
"""Salesforce knows no moment outside of these."""
_MOST_VALUES = 200
"""Of more sites all rows are read."""


def checked_name(name: str) -> str:
    """Return the name of an object or a field; raises SourceError where it is none."""
    if not _NAME.match(name) or len(name) > 255:
        raise SourceError(f"{name[:80]!r} is no name of an object or field of Salesforce, such as Account or Plant__c")
    return name


def select(columns: Sequence[str], table: str, conditions: Sequence[str] = (), *, order_by: str = "") -> str:
    """Return the query of some fields of an object."""
    named = ", ".join(checked_name(name) for name in columns)
    ordered = f" ORDER BY {checked_name(order_by)}" if order_by else ""
    return f"SELECT {named} FROM {checked_name(table)}{where(conditions)}{ordered}"  # noqa: S608  names are checked


def count(table: str, conditions: Sequence[str] = ()) -> str:
    """Return the query of how many records there are."""
    return f"SELECT COUNT() FROM {checked_name(table)}{where(conditions)}"  # noqa: S608  as above


def grouped(
    table: str, field: Field | None, aggregates: Sequence[tuple[str, str]], conditions: Sequence[str] = ()
) -> str:
    """Return the query of some aggregates, such as ("MAX", "SystemModstamp"), for each value of a field."""
    asked = ", ".join(f"{function}({checked_name(name)})" for function, name in aggregates)
    by = "" if field is None else checked_name(field.name)
    heads, tail = (f"{by}, {asked}", f" GROUP BY {by}") if by else (asked, "")
    return f"SELECT {heads} FROM {checked_name(table)}{where(conditions)}{tail}"  # noqa: S608  names are checked


def where(conditions: Sequence[str]) -> str:
    """Return the clause of conditions that must all hold; empty without any."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def text_literal(value: str) -> str:
    """Return a text as a literal."""
    return f"'{value.translate(_ESCAPES)}'"


def among(field: Field, values: Sequence[str]) -> list[str]:
    """Return a condition that no record with one of these texts fails; none where they are not to be asked for."""
    if not values or not field.filterable or field.dtype != pl.String or field.is_number or len(values) > _MOST_VALUES:
        return []
    return [f"{checked_name(field.name)} IN ({', '.join(map(text_literal, values))})"]


def within(field: Field, after: Any, until: datetime | None) -> list[str]:
    """Return conditions that no record fails whose value is in `[after, until)` or missing; bounds may be wider."""
    if not field.is_ordered:
        return []
    if field.kind == "int":
        return [_or_missing(field, f"{checked_name(field.name)} >= {after}")] if isinstance(after, int) else []
    bounds = []
    if (first := _in_utc(after)) is not None and first > _FIRST:
        bounds.append((">=", _literal(field, first)))
    if (end := _in_utc(until)) is not None and end < _LAST:
        bounds.append(("<=", _literal(field, end + timedelta(seconds=1))))
    return [_or_missing(field, f"{checked_name(field.name)} {sign} {literal}") for sign, literal in bounds]


def before(field: Field, until: datetime) -> list[str] | None:
    """Return the condition of values exactly before a moment, or missing; None where that cannot be asked."""
    bound = _exact(field, until)
    if bound is None:
        return None
    return [_or_missing(field, f"{checked_name(field.name)} < {bound}")] if bound else []


def since(field: Field, moment: datetime) -> list[str] | None:
    """Return the condition of values at a moment or later; None where that cannot be asked."""
    bound = _exact(field, moment)
    return [f"{checked_name(field.name)} >= {bound}"] if bound else None


def conditions_of(fields: dict[str, Field], only: Narrowing) -> list[str]:
    """Return conditions that no wanted record fails."""
    by_value = among(fields[only.column], only.values) if only.column in fields else []
    by_moment = within(fields[only.moment], only.after, only.until) if only.moment in fields else []
    return [*by_value, *by_moment]


def _exact(field: Field, until: datetime) -> str | None:
    """Return a moment as the literal to compare a field with; empty beyond all moments, None where there is none."""
    moment = _in_utc(until)
    if moment is None or not field.is_ordered or field.kind == "int" or moment <= _FIRST:
        return None
    if moment >= _LAST:
        return ""
    if field.kind == "date":
        first_day = moment.date() + timedelta(days=moment.time() != time())
        return first_day.isoformat()
    whole = moment.replace(microsecond=0)
    return _literal(field, whole) if whole == moment else None


def _literal(field: Field, moment: datetime) -> str:
    return moment.date().isoformat() if field.kind == "date" else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _or_missing(field: Field, condition: str) -> str:
    return f"({condition} OR {field.name} = null)" if field.nillable else condition


def _in_utc(moment: Any) -> datetime | None:
    """Return a moment, or a day's first one, in UTC; None for all else."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.combine(moment, time(), UTC) if isinstance(moment, date) else None
