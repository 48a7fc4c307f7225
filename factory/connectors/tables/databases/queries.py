"""What is asked of a table: its rows under some conditions, and the newest of each site.

Selected expressions are named by their place, `c0`, `c1` …: a column's name may be longer than a database's names.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from factory.connectors.tables.databases.columns import Column, Condition
from factory.connectors.tables.reader import Narrowing

Query = sa.Select[Any]
_MOST_VALUES = 1000
"""Of more sites all rows are read: databases bound how many values a query may have, SQL Server to 2,100."""


def rows_query(table: sa.TableClause, columns: Sequence[Column], conditions: Sequence[Condition]) -> Query:
    """Return the query of the columns' values."""
    return numbered([column.sent(column.at) for column in columns], table).where(*conditions)


def newest_query(table: sa.TableClause, site: Column | None, cursor: Column | None, until: datetime) -> Query:
    """Return the query of each site and its largest cursor before `until`, or of its number of rows."""
    value, groups = (sa.null(), []) if site is None else site.grouped()
    if cursor is None:
        return numbered([value, sa.func.count()], table).group_by(*groups)
    misfit, before = cursor.misfit(), cursor.before(until)
    newest = sa.func.max(cursor.at if misfit is None else sa.case((sa.not_(misfit), cursor.at)))
    query = numbered([value, cursor.sent(newest)], table).group_by(*groups)
    if before is None:
        return query
    return query.where(_or_unknown(cursor, before))


def counts_query(table: sa.TableClause, site: Column | None, cursor: Column | None, until: datetime) -> Query:
    """Return the query of each site and its number of rows before `until`, or whose cursor tells nothing."""
    value, groups = (sa.null(), []) if site is None else site.grouped()
    query = numbered([value, sa.func.count()], table).group_by(*groups)
    before = None if cursor is None else cursor.before(until)
    return query if cursor is None or before is None else query.where(_or_unknown(cursor, before))


def beyond_query(table: sa.TableClause, site: Column | None, cursor: Column, since: datetime) -> Query | None:
    """Return the query of each site, its number of rows at a moment or later, and the latest; None without moments."""
    before = cursor.before(since)
    if before is None:
        return None
    value, groups = (sa.null(), []) if site is None else site.grouped()
    query = numbered([value, sa.func.count(), cursor.sent(sa.func.max(cursor.at))], table).group_by(*groups)
    misfit = cursor.misfit()
    return query.where(sa.not_(before), cursor.at.is_not(None), *([] if misfit is None else [sa.not_(misfit)]))


def conditions_of(columns: Mapping[str, Column], only: Narrowing) -> list[Condition]:
    """Return conditions that hold back no wanted row, and none whose site or moment cannot be read."""
    conditions = columns[only.moment].within(only.after, only.until) if only.moment else []
    if (
        only.column
        and 0 < len(only.values) <= _MOST_VALUES
        and (among := columns[only.column].among(only.values)) is not None
    ):
        conditions.append(among)
    return conditions


def _or_unknown(cursor: Column, condition: Condition) -> Condition:
    misfit = cursor.misfit()
    return sa.or_(condition, cursor.at.is_(None), *([] if misfit is None else [misfit]))


def numbered(expressions: Sequence[sa.ColumnElement[Any]], table: sa.TableClause) -> Query:
    """Return the query of expressions, each named by its place."""
    named = (expression.label(f"c{number}") for number, expression in enumerate(expressions))
    return sa.select(*named).select_from(table)
