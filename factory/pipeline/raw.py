"""The stage `raw`: new rows of a source come into the lake, exactly as they came and each once."""

from collections.abc import Sequence
from dataclasses import asdict

from factory.compute.isolation import Isolated
from factory.data.extents import Seen
from factory.data.ingest import ingest
from factory.data.schema_changes import SchemaChange
from factory.data.table_contents import TableContents
from factory.errors import SchemaMismatch
from factory.line.line import Table
from factory.monitoring.findings import FINDINGS, Finding
from factory.pipeline.findings import keep_and_tell
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work


def _seen(table: Table) -> str:
    """Return the name by which the journal knows what was last seen of a table's source."""
    return f"source of raw/{table.name}"


def raw(run: LineRun, table: Table) -> Work:
    """Return what brings a table's new rows in; a run that redoes the stage reads the source from its first row."""
    name, contents = f"raw/{table.name}", TableContents(run.lake, run.journal, run.run_id)

    def load(sites: Sequence[str]) -> Isolated[Figures]:
        for site, what in contents.changed_by_others([name], sites).items():
            run.warn(
                f"{name}: site {site}: {what}; all that comes after is made of the rows that are there now. What is "
                f"gone comes back from the source with: factory run {run.line.name} --from raw"
            )
        seen = {site: Seen(**entry.figures) for site, entry in run.journal.latest(_seen(table), sites).items()}
        again = bool(run.redo_from)
        loaded = ingest(run.lake, run.source, table, sites, run.until, from_start=again, seen=seen)
        for remark in filter(None, (rows.remark for rows in loaded.done.values())):
            run.say(remark)
        stopped = {site: error for site, error in loaded.failed.items() if isinstance(error, SchemaMismatch)}
        changes = {site: rows.changes for site, rows in loaded.done.items() if rows.changes is not None}
        changes |= {site: error.changes for site, error in stopped.items()}
        found = {site: [_changed(table, change) for change in some] for site, some in changes.items()}
        keep_and_tell(run, name, found)
        done = {
            site: {
                ROW_COUNT: rows.rows,
                "new_rows": rows.new_rows,
                "withdrawn": rows.withdrawn,
                CHANGED: rows.new_rows + rows.withdrawn > 0,
                FINDINGS: [finding.text for finding in found.get(site, [])],
            }
            for site, rows in loaded.done.items()
        }
        now = {site: rows.seen for site, rows in loaded.done.items() if rows.seen != seen.get(site, Seen())}
        figures = {site: asdict(one) for site, one in now.items()}
        run.journal.record(_seen(table), figures, dict.fromkeys(now, ""), run=run.run_id, seconds=0.0)
        contents.digests([name], [site for site, figures in done.items() if figures[CHANGED]])
        return Isolated(done=done, failed=loaded.failed)

    return Work(do=load)


def _changed(table: Table, change: SchemaChange) -> Finding:
    key = f"{change.kind} {change.column} {change.now} {change.policy}"
    return Finding(kind="schema changed", key=key, text=change.sentence(table.name))
