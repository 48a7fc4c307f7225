"""What is asked of an entity set, as the text of `$filter`: wanted rows, and rows after the last key that came."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from factory.connectors.odata.metadata import EntitySet, Property, Version
from factory.connectors.odata.values import literal_of, literal_of_moment
from factory.connectors.tables.reader import Narrowing

_MOST_VALUES = 40
"""Of more sites all rows are read: the address of a request is bounded."""


def conditions_of(entities: EntitySet, only: Narrowing, version: Version) -> list[str]:
    """Return conditions that hold back no wanted row, and none whose site or moment cannot be compared."""
    conditions: list[str] = []
    moment = entities.properties.get(only.moment)
    if moment and moment.filterable:
        conditions += _or_null(moment, within(moment, only.after, only.until, version))
    site = entities.properties.get(only.column)
    if site and site.filterable and 0 < len(only.values) <= _MOST_VALUES:
        literals = [literal_of(value, site, version) for value in only.values]
        if all(literals):
            conditions.append(any_of([f"{site.name} eq {literal}" for literal in literals]))
    return conditions


def within(one: Property, after: Any, until: datetime | None, version: Version) -> list[str]:
    """Return the conditions of a cursor in `[after, until)`."""
    if isinstance(after, int) and not isinstance(after, bool):
        literal = literal_of(str(after), one, version)
        return [f"{one.name} ge {literal}"] if literal else []
    bounds = {"ge": _moment(after), "lt": _moment(until)}
    literals = {sign: literal_of_moment(moment, one, version) for sign, moment in bounds.items() if moment is not None}
    return [f"{one.name} {sign} {literal}" for sign, literal in literals.items() if literal]


def after_key(entities: EntitySet, last: Mapping[str, str | None], version: Version) -> str | None:
    """Return the condition of the keys after one, by the order of their parts; None where that cannot be said."""
    before: list[str] = []
    choices: list[str] = []
    for name in entities.key:
        value = last.get(name)
        literal = None if value is None else literal_of(value, entities.properties[name], version)
        if literal is None:
            return None
        choices.append(all_of([*before, f"{name} gt {literal}"]))
        before.append(f"{name} eq {literal}")
    return any_of(choices)


def all_of(conditions: Sequence[str]) -> str:
    """Return the condition that all of these hold."""
    return " and ".join(f"({one})" if " or " in one else one for one in conditions)


def any_of(conditions: Sequence[str]) -> str:
    """Return the condition that one of these holds."""
    return " or ".join(f"({one})" if " and " in one else one for one in conditions)


def _or_null(one: Property, conditions: Sequence[str]) -> list[str]:
    if not conditions:
        return []
    return [any_of([all_of(conditions), f"{one.name} eq null"]) if one.nullable else all_of(conditions)]


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time()) if isinstance(value, date) else None
