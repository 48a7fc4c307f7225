"""Whether too much of what came in last breaks the contract: such a site stops, and its clean rows stay as they are.

Judged rows in, an error for each site that stops out. One bad row is one quarantined row and stops nobody.
"""

from collections import Counter
from collections.abc import Mapping

import polars as pl

from factory.data.contract.contract import RULE, Contract
from factory.errors import BatchRefused
from factory.line.line import Table
from factory.line.site_names import UNKNOWN
from factory.storage.columns import FILE, LINE, LOAD, MENDS, SITE
from factory.storage.raw_values import TEXT

AT_LEAST = 10
"""So many rows of a batch may break the contract whatever share they are: half of two rows says nothing."""
MOST_RULES, MOST_EXAMPLES = 3, 5


def refused_batches(
    raw: pl.LazyFrame, quarantine: pl.DataFrame, table: Table, contract: Contract
) -> Mapping[str, BatchRefused]:
    """Return why the newest load of a site is refused, by site, where more of it waits in quarantine than may.

    What persons corrected is no load: a row of which there is a correction waits no more.
    """
    newest = pl.col(LOAD) == pl.col(LOAD).max().over(SITE)
    came = pl.col(MENDS).is_null() if MENDS in raw.collect_schema() else pl.lit(True)
    loads = (
        raw.filter(came).select(SITE, LOAD).filter(newest).group_by(SITE, LOAD).agg(pl.len().alias("rows")).collect()
    )
    refused = {}
    for site, load, rows in loads.iter_rows():
        broken = quarantine.filter(pl.col(SITE) == site, pl.col(LOAD) == load)
        if site != UNKNOWN and len(broken) > AT_LEAST and len(broken) > table.max_quarantine_share * rows:
            refused[site] = BatchRefused(_sentence(site, rows, broken, table, contract))
    return refused


def _sentence(site: str, rows: int, broken: pl.DataFrame, table: Table, contract: Contract) -> str:
    share, limit = f"{len(broken) / rows:.0%}", f"{table.max_quarantine_share:.0%}"
    return (
        f"site {site}, table {table.name}: {len(broken)} of the {rows} rows that came in last ({share}) break the "
        f"contract, and at most {limit} may (max_quarantine_share); its clean rows and what it serves stay as they "
        f"were. {_worst(broken, contract)}. {_hint(broken, table)}Mend the source and load it again, mend the rules "
        "or `parse` in the line's file, or correct rows with `factory quarantine`, which lists them all"
    )


def _hint(broken: pl.DataFrame, table: Table) -> str:
    """Return what to write where truth values came as the numbers that they are in many databases."""
    texts = [broken[name] for name, kind in table.columns.items() if kind == "Boolean" and name in broken.columns]
    if not any(values.dtype == pl.String and values.is_in(["0", "1"]).all() for values in texts):
        return ""
    said = 'parse: {true_values: ["true", "1"], false_values: ["false", "0"]}'
    return f"Where 0 and 1 are to be read as truth values: `{said}`. "


def _worst(broken: pl.DataFrame, contract: Contract) -> str:
    """Return the rules that most rows broke, with examples of what came."""
    rules = Counter(rule for names in broken[RULE] for rule in names.split("; "))
    worst = rules.most_common(MOST_RULES)
    columns = {rule.name: rule.columns for rule in contract.row_rules}
    each = MOST_EXAMPLES // len(worst)
    told = []
    for name, count in worst:
        some = broken.filter(pl.col(RULE).str.split("; ").list.contains(name)).head(each)
        examples = ", ".join(_example(row, columns[name]) for row in some.iter_rows(named=True))
        told.append(f"{name}: {count} rows, such as {examples}")
    return "; ".join(told)


def _example(row: Mapping[str, object], columns: tuple[str, ...]) -> str:
    """Return the values of a rule's columns as they came, with file and line where they are known."""
    values = []
    for column in columns:
        value = row.get(column) if row.get(column) is not None else row.get(f"{column}{TEXT}")
        values.append("nothing" if value is None else repr(value)[:60])
    place = f" ({row[FILE]}{f', line {row[LINE]}' if row.get(LINE) else ''})" if row.get(FILE) else ""
    return f"{' and '.join(values)}{place}"
