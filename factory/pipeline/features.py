"""The stage `features`: what was known at the moment of each decision, and the label once the outcome is known."""

from collections.abc import Mapping, Sequence

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.data.content import content_digests
from factory.features.announced import known_tables
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, ROW_COUNT, Figures, Work
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE


def features(run: LineRun) -> Work:
    """Return what builds the sites' features from all clean rows, those of other sites too."""
    line, lake = run.line, run.lake

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        names = [line.lake_table("clean", table) for table in line.tables.values()]
        names += [line.lake_table("announced", table) for table in line.announced_tables]
        rows = {name: {site: entry.content for site, entry in run.journal.latest(name).items()} for name in names}
        made_from = fingerprint(rows)
        return {site: fingerprint(site, made_from) for site in sites}

    def do(sites: Sequence[str]) -> Mapping[str, Figures]:
        seen = lake.site_versions("features", sites)
        happened, announced = run.clean_tables(), run.announced_tables()
        built = line.features.build(known_tables(line, happened, announced)).filter(pl.col(SITE).is_in(list(sites)))
        if line.decisions.announced:  # an announced row is looked at; it becomes a decision of the past once it happens
            key = [SITE, *line.features.key]
            built = built.join(happened[line.decision_table].select(key).unique(), on=key, how="semi", nulls_equal=True)
        rows = run.compute.collect(built)
        version = lake.replace("features", rows, seen)
        counts = rows.group_by(SITE).agg(pl.len().alias(ROW_COUNT), pl.col("label").count().alias("labelled"))
        by_site = {row.pop(SITE): row for row in counts.to_dicts()}
        contents, none = content_digests(rows, sites), {ROW_COUNT: 0, "labelled": 0}
        return {site: {**by_site.get(site, none), CONTENT: contents[site], "lake_version": version} for site in sites}

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        return together(sites, do)

    return Work(do=isolated, inputs=inputs)
