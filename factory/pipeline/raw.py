"""The stage `raw`: new rows of a source come into the lake, exactly as they came and each once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from factory.compute.isolation import Isolated
from factory.connectors.source import Ahead, Beyond
from factory.data.extents import Seen
from factory.data.ingest import ingest
from factory.data.schema_changes import SchemaChange
from factory.data.table_contents import TableContents
from factory.errors import EnvironmentRefused, PersonalDataRefused, SchemaMismatch, SourceError
from factory.errors.masking import masked
from factory.line.line import Table
from factory.monitoring.findings import FINDINGS, Finding, keep, schema_of
from factory.monitoring.silence import ARRIVALS, Arrivals, silence_of
from factory.names import LINE_SITE
from factory.pipeline.findings import keep_and_tell
from factory.pipeline.line_run import LineRun
from factory.pipeline.silence import SilenceWatch
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work

LATER = "later_rows"
"""The figure by which `raw` says how many rows a source has that are not before the run's moment."""


def _seen(table: Table) -> str:
    """Return the name by which the journal knows what was last seen of a table's source."""
    return f"source of raw/{table.name}"


def raw(run: LineRun, table: Table) -> Work:
    """Return what brings a table's new rows in; a run that redoes the stage reads the source from its first row."""
    name, contents = f"raw/{table.name}", TableContents(run.lake, run.journal, run.run_id)

    def load(sites: Sequence[str]) -> Isolated[Figures]:
        if refused := _marked_otherwise(run, table):
            return Isolated(failed=dict.fromkeys(sites, refused))
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
        watch = SilenceWatch(run, table, loaded.done)
        silent = watch.findings()
        later = _beyond(run, table)
        if left := sum(later[site].rows for site in later if site in loaded.done):
            run.say(f"{name}: {left:,} rows are not before {run.until:%Y-%m-%d}: a later day brings them in")
        keep_and_tell(run, schema_of(name), found)
        unloaded = {site: _unloaded(loaded.failed.get(site)) for site in sites if site not in stopped}
        keep(run.journal, f"{name} load", unloaded, run.run_id)  # the run fails of it, and so it is told
        keep_and_tell(run, silence_of(name), silent)
        ahead = {site: _ahead(table, later.get(site)) for site in loaded.done}
        keep_and_tell(run, f"{name} clock", ahead)
        done = {
            site: {
                ROW_COUNT: rows.rows,
                "new_rows": rows.new_rows,
                "withdrawn": rows.withdrawn,
                CHANGED: rows.new_rows + rows.withdrawn > 0,
                LATER: later[site].rows if site in later else 0,
                FINDINGS: [one.text for one in (*found.get(site, ()), *silent.get(site, ()), *ahead[site])],
                **_arrived(watch.arrivals.get(site), run.until),
            }
            for site, rows in loaded.done.items()
        }
        now = {site: rows.seen for site, rows in loaded.done.items() if rows.seen != seen.get(site, Seen())}
        figures = {site: asdict(one) for site, one in now.items()}
        run.journal.record(_seen(table), figures, dict.fromkeys(now, ""), run=run.run_id, seconds=0.0)
        contents.digests([name], [site for site, figures in done.items() if figures[CHANGED]])
        failed = {**loaded.failed, **(_stopped(silent, done) if run.line.freshness.silent == "stop" else {})}
        return Isolated(done={site: figures for site, figures in done.items() if site not in failed}, failed=failed)

    return Work(do=load)


def _marked_otherwise(run: LineRun, table: Table) -> Exception | None:
    """Return why no row may come in: those that are there were marked otherwise, or under another key.

    The marks of a first load are put on record, and what their key is told by.
    """
    stage, name = f"personal columns of raw/{table.name}", f"raw/{table.name}"
    try:
        key = run.line.pseudonyms().fingerprint if table.personal else ""
    except EnvironmentRefused as error:
        return error
    now = {"marks": dict(table.personal), "key": key}
    entry = run.journal.latest(stage, [LINE_SITE]).get(LINE_SITE)
    was = dict(entry.figures) if entry else {"marks": {}, "key": ""}
    if was == now:
        return None
    if run.lake.has(name) and not run.lake.scan(name).head(1).collect().is_empty():
        return PersonalDataRefused(
            f"line {run.line.name}, table {table.name}: {_difference(was, now)}; no row came in, so that no person is "
            "there in two ways. Take that back, or have the table's rows removed and loaded anew, as far as the source "
            f"still has them: factory forget {run.line.name} --table {table.name}"
        )
    run.journal.record(stage, {LINE_SITE: now}, {LINE_SITE: ""}, run=run.run_id, seconds=0.0)
    return None


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if was["marks"] == now["marks"]:
        return "the key of pseudonyms is another than the rows in the lake were pseudonymised with"
    before, after = (
        ", ".join(f"{name} {treatment}" for name, treatment in sorted(one["marks"].items())) or "none"
        for one in (was, now)
    )
    return f"the rows in the lake came in with other personal columns ({before}) than the line's file marks ({after})"


def _beyond(run: LineRun, table: Table) -> Mapping[str, Beyond]:
    """Return what each site's source has that this run does not look at yet; nothing where it cannot tell."""
    return run.source.beyond(table, run.until) if isinstance(run.source, Ahead) else {}


def _ahead(table: Table, beyond: Beyond | None) -> list[Finding]:
    """Return what is to be known of rows whose clock was ahead; announced rows are meant to be so."""
    if beyond is None or not beyond.ahead or table.announced is not None:
        return []
    text = (
        f"table {table.name}: {beyond.ahead:,} rows tell a moment that is still to come, the latest {beyond.latest}: "
        f"they are left at the source until then; mend {table.cursor} there or the clock that writes it, or declare "
        "`announced` where rows are known before they happen"
    )
    return [Finding(kind="clock ahead", key="clock ahead", text=text)]


def _arrived(arrivals: Arrivals | None, until: datetime) -> Figures:
    """Return what is kept of when a site's rows come, and for how many hours none came."""
    if arrivals is None:
        return {}
    return {ARRIVALS: arrivals.to_dict(), "hours_since_newest": (until - arrivals.newest) / timedelta(hours=1)}


def _stopped(silent: Mapping[str, Sequence[Finding]], sites: Collection[str]) -> dict[str, SourceError]:
    """Return why sites stop that are silent, where the line's file says so."""
    return {
        site: SourceError(f"site {site}, {some[0].text} (freshness: silent: stop)")
        for site, some in silent.items()
        if some and site in sites
    }


def _unloaded(error: Exception | None) -> list[Finding]:
    """Return what is to be known of a site whose rows could not be loaded: it has those of before."""
    return [Finding(kind="not loaded", key="not loaded", text=masked(str(error)))] if error else []


def _changed(table: Table, change: SchemaChange) -> Finding:
    key = f"{change.kind} {change.column} {change.now} {change.policy}"
    return Finding(kind="schema changed", key=key, text=change.sentence(table.name))
