"""A compiled contract: which rows break which rules, and the result for each site.

The rows are read once: every row-level rule becomes one bit of a mask, so that a good row costs one Int64 and only the
few broken ones are looked at again. A narrow group_by of its own judges uniqueness.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add, or_
from typing import Any

import polars as pl

from factory.data.contract.kwargs import Types
from factory.data.contract.misfits import BITS, RECORD, bit_of, mask_names
from factory.data.contract.result import EXAMPLES, CheckResult, ContractResult
from factory.data.contract.row_rules import Domain, RowRule
from factory.data.contract.table_rules import MeasureRule, SchemaRule
from factory.errors import SchemaMismatch
from factory.line.expectation import Expectation
from factory.storage.columns import SITE, schema_mismatches

RULE = "rule"
JUDGED = "_judged"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A suite compiled for one table; all expressions are over the table's columns and `site`."""

    rules: tuple[RowRule | MeasureRule | SchemaRule, ...]
    columns: Mapping[str, str]
    """The declared columns: name → Polars type name."""
    types: Types

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """The whole suite, the declared columns' own expectations first."""
        return tuple(rule.expectation for rule in self.rules)

    @cached_property
    def row_rules(self) -> tuple[RowRule, ...]:
        """The rules that blame rows."""
        return tuple(rule for rule in self.rules if isinstance(rule, RowRule))

    @property
    def reasons(self) -> frozenset[str]:
        """Why a raw row may be a misfit (factory/data/contract/misfits.py), as far as there is a rule about it."""
        return frozenset(rule.misfit for rule in self.row_rules if rule.misfit)

    @cached_property
    def _bits(self) -> Mapping[str, tuple[str, int]]:
        """By the name of each rule that blames rows: its mask column and its bit there."""
        judged = [rule.name for rule in self.row_rules if not rule.misfit]
        bits = {name: (f"_broken_{place // BITS}", place % BITS) for place, name in enumerate(judged)}
        return {**bits, **{rule.name: self._misfit_bit(rule.misfit) for rule in self.row_rules if rule.misfit}}

    def _misfit_bit(self, reason: str) -> tuple[str, int]:
        return bit_of(list(self.columns), reason)

    def on(self, columns: Iterable[str]) -> "Contract":
        """Return the rules on rows that look at these columns alone: what can be judged while no other is known."""
        known = set(columns)
        return replace(self, rules=tuple(rule for rule in self.row_rules if known.issuperset(rule.looked_at)))

    @property
    def masks(self) -> tuple[str, ...]:
        """The mask columns of a marked row: of its misfits, and of the rules that `mark` judges."""
        judged = sum(not rule.misfit for rule in self.row_rules)
        return (*mask_names(list(self.columns)), *(f"_broken_{start // BITS}" for start in range(0, judged, BITS)))

    @property
    def broken(self) -> pl.Expr:
        """Whether a marked row broke a rule for which it goes to quarantine, as it does for each of its misfits."""
        told = dict.fromkeys(self.masks, 0)
        for rule in self.row_rules:
            mask, bit = self._bits[rule.name]
            told[mask] |= 0 if rule.expectation.critical else 1 << bit
        return reduce(or_, ((pl.col(mask) & pl.lit(~bits, pl.Int64)) != 0 for mask, bits in told.items()))

    @property
    def noticed(self) -> pl.Expr:
        """Whether a marked row broke any rule, those that are only told among them."""
        return reduce(or_, (pl.col(mask) != 0 for mask in self.masks))

    def mark(self, rows: pl.LazyFrame, *, among: pl.Expr | None = None) -> pl.LazyFrame:
        """Add the mask columns to typed rows, in the given order; rows without masks of misfits have none.

        `among` restricts the rows that uniqueness is judged among. Raises SchemaMismatch when a judged column is
        missing or of another type.
        """
        schema = rows.collect_schema()
        self._require_columns(schema)
        none = {name: pl.lit(0, pl.Int64) for name in mask_names(list(self.columns)) if name not in schema}
        rows = rows.with_columns(**none)
        repeated = [rule for rule in self.row_rules if rule.broken is None and not rule.misfit]
        flagged = rows
        for rule in repeated:
            flagged = _flag_repeated(flagged, rows, rule, self._bit_name(rule), self.types, among)
        marked = flagged.with_columns(**{mask: self._mask(mask) for mask in self.masks if mask.startswith("_broken_")})
        return marked.drop([self._bit_name(rule) for rule in repeated])

    def name_rules(self, broken: pl.DataFrame) -> pl.DataFrame:
        """Turn the mask columns of the broken rows into `rule`: the rules that quarantined them, joined by `; `."""
        named: list[pl.Expr] = [pl.lit(None, pl.String)]
        critical = [rule for rule in self.row_rules if rule.expectation.critical]
        named += [pl.when(self._has_bit(rule)).then(pl.lit(rule.name)) for rule in critical]
        return broken.with_columns(pl.concat_str(named, separator="; ", ignore_nulls=True).alias(RULE)).drop(self.masks)

    def measure(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return one row a site with every figure the results need; `rows` are those to judge."""
        figures = {JUDGED: pl.len().cast(pl.Int64), **self._domain_counts(), **self._figures()}
        return rows.group_by(SITE).agg(**figures).sort(SITE)

    def results(
        self, measured: pl.DataFrame, noticed: pl.DataFrame, schema: Mapping[str, pl.DataType]
    ) -> dict[str, ContractResult]:
        """Return each site's result, from `measure`'s answer, the rows noticed with their masks, and the raw schema."""
        blamed = [self._blamed(rule, noticed) for rule in self.row_rules]
        broken_rows = dict(noticed.filter(self.broken).group_by(SITE).len().iter_rows())
        return {
            site[SITE]: self._result(site, broken_rows.get(site[SITE], 0), blamed, schema)
            for site in measured.iter_rows(named=True)
        }

    def _result(
        self,
        site: Mapping[str, Any],
        broken: int,
        blamed: list[dict[str, tuple[int, list[Any]]]],
        schema: Mapping[str, pl.DataType],
    ) -> ContractResult:
        blamed_by_rule = iter(blamed)  # in the order of the row rules
        checks = tuple(
            _row_check(rule, site, *next(blamed_by_rule).get(site[SITE], (0, [])))
            if isinstance(rule, RowRule)
            else _table_check(rule, site, schema)
            for rule in self.rules
        )
        return ContractResult(
            site=site[SITE],
            rows=site[JUDGED],
            broken=broken,
            success=all(check.success for check in checks if check.expectation.critical),
            checks=checks,
        )

    def _blamed(self, rule: RowRule, noticed: pl.DataFrame) -> dict[str, tuple[int, list[Any]]]:
        """Return how many rows of each site broke a rule, and the first unexpected values."""
        columns = [name for name in rule.columns if name in noticed.columns]
        shown = pl.col(columns[0]) if len(columns) == 1 else pl.struct(columns) if columns else pl.lit(None)
        counted = (
            noticed.filter(self._has_bit(rule))
            .group_by(SITE)
            .agg(pl.len().alias(JUDGED), shown.head(EXAMPLES).alias(RULE))
        )
        return {site: (rows, values) for site, rows, values in counted.iter_rows()}

    def _mask(self, mask: str) -> pl.Expr:
        bits = (
            pl.when(self._breaks(rule)).then(pl.lit(1 << bit, pl.Int64)).otherwise(pl.lit(0, pl.Int64))
            for rule in self.row_rules
            for name, bit in [self._bits[rule.name]]
            if name == mask
        )
        return reduce(add, bits, pl.lit(0, pl.Int64))

    def _breaks(self, rule: RowRule) -> pl.Expr:
        """Return whether typed rows break a rule; a value that was given and does not fit its type is not missing."""
        broken = pl.col(self._bit_name(rule)).is_not_null() if rule.broken is None else rule.broken
        if rule.domain.needs != "nulls":
            return broken
        reasons = [RECORD, *(name for name in rule.columns if name in self.columns)]
        return reduce(lambda breaks, reason: breaks & ~_is_set(self._misfit_bit(reason)), reasons, broken)

    def _has_bit(self, rule: RowRule) -> pl.Expr:
        return _is_set(self._bits[rule.name])

    def _bit_name(self, rule: RowRule) -> str:
        return f"_repeated_{self.row_rules.index(rule)}"

    def _domain_counts(self) -> dict[str, pl.Expr]:
        counts = {}
        for rule in self.row_rules:
            for domain in (rule.domain, _about(rule.domain)):
                in_domain = domain.rows(self.types)
                if in_domain is not None:
                    counts[_domain_name(domain)] = in_domain.sum().cast(pl.Int64)
        return counts

    def _figures(self) -> dict[str, pl.Expr]:
        return {f"_figure_{rule.name}": rule.figure for rule in self.rules if isinstance(rule, MeasureRule)}

    def _require_columns(self, schema: Mapping[str, pl.DataType]) -> None:
        declared = {name: dtype for name, dtype in schema.items() if name in self.columns}
        if wrong := schema_mismatches(declared, self.columns):
            raise SchemaMismatch(f"rows cannot be judged: {'; '.join(wrong)}; load the table again")


def _is_set(bit: tuple[str, int]) -> pl.Expr:
    mask, place = bit
    return (pl.col(mask) & pl.lit(1 << place, pl.Int64)) != 0


def _flag_repeated(
    flagged: pl.LazyFrame, rows: pl.LazyFrame, rule: RowRule, flag: str, types: Types, among: pl.Expr | None
) -> pl.LazyFrame:
    """Add a column that is true on every copy of what must be unique within its site, and null elsewhere.

    What is repeated is counted among `rows`, for a plan that read what is flagged already would double with each rule.
    """
    keys = {f"_key_{place}": _comparable(column, types) for place, column in enumerate(rule.columns)}
    wanted = [test for test in (rule.domain.rows(types), among) if test is not None]
    by = [SITE, *keys]
    repeated = rows.filter(*wanted).with_columns(**keys).group_by(by).agg(pl.len().alias(flag)).filter(pl.col(flag) > 1)
    keyed = flagged.with_columns(**keys)
    joined = keyed.join(repeated, on=by, how="left", nulls_equal=True, maintain_order="left").drop(list(keys))
    condition = rule.domain.condition
    return joined if condition is None else joined.with_columns(pl.when(condition.holds).then(pl.col(flag)))


def _comparable(column: str, types: Types) -> pl.Expr:
    return pl.col(column).fill_nan(None) if types[column].is_float() else pl.col(column)


def _about(domain: Domain) -> Domain:
    """Return all rows that an expectation is about, those where a value is missing among them."""
    return replace(domain, needs="all rows", columns=())


def _domain_name(domain: Domain) -> str:
    where = "" if domain.condition is None else f"_where_{domain.condition.text}"
    return f"_with_{domain.needs}_{'_'.join(domain.columns)}{where}"


def _row_check(rule: RowRule, site: Mapping[str, Any], unexpected: int, examples: Iterable[Any]) -> CheckResult:
    rows: int = site.get(_domain_name(_about(rule.domain)), site[JUDGED])
    judged: int = site.get(_domain_name(rule.domain), rows)
    return CheckResult(
        expectation=rule.expectation,
        name=rule.name,
        success=judged == 0 or (judged - unexpected) / judged >= rule.mostly,
        element_count=rows,
        missing_count=None if rule.domain.needs == "nulls" else rows - judged,
        unexpected_count=unexpected,
        examples=tuple(examples),
    )


def _table_check(
    rule: MeasureRule | SchemaRule, site: Mapping[str, Any], schema: Mapping[str, pl.DataType]
) -> CheckResult:
    finding = rule.judge(site[f"_figure_{rule.name}"] if isinstance(rule, MeasureRule) else schema)
    return CheckResult(
        expectation=rule.expectation,
        name=rule.name,
        success=finding.success,
        observed=finding.observed,
        details=finding.details,
    )
