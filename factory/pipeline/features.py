"""The stage `features`: what was known at the moment of each decision, and the label once the outcome is known."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.data.cleaning import clean, judging_plan
from factory.data.content import content_digests
from factory.data.ingest import raw_rows
from factory.data.raw_rows import standing_raw_rows, stored_raw_rows
from factory.data.versions import WITHDRAWN, gone_rows
from factory.errors import LineError, TrainingError
from factory.features.announced import known_tables
from factory.features.comparison import differences, in_same_order
from factory.features.leak_proof import MOMENTS_AGAIN, MOST_MOMENTS, MadeOf, Proved, proved
from factory.features.online.past import tells_changes
from factory.line.line import Line, Table
from factory.line.site_names import UNKNOWN
from factory.line.split import DECIDED_AT, LABEL, Windows, decided
from factory.monitoring.findings import Finding
from factory.names import LINE_SITE
from factory.pipeline.findings import keep_and_tell
from factory.pipeline.line_run import LineRun
from factory.pipeline.whole_world import all_sites
from factory.pipeline.work import CONTENT, ROW_COUNT, Figures, Work
from factory.storage.columns import LOAD, ROW
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE

CHECKED_SITES = 3
"""Of so many sites it is checked whether their features depend on other sites' rows."""


def features(run: LineRun) -> Work:
    """Return what builds the sites' features from all clean rows, those of other sites too."""
    line = run.line

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        names = [line.lake_table("clean", table) for table in line.tables.values()]
        names += [line.lake_table("announced", table) for table in line.announced_tables]
        entries = {name: run.journal.latest(name).items() for name in names}
        rows = {name: {site: entry.content for site, entry in of if site != UNKNOWN} for name, of in entries.items()}
        # With a horizon it depends on the moment, too, which labels are known.
        made_from = fingerprint(rows, *([f"{run.until}"] if line.label.horizon else []))
        return {site: fingerprint(site, made_from) for site in sites}

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        seen = run.lake.site_versions("features", sites)
        happened, announced = run.clean_tables(), run.announced_tables()
        built = together(sites, lambda some: _by_site(run, happened, announced, some))
        proof = _proof(run, happened, announced, built.done, most=_moments(run, list(built.done)))
        leaking = {site: LineError(why) for site, why in _of_all(proof, list(built.done)).items()}
        rows = {site: rows for site, rows in built.done.items() if site not in leaking}

        def write(some: Sequence[str]) -> Mapping[str, Figures]:
            return _written(run, {site: rows[site] for site in some}, {site: seen[site] for site in some}, proof)

        written = together(list(rows), write)
        if written.done:
            suspects = {site: _suspected(proof.suspects.get(site)) for site in written.done}
            keep_and_tell(run, "features", {**suspects, LINE_SITE: _history(run)})
        return Isolated(done=written.done, failed={**built.failed, **leaking, **written.failed})

    return Work(do=isolated, inputs=inputs, lost=lambda sites: run.contents.changed_by_others(["features"], sites))


Tables = Mapping[str, pl.LazyFrame]


def _by_site(run: LineRun, happened: Tables, announced: Tables, sites: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return the sites' features; raises LineError where labels are unknown, or a site's depend on others unsaid."""
    line = run.line
    rows = with_known_labels(line, _built(run, happened, announced, sites), run.until)
    _require_known_labels(line, rows)
    if not line.features.across_sites:
        _require_own_rows(run, happened, announced, rows)
    return {site: rows.filter(pl.col(SITE) == site) for site in sites}


def _proved_by(run: LineRun) -> str:
    """Return a digest of all that decides what a proof finds beside the rows."""
    return run.code.of(("features", "feature names", "announced", "label"), ("features", "data", "line"))


def _moments(run: LineRun, sites: Sequence[str]) -> int:
    """Return how many moments to look at: few where these sites were proved by the same code before."""
    before, code = run.journal.latest("features", sites), _proved_by(run)
    known = [site in before and before[site].figures.get("proved_by") == code for site in sites]
    return MOMENTS_AGAIN if all(known) else MOST_MOMENTS


def _proof(
    run: LineRun, happened: Tables, announced: Tables, built: Mapping[str, pl.DataFrame], *, most: int
) -> Proved:
    """Return what comes of building decisions of these sites anew from what was known at their moment."""
    if not built:
        return Proved(moments=0, decisions={}, leaks={})
    raw = {table.name: _raw_rows(run, table) for table in run.line.tables.values()}
    try:
        made_of = MadeOf(line=run.line, raw=raw, happened=happened, announced=announced)
        return proved(made_of, pl.concat(built.values()), most=most)
    except Exception as error:  # noqa: BLE001  the line's own code may raise whatever it likes, and stops these sites
        why = (
            f"line {run.line.name}: its features cannot be built anew from what was known at an earlier moment: "
            f"{type(error).__name__}: {error}. They must be built of any part of the rows"
        )
        return Proved(moments=0, decisions={}, leaks=dict.fromkeys(built, why))


def _raw_rows(run: LineRun, table: Table) -> pl.LazyFrame:
    """Return a table's raw rows that stand, typed; with superseded versions where the table tells of their moments."""
    if not tells_changes(table):
        return standing_raw_rows(run.lake, table)
    contract, gone = run.contracts[table.name], gone_rows(run.lake, table)
    judged = judging_plan(stored_raw_rows(run.lake, table), table, contract, gone)
    kept = judged.filter(~pl.col(WITHDRAWN), ~contract.broken)
    return kept.select(list(dict.fromkeys([*table.columns, SITE, LOAD, ROW])))


def _suspected(text: str | None) -> list[Finding]:
    return [Finding(kind="maybe a leak", key="maybe a leak", text=text)] if text else []


def _history(run: LineRun) -> list[Finding]:
    """Return what is to be known of how much time models have to learn from."""
    division = run.division()
    if not isinstance(division, Windows):
        return []
    text = division.little_history(run.lake.scan("features").select(DECIDED_AT, LABEL).collect())
    return [Finding(kind="little history", key="little history", text=text)] if text else []


def _of_all(proof: Proved, sites: Sequence[str]) -> dict[str, str]:
    """Return why each of the sites fails: one function builds the features of all, so a leak of one is that of all."""
    if not proof.leaks:
        return {}
    first = next(iter(proof.leaks.values()))
    return {site: proof.leaks.get(site, f"one function builds the features of all sites: {first}") for site in sites}


def _written(
    run: LineRun, built: Mapping[str, pl.DataFrame], seen: Mapping[str, int], proof: Proved
) -> Mapping[str, Figures]:
    """Put the sites' features into the lake, in the place of those that were seen there."""
    sites, rows = list(built), pl.concat(built.values())
    version = run.lake.replace("features", rows, seen)
    run.contents.digests(["features"], sites)
    counts = rows.group_by(SITE).agg(pl.len().alias(ROW_COUNT), pl.col(LABEL).count().alias("labelled"))
    by_site = {row.pop(SITE): row for row in counts.to_dicts()}
    contents, none = content_digests(rows, sites), {ROW_COUNT: 0, "labelled": 0}
    return {
        site: {
            **by_site.get(site, none),
            "proved_decisions": proof.decisions.get(site, 0),
            "leak_suspects": proof.suspects.get(site),
            "proved_by": _proved_by(run),
            CONTENT: contents[site],
            "lake_version": version,
        }
        for site in sites
    }


def _built(run: LineRun, happened: Tables, announced: Tables, sites: Sequence[str]) -> pl.DataFrame:
    """Return the features of the sites' decisions that happened; an announced row is looked at until it does."""
    line = run.line
    rows = line.features.build(known_tables(line, happened, announced)).filter(pl.col(SITE).is_in(list(sites)))
    if line.decisions.announced:
        key = [SITE, *line.features.key]
        rows = rows.join(happened[line.decision_table].select(key).unique(), on=key, how="semi", nulls_equal=True)
    return run.compute.collect(rows)


def with_known_labels(line: Line, rows: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """Return feature rows whose label is unknown where its horizon has not passed as of a moment (UTC, naive).

    Raises LineError where decisions tell no time.
    """
    if not line.label.horizon:
        return rows
    if not isinstance(rows.schema[DECIDED_AT], pl.Datetime):
        raise LineError(
            f"line {line.name}: label: horizon {line.label.horizon} is a length of time, and `decided_at` holds "
            f"{rows.schema[DECIDED_AT]}, no moment; leave the horizon out, or let `features: build` give moments"
        )
    return rows.with_columns(pl.when(decided() <= until - line.label.after).then(pl.col(LABEL)).alias(LABEL))


def _require_known_labels(line: Line, rows: pl.DataFrame) -> None:
    """Raise LineError where a label is none that the line's task knows: it would be learnt as something else."""
    try:
        line.task.codes(rows[LABEL])
    except TrainingError as error:
        sites = sorted(set(rows[SITE]))
        raise LineError(
            f"line {line.name}, {'site' if len(sites) == 1 else 'sites'} {', '.join(sites[:5])}: {error}. Say in the "
            f"contract of {line.decision_table} which values the target may have (expect_column_values_to_be_in_set), "
            "and rows with another wait in quarantine"
        ) from error


def _require_own_rows(run: LineRun, happened: Tables, announced: Tables, rows: pl.DataFrame) -> None:
    """Raise LineError where features of a site are others with other sites' rows than without.

    Where the lake has one site alone, the source is asked for the rows of another.
    """
    decisions, sites = run.line.decision_table, sorted(set(rows[SITE]))
    table = happened[decisions]
    if len(run.journal.latest("clean").keys() - {UNKNOWN}) > 1:
        for site in sites[:: max(1, len(sites) // CHECKED_SITES)]:
            own = pl.col(SITE) == site
            alone, coming = (
                {name: some.filter(own) if name == decisions else some for name, some in tables.items()}
                for tables in (happened, announced)
            )
            _require_same(run, site, rows, _built(run, alone, coming, [site]))
    elif sites and (other := _rows_of_another(run, sites)) is not None:
        both = pl.concat([table, other.lazy().select(table.collect_schema().names())])
        _require_same(run, sites[0], _built(run, {**happened, decisions: both}, announced, sites), rows)


def _require_same(run: LineRun, site: str, with_others: pl.DataFrame, alone: pl.DataFrame) -> None:
    line, of_site = run.line, pl.col(SITE) == site
    names, decisions = list(line.features.columns), line.decision_table
    both = in_same_order(with_others.filter(of_site), alone.filter(of_site), line.features.key, names)
    differing = differences(*both, names) if both else {"which rows have features": 0}
    if not differing:
        return
    name, place = next(iter(differing.items()))
    values = f" ({both[0][name][place]} with them, {both[1][name][place]} without)" if both else ""
    raise LineError(
        f"line {line.name}, site {site}: {name} depends on rows of other sites in {decisions}{values}, and the line "
        f"does not say so; write `across_sites: [{decisions}]` under `features`, and rows of all sites are brought in "
        "first, or let it look at the site's own rows alone"
    )


def _rows_of_another(run: LineRun, sites: Sequence[str]) -> pl.DataFrame | None:
    """Return clean rows of a site that the lake does not have; None where there is none that can be read."""
    table = run.line.decisions
    other = next((site for site in all_sites(run) if site not in sites), None)
    raw = None if other is None else raw_rows(run.source, table, other, run.until)
    return None if raw is None else clean(raw.lazy(), table, run.contracts[table.name], run.compute).accepted
