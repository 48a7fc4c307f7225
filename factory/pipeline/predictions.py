"""The stage `predictions`: each site's release answers the rows that were decided since, each row once."""

from collections.abc import Mapping, Sequence

import polars as pl

from factory.compute.isolation import Isolated, one_by_one, together
from factory.line.split import decided
from factory.monitoring.acting import is_asked, with_acting
from factory.monitoring.predictions import DIGEST, PREDICTIONS, RELEASE, VERSION, not_predicted, predicted
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work
from factory.storage.lake import SITE


def predictions(run: LineRun) -> Work:
    """Return what predicts; a site that serves nothing has nothing to do here."""

    def do(sites: Sequence[str]) -> Isolated[Figures]:
        seen = run.lake.site_versions(PREDICTIONS, sites)  # before looking, or another run's rows come in twice
        predicted_rows = one_by_one(sites, lambda site: _predicted(run, site))
        new = {site: rows for site, rows in predicted_rows.done.items() if len(rows)}

        def add(some: Sequence[str]) -> Mapping[str, Figures]:
            rows = pl.concat([new[site] for site in some])
            run.lake.append(PREDICTIONS, rows, {site: seen[site] for site in some}, widen=is_asked(run.line))
            return {site: {ROW_COUNT: len(new[site]), "release": int(new[site][RELEASE][-1])} for site in some}

        written = together(list(new), add)
        idle = {site: _nothing(run, site) for site in predicted_rows.done if site not in new}
        return Isolated(done={**idle, **written.done}, failed={**predicted_rows.failed, **written.failed})

    return Work(do=do)


def _predicted(run: LineRun, site: str) -> pl.DataFrame:
    serving, rows = run.served.serving(site), run.served.rows
    if serving is None:
        return pl.DataFrame()
    mine, moment = pl.col(SITE) == site, decided()
    due = rows.filter(mine & (moment >= serving.since) & (moment < run.until))
    new = not_predicted(run.line, due, run.served.table(PREDICTIONS, site))
    manifest = serving.release.manifest
    answered = with_acting(run.line, predicted(run.line, new, rows.filter(mine), serving), new)
    return answered.with_columns(
        pl.lit(manifest.sequence, dtype=pl.Int64).alias(RELEASE),
        pl.lit(manifest.version, dtype=pl.Int64).alias(VERSION),
        pl.lit(manifest.digest).alias(DIGEST),
    )


def _nothing(run: LineRun, site: str) -> Figures:
    return {ROW_COUNT: 0, CHANGED: False, "why": run.served.why_idle(site)}
