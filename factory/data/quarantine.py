"""What waits in quarantine: seen by rule, exported as it came, and taken back once it is corrected.

A correction is a new version of a raw row in which one value, or some, is another; the row as it came stays, and is
superseded. Who corrected it and why stands with the new version. What the source delivers is told apart from it: that
the source has the old value still brings nothing, and a new value there is a version later than the correction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from factory.data.contract.contract import RULE
from factory.data.contract.typing import ORDER, typed_values
from factory.data.raw_rows import stored_raw_rows
from factory.errors import CorrectionRefused
from factory.line.line import Line, Table
from factory.storage.columns import CURSOR, FILE, LINE, LOAD, MENDED, MENDS, ROW, SITE
from factory.storage.lake import Lake
from factory.storage.raw_values import TEXT, text_of

CORRECTION = ("column", "value", "by", "why")
"""What a file of corrections says beside what names the row: its site, and its key or its load and row."""
_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How many rows of a site wait in quarantine by one rule, with some of them."""

    table: str
    site: str
    rule: str
    rows: int
    examples: tuple[str, ...]


def waiting(lake: Lake, line: Line, table: Table, sites: Sequence[str] = (), rule: str = "") -> pl.DataFrame:
    """Return a table's quarantined rows as they came, with the rules that each broke, of some sites or of all.

    `rule` is a part of a rule's name. A table that nothing was ever quarantined of has no rows.
    """
    name = line.lake_table("quarantine", table)
    if not lake.has(name):
        return pl.DataFrame(schema={SITE: pl.String, RULE: pl.String})
    rows = lake.scan(name, list(sites) or None).collect()
    broken = rows[RULE].str.to_lowercase().str.contains(rule.lower(), literal=True)
    return rows.filter(broken).sort(SITE, LOAD, ROW)


def by_rule(rows: pl.DataFrame, table: Table) -> list[Waiting]:
    """Return quarantined rows counted by site and rule, the most first."""
    if rows.is_empty():
        return []
    split = rows.with_columns(pl.col(RULE).str.split("; ")).explode(RULE, empty_as_null=True)
    groups = split.group_by(SITE, RULE, maintain_order=True)
    counted = [
        Waiting(
            table=table.name,
            site=str(site),
            rule=str(rule),
            rows=len(some),
            examples=tuple(_shown(row, str(rule), table) for row in some.head(_EXAMPLES).iter_rows(named=True)),
        )
        for (site, rule), some in groups
    ]
    return sorted(counted, key=lambda one: (-one.rows, one.site, one.rule))


def _shown(row: Mapping[str, Any], rule: str, table: Table) -> str:
    """Return the values that a rule speaks of, and where the row comes from."""
    named = [name for name in rule.partition(":")[0].split(", ") if name in table.columns]
    values = [f"{name} {value_of_row(row, name)!r:.80}" for name in named or table.key]
    place = f" ({row[FILE]}, line {row[LINE]})" if row.get(FILE) and row.get(LINE) else ""
    return f"{', '.join(values)}{place}"


def value_of_row(row: Mapping[str, Any], column: str) -> Any:
    """Return a column's value in a raw row, wherever it is kept."""
    value = row.get(column)
    return row.get(f"{column}{TEXT}") if value is None else value


def mend(lake: Lake, line: Line, table: Table, corrections: pl.DataFrame, now: datetime) -> dict[str, int]:
    """Bring corrected versions of quarantined rows into the raw table, all or none; return how many of each site.

    `corrections` are texts: SITE, the key's columns or LOAD and ROW, and CORRECTION. An empty value means that there is
    none. Corrections of one row make one version. What is said of a personal column is kept as the line's file says.
    Raises CorrectionRefused, which names the first that cannot be.
    """
    _require_columns(corrections, table)
    corrections = _marked(corrections, line, table)
    rows = waiting(lake, line, table)
    place = [SITE, *_naming(corrections, table)]
    texts = rows.with_columns(text_of(rows[name]).alias(f"_key_{name}") for name in place)
    new: dict[int, dict[str, Any]] = {}  # by the place of the row that waits, as ORDER has it
    for number, correction in enumerate(corrections.iter_rows(named=True), 1):
        found = texts.filter(pl.col(f"_key_{name}") == correction[name] for name in place)
        key = ", ".join(f"{name} {correction[name]}" for name in place)
        if len(found) != 1:
            many = f"{len(found)} rows wait with it: name one by {LOAD} and {ROW}, which the export has"
            raise CorrectionRefused(f"correction {number}: {key}: {many if len(found) else 'no such row waits'}")
        _require(correction, number, table)
        waits = found.row(0, named=True)
        mended = new.setdefault(found.select(ORDER).item(), {"row": waits, "said": []})
        mended["said"].append(correction)
    return _written(lake, table, new, now) if new else {}


def _marked(corrections: pl.DataFrame, line: Line, table: Table) -> pl.DataFrame:
    """Return corrections with what is kept of values of personal columns."""
    if not table.personal:
        return corrections
    marking = line.marking(table)
    said = [
        marking.value(one["column"], one["value"]) if marking else None for one in corrections.iter_rows(named=True)
    ]
    return corrections.with_columns(pl.Series("value", said, pl.String))


def _naming(corrections: pl.DataFrame, table: Table) -> list[str]:
    """Return the columns by which corrections name a row within its site."""
    return [LOAD, ROW] if {LOAD, ROW} <= set(corrections.columns) else [name for name in table.key if name != SITE]


def _require_columns(corrections: pl.DataFrame, table: Table) -> None:
    wanted = [SITE, *_naming(corrections, table), *CORRECTION]
    if missing := [name for name in wanted if name not in corrections.columns]:
        raise CorrectionRefused(
            f"the corrections have no column {', '.join(missing)}; they need {', '.join(wanted)}; in place of the key "
            f"they may have {LOAD} and {ROW}, as the export has them"
        )


def _require(correction: Mapping[str, Any], number: int, table: Table) -> None:
    column = correction["column"]
    if column not in table.columns:
        raise CorrectionRefused(f"correction {number}: {table.name} has no column {column!r}")
    if column == table.site_column:
        raise CorrectionRefused(
            f"correction {number}: {column} names the site; say under `site_names: mapping` which site a spelling is"
        )
    if unsaid := [name for name in ("by", "why") if not (correction[name] or "").strip()]:
        raise CorrectionRefused(f"correction {number}: {' and '.join(unsaid)} must be said: it goes on record")


def _written(lake: Lake, table: Table, mended: Mapping[int, Mapping[str, Any]], now: datetime) -> dict[str, int]:
    name = f"raw/{table.name}"
    sites = sorted({one["row"][SITE] for one in mended.values()})
    seen = lake.site_versions(name, sites)
    stored = stored_raw_rows(lake, table, sites)
    schema = dict(stored.collect_schema())
    loads = dict(stored.group_by(SITE).agg(pl.col(LOAD).max() + 1).collect().iter_rows())
    versions = [_version(one, schema, now) for one in mended.values()]
    rows = [
        {**row, LOAD: loads[row[SITE]], ROW: number, MENDS: place}
        for number, (place, row) in enumerate(zip(mended, versions, strict=True))
    ]
    types = {**schema, **{key: pl.String() for row in rows for key in row if key.endswith(TEXT)}}
    types |= {MENDS: pl.Int64(), MENDED: pl.String()}
    frame = pl.DataFrame(rows, schema=types, orient="row")
    if table.cursor:
        frame = frame.with_columns(typed_values(frame, table.cursor, table).alias(CURSOR))
    lake.append(name, frame, seen, widen=True)
    return dict(frame.group_by(SITE).len().sort(SITE).iter_rows())


def _version(mended: Mapping[str, Any], schema: Mapping[str, pl.DataType], now: datetime) -> dict[str, Any]:
    """Return the row that waits with the values that were said, and the record of who said them."""
    waits: Mapping[str, Any] = mended["row"]
    row = {name: waits.get(name) for name in schema}
    said = []
    for correction in mended["said"]:
        column, value = correction["column"], correction["value"] or None
        said.append({**{key: correction[key] for key in CORRECTION}, "was": _plain(value_of_row(waits, column))})
        is_text = schema.get(column, pl.String()) == pl.String()
        row |= {column: value} if is_text else {column: None, f"{column}{TEXT}": value}
        if is_text and f"{column}{TEXT}" in row:
            row[f"{column}{TEXT}"] = None
    record = {"at": now.isoformat(timespec="seconds"), "corrections": said}
    return {**row, MENDED: json.dumps(record, ensure_ascii=False)}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def corrections_made(lake: Lake, table: Table, sites: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return each correction that was made: site, key, column, what it was and is, by whom, why and when."""
    name = f"raw/{table.name}"
    if not lake.has(name) or MENDED not in lake.scan(name).collect_schema():
        return []
    rows = lake.scan(name, list(sites) or None).filter(pl.col(MENDED).is_not_null()).sort(SITE, LOAD, ROW).collect()
    return [
        {"table": table.name, "site": row[SITE], "key": {name: _plain(row.get(name)) for name in table.key}}
        | {"at": record["at"], **correction}
        for row in rows.iter_rows(named=True)
        for record in [json.loads(row[MENDED])]
        for correction in record["corrections"]
    ]
