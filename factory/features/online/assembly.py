"""A line's clean tables in; its snapshot out with the Parquet files that it names; neither checked nor signed yet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from factory.errors import LineError
from factory.features.announced import dated, with_announced
from factory.features.declared import DeclaredFeatures
from factory.features.online.code import code_of, dotted
from factory.features.online.manifest import OnlineSnapshot, RowPath, SnapshotTable, announced_name
from factory.features.online.store import parquet
from factory.features.windows import PENDING
from factory.line.announced import Announced, aware
from factory.line.line import Line
from factory.line.look_back import RECENT, LookBack, tells_time
from factory.storage.columns import SITE


@dataclass(frozen=True, kw_only=True)
class AssembledSnapshot:
    """A snapshot that names no site yet, its tables, and their files by digest."""

    snapshot: OnlineSnapshot
    tables: Mapping[str, pl.DataFrame]
    files: Mapping[str, bytes]


def assembled(
    line: Line,
    look_back: LookBack,
    clean: Mapping[str, pl.LazyFrame],
    announced: Mapping[str, pl.LazyFrame],
    made_from: str,
) -> AssembledSnapshot:
    """Return the snapshot of a line's clean tables and of what is announced in them.

    Raises LineError where a row cannot be identified by its key.
    """
    if look_back.row_alone:
        clean = {**clean, line.decision_table: clean[line.decision_table].head(0)}
    newest = _newest(line, clean)
    happened = {
        name: look_back.rows_needed(name, rows, line.tables[name].cursor, newest) for name, rows in clean.items()
    }
    _require_keys(line, happened[line.decision_table].collect())
    tables = collected_tables(line, clean, happened, announced)
    files = {name: parquet(rows) for name, rows in tables.items()}
    snapshot = OnlineSnapshot(
        line=line.name,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        made_from=made_from,
        row_path=_row_path(line),
        tables={name: SnapshotTable(digest=digest, rows=len(tables[name])) for name, (digest, _) in files.items()},
        sites=(),
        known_until=_iso(newest),
        answers_from=_iso(newest and newest - RECENT),
        newest=_newest_by_site(line, clean) if newest else {},
        stale_after_hours=look_back.stale_after_hours if newest else None,
    )
    return AssembledSnapshot(snapshot=snapshot, tables=tables, files=dict(files.values()))


def collected_tables(
    line: Line,
    clean: Mapping[str, pl.LazyFrame],
    kept: Mapping[str, pl.LazyFrame],
    announced: Mapping[str, pl.LazyFrame],
) -> dict[str, pl.DataFrame]:
    """Return what is kept of a line's clean tables by name, and beside a table what is announced in it."""
    tables = {name: rows.collect() for name, rows in kept.items()}
    for table in line.announced_tables:
        coming = with_announced(table, clean[table.name], announced.get(table.name)).filter(PENDING)
        tables[table.name] = dated(table, tables[table.name].lazy()).collect()
        tables[announced_name(table.name)] = coming.select(tables[table.name].columns).collect()
    return tables


def _newest(line: Line, clean: Mapping[str, pl.LazyFrame]) -> datetime | None:
    """Return the moment of the newest decision row, in UTC; None where its table has no times."""
    rows, cursor = clean[line.decision_table], line.decisions.cursor
    if not tells_time(rows, cursor):
        return None
    newest: datetime | None = rows.select(pl.col(cursor).max()).collect().item()
    return None if newest is None else aware(newest)


def _newest_by_site(line: Line, clean: Mapping[str, pl.LazyFrame]) -> dict[str, str]:
    """Return the moment of each site's own newest decision row: that others send theirs does not make it known."""
    rows = clean[line.decision_table].group_by(SITE).agg(pl.col(line.decisions.cursor).max()).drop_nulls()
    return {site: aware(newest).isoformat() for site, newest in rows.sort(SITE).collect().iter_rows()}


def _iso(moment: datetime | None) -> str | None:
    return aware(moment).isoformat() if moment else None


def _row_path(line: Line) -> RowPath:
    table, features = line.decisions, line.features
    try:
        declared = features.build if isinstance(features.build, DeclaredFeatures) else None
        own = declared.own if declared else features.build
        repair, build = dotted(table.repair), dotted(own) if own else ""
        code = code_of(repair, *filter(None, [build]))
    except (ImportError, ValueError) as error:
        raise LineError(f"line {line.name}: {error}; the gateway builds features by that name") from error
    return RowPath(
        table=table.name,
        columns=table.columns,
        site_column=str(table.site_column),
        key=table.key,
        contract=table.contract,
        repair=repair,
        build=build,
        features=tuple(features.columns),
        features_key=features.key,
        entity=features.entity,
        steps=line.recipe.steps,
        code=code,
        cursor=table.cursor,
        announced=_plain(table.announced) if table.announced else None,
        personal=table.personal,
        personal_key=line.personal_data.key if table.personal else "",
        personal_key_fingerprint=line.pseudonyms().fingerprint if table.personal else "",
        declared=declared.declared if declared else None,
    )


def _plain(announced: Announced) -> Announced:
    """Return the same with a number that JSON gives back as it is."""
    days = announced.ahead_days
    return announced if days is None else replace(announced, ahead_days=float(days))


def _require_keys(line: Line, decisions: pl.DataFrame) -> None:
    """Raise LineError unless a raw row can be identified by its key through repair and build."""
    wanted = {SITE, *line.decisions.key}
    if missing := sorted(wanted - set(decisions.columns)):
        raise LineError(
            f"line {line.name}: clean rows of {line.decision_table} have no {', '.join(missing)}, which a snapshot "
            "needs: keep the key in the table's repair, or leave the section `online_snapshot` out"
        )
    if missing := [name for name in line.features.key if name not in line.decisions.columns]:
        raise LineError(
            f"line {line.name}: features.key names {', '.join(missing)}, no raw column of {line.decision_table}, which "
            "a snapshot needs: name raw columns there, or leave the section `online_snapshot` out"
        )
