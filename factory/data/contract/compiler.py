"""Expectations in, a `Contract` out; or an error that names the file, the expectation and what is wrong with it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from factory.data.contract.contract import Contract
from factory.data.contract.kwargs import Types
from factory.data.contract.misfits import expectations as expectations_of
from factory.data.contract.row_rules import ROW_SPECS, Domain, RowRule, row_rule
from factory.data.contract.table_rules import (
    MEASURE_TYPES,
    SCHEMA_SPECS,
    MeasureRule,
    SchemaRule,
    measure_rule,
    schema_rule,
)
from factory.errors import LineError, UnsupportedExpectation
from factory.line.expectation import Expectation
from factory.storage.columns import type_named

SUPPORTED = tuple(sorted({*ROW_SPECS, *MEASURE_TYPES, *SCHEMA_SPECS}))
"""The Great Expectations types the compiler knows."""

Rule = RowRule | MeasureRule | SchemaRule


def compile_contract(
    expectations: Iterable[Expectation],
    *,
    columns: Mapping[str, str],
    place: str,
    places: Sequence[str] = (),
    site_column: str | None = None,
    cursor: str = "",
) -> Contract:
    """Compile a suite against a table's declared columns (name → Polars type name).

    What the table declares joins the suite, so that the result speaks about it too: its columns as an expectation on
    the schema, and as expectations on rows that each value is of its type, and each record, site and cursor as it must
    be (factory/data/contract/misfits.py).
    Raises UnsupportedExpectation for a type the compiler does not know, and LineError for kwargs that cannot be
    judged; both name the expectation's place, of `places`, or `place` where that was not given.
    """
    types = _types(columns, place)
    misfits = expectations_of(columns, site_column, cursor)
    declared = [_columns_expected(columns), *misfits.values()]
    suite = [*declared, *expectations]
    at = [place] * len(declared) + list(places or [place] * (len(suite) - len(declared)))
    for expectation, written in zip(suite, at, strict=True):
        if expectation.type not in SUPPORTED:
            raise UnsupportedExpectation(
                f"{written}: the contract asks for {expectation.type!r}, which is not supported; "
                f"use one of: {', '.join(SUPPORTED)}"
            )
    reasons: list[str | None] = [None, *misfits]
    reasons += [None] * (len(suite) - len(reasons))
    rules = [
        _misfit_rule(expectation, name, reason) if reason else _rule(expectation, name, types, written)
        for expectation, name, reason, written in zip(suite, _names(suite, at), reasons, at, strict=True)
    ]
    return Contract(
        rules=tuple(rules),
        columns=dict(columns),
        types=types,
    )


def _types(columns: Mapping[str, str], place: str) -> dict[str, pl.DataType]:
    try:
        return {name: type_named(dtype) for name, dtype in columns.items()}
    except ValueError as error:
        raise LineError(f"{place}: columns: {error}") from error


def _columns_expected(columns: Mapping[str, str]) -> Expectation:
    return Expectation(type="expect_table_columns_to_match_set", kwargs={"column_set": list(columns)})


def _misfit_rule(expectation: Expectation, name: str, reason: str) -> RowRule:
    everything = Domain(needs="all rows", columns=())
    columns = (expectation.kwargs["column"],)
    return RowRule(
        expectation=expectation, name=name, columns=columns, domain=everything, broken=None, mostly=1.0, misfit=reason
    )


def _rule(expectation: Expectation, name: str, types: Types, place: str) -> Rule:
    try:
        if expectation.type in ROW_SPECS:
            return row_rule(expectation, name, types)
        if expectation.type in MEASURE_TYPES:
            return measure_rule(expectation, name, types)
        return schema_rule(expectation, name)
    except (ValueError, TypeError, pl.exceptions.PolarsError) as error:
        where = ", ".join(_columns(expectation))
        raise LineError(f"{place}: {expectation.type}{f' on {where}' if where else ''}: {error}") from error


def _columns(expectation: Expectation) -> list[str]:
    kwargs = expectation.kwargs
    named = [kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B")]
    listed = kwargs.get("column_list")
    return [str(name) for name in (*named, *(listed if isinstance(listed, list | tuple) else ())) if name is not None]


def _names(suite: list[Expectation], at: list[str]) -> list[str]:
    """Return a readable name for each expectation; a repeated name gets a number."""
    uses: Counter[str] = Counter()
    names = []
    for expectation, place in zip(suite, at, strict=True):
        name = str(expectation.meta.get("name") or _readable(expectation))
        if ";" in name:
            raise LineError(f"{place}: the rule name {name!r} has a ';', which separates names in the quarantine")
        uses[name] += 1
        names.append(name if uses[name] == 1 else f"{name} ({uses[name]})")
    return names


def _readable(expectation: Expectation) -> str:
    rule = expectation.type.removeprefix("expect_")
    for subject in ("table_", "compound_columns_", "column_pair_", "column_"):
        if rule.startswith(subject):
            rule = rule.removeprefix(subject)
            break
    columns = ", ".join(_columns(expectation))
    return f"{columns}: {rule.replace('_', ' ')}" if columns else rule.replace("_", " ")
