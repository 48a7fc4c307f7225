"""The stage `features`: what was known at the moment of each decision, and the label once the outcome is known."""

from collections.abc import Mapping, Sequence

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.data.content import content_digests
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, ROW_COUNT, Figures, Work
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE


def features(run: LineRun) -> Work:
    """Return what builds the sites' features from all clean rows, those of other sites too."""
    line, lake = run.line, run.lake

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        names = [line.lake_table("clean", table) for table in line.tables.values()]
        clean = {name: {site: entry.content for site, entry in run.journal.latest(name).items()} for name in names}
        made_from = fingerprint(clean)
        return {site: fingerprint(site, made_from) for site in sites}

    def do(sites: Sequence[str]) -> Mapping[str, Figures]:
        seen = lake.site_versions("features", sites)
        tables = {
            name: run.compute.reading(lake.scan(line.lake_table("clean", table))).drop(
                [] if table.site_column else [SITE]
            )
            for name, table in line.tables.items()
        }
        rows = run.compute.collect(line.features.build(tables).filter(pl.col(SITE).is_in(list(sites))))
        version = lake.replace("features", rows, seen)
        counts = rows.group_by(SITE).agg(pl.len().alias(ROW_COUNT), pl.col("label").count().alias("labelled"))
        by_site = {row.pop(SITE): row for row in counts.to_dicts()}
        contents, none = content_digests(rows, sites), {ROW_COUNT: 0, "labelled": 0}
        return {site: {**by_site.get(site, none), CONTENT: contents[site], "lake_version": version} for site in sites}

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        return together(sites, do)

    return Work(do=isolated, inputs=inputs)
