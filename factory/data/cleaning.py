"""Raw rows in; clean, quarantined, superseded and withdrawn out, so that every raw row is accounted for exactly once.

One lazy plan types and judges the rows of all sites: a narrow group_by finds the newest version of each key, unless the
source has it no more, the contract adds its mask, and nothing wide is sorted. The judged table is then split: broken
rows go to the quarantine as they came, with the names of the rules they broke; the others go through the line's own
`repair`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from factory.compute.engine import Collector
from factory.data.contract.contract import Contract
from factory.data.contract.result import ContractResult
from factory.data.contract.typing import ORDER, declared_columns, typed_rows
from factory.data.versions import NEWEST, PLACE, WITHDRAWN, corrected_rows, flag_standing
from factory.errors import RowsUnaccounted
from factory.line.line import Table
from factory.storage.columns import CURSOR, LOAD, MENDED, MENDS, ROW, SITE, type_named


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """What became of one site's raw rows; raw = clean + quarantine + superseded + withdrawn."""

    raw: int
    clean: int
    quarantine: int
    superseded: int
    withdrawn: int = 0
    """Rows that the source had and has no more, and those that tell of a deletion."""

    @property
    def unaccounted(self) -> int:
        """Raw rows that are in no output; negative when there are more outputs than raw rows."""
        return self.raw - self.clean - self.quarantine - self.superseded - self.withdrawn


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """One table after cleaning: `accepted` and `quarantine` as the lake keeps them, and the row counts of each site."""

    accepted: pl.DataFrame
    """Repaired columns and `site`."""
    quarantine: pl.DataFrame
    """Raw columns unchanged, `site`, `_load`, `_row`, and `rule`: the names of the broken rules."""
    counts: Mapping[str, RowCounts]
    contract: Mapping[str, ContractResult]


def clean(
    raw: pl.LazyFrame, table: Table, contract: Contract, collector: Collector, gone: pl.LazyFrame | None = None
) -> Cleaned:
    """Judge the newest version of each row of each site, quarantine the broken ones, repair the others.

    `raw` has the table's columns as they came, `site`, `_load` and `_row`, which number the rows of a site; `gone` has
    the last three of rows that the source has no more. Raises
    SchemaMismatch when its columns are not those of the contract, and RowsUnaccounted when rows are lost or multiplied,
    as by a repair that drops some.
    """
    judged = collector.collect(judging_plan(raw, table, contract, gone))
    newest = judged.lazy().filter(NEWEST).drop(NEWEST, WITHDRAWN)
    accepted = collector.collect(table.repair(newest.filter(~contract.broken).drop(*contract.masks, LOAD, ROW)))
    noticed = _as_they_came(raw, judged.filter(pl.col(NEWEST), contract.noticed).select(*PLACE, *contract.masks))
    broken = noticed.filter(contract.broken)
    delivered = declared_columns(raw.collect_schema(), table)
    schema = {name: type_named(table.columns[name]) for name in delivered}
    cleaned = Cleaned(
        accepted=accepted,
        quarantine=contract.name_rules(broken),
        counts=_counts(collector.collect(_rows(raw)), judged, accepted, broken),
        contract=contract.results(collector.collect(contract.measure(newest)), noticed, schema),
    )
    _require_account(cleaned.counts, table)
    return cleaned


def judging_plan(raw: pl.LazyFrame, table: Table, contract: Contract, gone: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Return the plan that adds to each raw row whether it stands or is withdrawn, and the contract's mask."""
    standing = flag_standing(typed_rows(raw, table, contract.reasons), table, gone, corrected_rows(raw))
    return contract.mark(standing, among=pl.col(NEWEST))


def _as_they_came(raw: pl.LazyFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """Return the raw rows of judged ones, in the order in which these are, with their masks."""
    # The scan may leave out by this what the join would, before it reads the other columns.
    sites, places = judged[SITE].unique().to_list(), judged.select(ORDER).to_series().to_list()
    maybe = raw.drop(CURSOR, strict=False).filter(pl.col(SITE).is_in(sites), ORDER.is_in(places))
    rows = maybe.drop(MENDS, MENDED, strict=False).collect(engine="streaming")
    return rows.join(judged, on=PLACE, how="inner", maintain_order="right")


def _rows(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by(SITE).agg(pl.len().cast(pl.Int64))


def _counts(
    raw: pl.DataFrame, judged: pl.DataFrame, accepted: pl.DataFrame, broken: pl.DataFrame
) -> dict[str, RowCounts]:
    """Count each output on its own, so that a lost or doubled row shows in the sum."""
    outputs = {
        "clean": _by_site(accepted.lazy()),
        "quarantine": _by_site(broken.lazy()),
        "superseded": _by_site(judged.lazy().filter(~pl.col(NEWEST), ~pl.col(WITHDRAWN))),
        "withdrawn": _by_site(judged.lazy().filter(WITHDRAWN)),
    }
    sites = sorted({*raw[SITE], *(site for output in outputs.values() for site in output)})
    raw_rows = dict(raw.iter_rows())
    return {
        site: RowCounts(raw=raw_rows.get(site, 0), **{name: rows.get(site, 0) for name, rows in outputs.items()})
        for site in sites
    }


def _by_site(frame: pl.LazyFrame) -> dict[str, int]:
    return dict(_rows(frame).collect().iter_rows())


def _require_account(counts: Mapping[str, RowCounts], table: Table) -> None:
    wrong = [
        f"site {site}: {count}, {count.unaccounted} unaccounted" for site, count in counts.items() if count.unaccounted
    ]
    if wrong:
        raise RowsUnaccounted(
            f"table {table.name}: raw rows must be clean, quarantined, superseded or withdrawn, each exactly once, but "
            f"{'; '.join(wrong[:5])}; make sure that the table's repair keeps the number of rows and their site"
        )
