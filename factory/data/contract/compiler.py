"""Expectations in, a `Contract` out; or an error that names the file, the expectation and what is wrong with it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

import polars as pl

from factory.data.contract.contract import Contract
from factory.data.contract.kwargs import Types, judged_kwargs
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
from factory.line.suite import missing_parameters
from factory.storage.columns import type_named

SUPPORTED = tuple(sorted({*ROW_SPECS, *MEASURE_TYPES, *SCHEMA_SPECS}))
"""The Great Expectations types the compiler knows."""

_OF_ORDER = "rows of a table in the lake have no order"
_OF_OTHER_ROWS = "whether a row is quarantined would depend on the rows that came with it; give bounds"
_OF_TEXT = "values are not parsed for it; use expect_column_values_to_match_regex"
_OF_DISTRIBUTION = "it compares distributions, which the line's `drift` does; use bounds on mean, stdev or quantiles"
_OF_SQL = "it is written in SQL, and no database judges the rows; use row_condition"
NOT_DONE: Mapping[str, str] = {
    "expect_column_values_to_be_increasing": _OF_ORDER,
    "expect_column_values_to_be_decreasing": _OF_ORDER,
    "expect_column_value_z_scores_to_be_less_than": _OF_OTHER_ROWS,
    "expect_column_values_to_not_be_outliers": _OF_OTHER_ROWS,
    "expect_column_values_to_be_dateutil_parseable": _OF_TEXT,
    "expect_column_values_to_be_json_parseable": _OF_TEXT,
    "expect_column_values_to_match_json_schema": _OF_TEXT,
    "expect_column_values_to_match_strftime_format": _OF_TEXT,
    "expect_column_kl_divergence_to_be_less_than": _OF_DISTRIBUTION,
    "expect_column_bootstrapped_ks_test_p_value_to_be_greater_than": _OF_DISTRIBUTION,
    "expect_column_chisquare_test_p_value_to_be_greater_than": _OF_DISTRIBUTION,
    "expect_column_parameterized_distribution_ks_test_p_value_to_be_greater_than": _OF_DISTRIBUTION,
    "expect_column_pair_cramers_phi_value_to_be_less_than": _OF_DISTRIBUTION,
    "expect_query_results_to_match_comparison": _OF_SQL,
    "unexpected_rows_expectation": _OF_SQL,
    "expect_table_row_count_to_equal_other_table": "a contract is judged on its own table alone",
}
"""Great Expectations' own types that are not compiled, and why."""

Rule = RowRule | MeasureRule | SchemaRule


def compile_contract(
    expectations: Iterable[Expectation],
    *,
    columns: Mapping[str, str],
    place: str,
    places: Sequence[str] = (),
    site_column: str | None = None,
    is_spelled_once: bool = True,
    cursor: str = "",
) -> Contract:
    """Compile a suite against a table's declared columns (name → Polars type name).

    What the table declares joins the suite, so that the result speaks about it too: its columns as an expectation on
    the schema, and as expectations on rows that each value is of its type, and each record, site and cursor as it must
    be (factory/data/contract/misfits.py); `is_spelled_once` says whether a site has one value of its column.
    Raises UnsupportedExpectation where the suite has a type that the compiler does not know, and LineError where it
    has kwargs that cannot be judged, with a sentence on each; it names the expectation's place, of `places`, or
    `place` where that was not given.
    """
    types = _types(columns, place)
    misfits = expectations_of(columns, site_column, cursor, is_spelled_once=is_spelled_once)
    declared = [_columns_expected(columns), *misfits.values()]
    suite = [*declared, *expectations]
    at = [place] * len(declared) + list(places or [place] * (len(suite) - len(declared)))
    reasons: list[str | None] = [None, *misfits]
    reasons += [None] * (len(suite) - len(reasons))
    rules: list[Rule] = []
    faults = []
    for expectation, name, reason, written in zip(suite, _names(suite), reasons, at, strict=True):
        try:
            rules.append(_misfit_rule(expectation, name, reason) if reason else _rule(expectation, name, types))
        except (ValueError, TypeError, pl.exceptions.PolarsError) as error:
            faults.append(f"{written}: {_named(expectation)}: {_first_paragraph(error)}")
    if any(expectation.type not in SUPPORTED for expectation in suite):
        raise UnsupportedExpectation("\n".join([*faults, f"{place}: supported are {', '.join(SUPPORTED)}"]))
    if faults:
        raise LineError("\n".join(faults))
    return Contract(rules=tuple(rules), columns=dict(columns), types=types)


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


def _rule(expectation: Expectation, name: str, types: Types) -> Rule:
    """Compile one expectation; raises ValueError, TypeError or a Polars error with the reason."""
    if expectation.type not in SUPPORTED:
        raise ValueError(_unsupported(expectation.type))
    if ";" in name:
        raise ValueError(f"the rule name {name!r} has a ';', which separates names in the quarantine")
    if missing := list(missing_parameters(expectation.kwargs)):
        raise ValueError("; ".join(missing))
    judged = replace(expectation, kwargs=judged_kwargs(expectation.kwargs, types))
    if judged.type in ROW_SPECS:
        return row_rule(judged, name, types)
    if judged.type in MEASURE_TYPES:
        return measure_rule(judged, name, types)
    return schema_rule(judged, name, types)


def _first_paragraph(error: Exception) -> str:
    """Return what an error says, of Polars without the plan it shows below."""
    return str(error).partition("\n\n")[0]


def _unsupported(kind: str) -> str:
    if kind in NOT_DONE:
        return f"it is not supported: {NOT_DONE[kind]}"
    near = get_close_matches(kind, SUPPORTED, 2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"it is not supported: no expectation of Great Expectations' own has this name{hint}"


def _named(expectation: Expectation) -> str:
    where = ", ".join(_columns(expectation))
    return f"{expectation.type}{f' on {where}' if where else ''}"


def _columns(expectation: Expectation) -> list[str]:
    kwargs = expectation.kwargs
    named = [kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B")]
    listed = kwargs.get("column_list")
    return [str(name) for name in (*named, *(listed if isinstance(listed, list | tuple) else ())) if name is not None]


def _names(suite: Sequence[Expectation]) -> list[str]:
    """Return a readable name for each expectation; a repeated name gets a number."""
    uses: Counter[str] = Counter()
    names = []
    for expectation in suite:
        name = str(expectation.meta.get("name") or _readable(expectation))
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
