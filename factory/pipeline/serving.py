"""What the sites of one run serve, the rows it decides about, and what served models are compared with.

Nothing here needs the registry: releases are in the model repository, rows in the lake.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from factory.compute.isolation import Isolated, one_by_one, together
from factory.errors import ModelRefused
from factory.line.split import DECIDED_AT, PLACE, Parts
from factory.monitoring.outcomes import VALUE
from factory.monitoring.prediction_log.rows import SUBJECT
from factory.monitoring.predictions import DIGEST
from factory.names import model_name
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures
from factory.storage.lake import SITE

if TYPE_CHECKING:
    from factory.monitoring.drift.reference import Reference
    from factory.pipeline.line_run import LineRun
    from factory.release import Released
    from factory.release.manifest import Manifest

REFERENCES = "references"
NOTHING_SERVED, NO_TIME = "nothing is served", "its decisions have no time, so none can be said to come after a release"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a site serves: the release, and the day from which on the site has been served at all."""

    release: "Released"
    since: datetime

    @property
    def digest(self) -> str:
        """The SHA-256 of the served file."""
        return self.release.manifest.digest

    @property
    def as_of(self) -> datetime:
        """The day that the model was made as of: earlier decisions are what it learnt from or was judged on."""
        return datetime.fromisoformat(self.release.manifest.provenance["as_of"])

    @property
    def content(self) -> bytes:
        """The ONNX file."""
        return self.release.content

    @property
    def threshold(self) -> float:
        """What an answer must reach to be acted on."""
        return self.release.manifest.threshold


class ServedSites:
    """What the sites of one run serve, looked up once."""

    def __init__(self, run: "LineRun") -> None:
        self.run, self.line, self.lake = run, run.line, run.lake
        self._parts: dict[datetime, Parts] = {}
        self._references: dict[tuple[str, str], Reference] = {}
        self._serving: dict[str, Serving | None] = {}

    @functools.cached_property
    def rows(self) -> pl.DataFrame:
        """All feature rows, numbered, read once a run."""
        return self.run.feature_rows().with_row_index(PLACE)

    def serving(self, site: str) -> Serving | None:
        """Return what a site serves; None where that is nothing, or a model that cannot answer the line's rows now."""
        if site not in self._serving:
            self._serving[site] = self._looked_up(site)
        return self._serving[site]

    @property
    def tells_time(self) -> bool:
        """Whether decisions have a moment; where they have a count of cycles, none can be said to come later."""
        return isinstance(self.rows.schema[DECIDED_AT], pl.Datetime)

    def why_idle(self, site: str) -> str | None:
        """Return why there is nothing to do for a site; None where it serves."""
        return None if self.serving(site) else NOTHING_SERVED if self.tells_time else NO_TIME

    def _looked_up(self, site: str) -> Serving | None:
        if not self.tells_time:
            return None
        repository, model = self.run.store.repository(), model_name(self.line.name, site)
        if repository.marker(model) is None:
            return None
        try:
            release = repository.load(model, self.run.store.key().public_key())
        except ModelRefused as error:
            # The check on what is served fails the run, unless the site's next release repairs it.
            self.run.warn(f"predictions: {site} serves nothing that may be loaded: {error}")
            return None
        if release.manifest.model_signature != self.line.signature:
            self.run.warn(f"predictions: {site} serves a model of other features; it waits for its next one")
            return None
        first = repository.history(model)[0]
        return Serving(release=release, since=datetime.fromisoformat(first.provenance["as_of"]))

    def asked(self, site: str, log: pl.LazyFrame) -> dict[str, "Manifest"]:
        """Return the releases, by digest, that told somebody about a known subject; `log` is a prediction log."""
        told = log.filter("told", pl.col(SUBJECT).is_not_null()).select(pl.col(DIGEST).unique()).collect()
        repository, model = self.run.store.repository(), model_name(self.line.name, site)
        manifests = {digest: repository.manifest_of(model, digest) for digest in told[DIGEST].to_list()}
        return {digest: manifest for digest, manifest in manifests.items() if manifest}

    def reference(self, site: str, digest: str) -> "Reference":
        """Return what a model is compared with; made once, when it is first asked for, and kept in the lake."""
        if (site, digest) not in self._references:
            self._references[site, digest] = self._stored_reference(site, digest)
        return self._references[site, digest]

    def _stored_reference(self, site: str, digest: str) -> "Reference":
        from factory.monitoring.drift.reference import Reference, reference

        stored = self.table(REFERENCES, site)
        mine = None if stored is None else stored.filter(pl.col(DIGEST) == digest)
        if mine is not None and len(mine):
            return Reference.from_json(mine["reference"][0])
        store = self.run.store
        release = store.repository().release_of(model_name(self.line.name, site), digest, store.key().public_key())
        if release is None:
            raise ValueError(f"site {site}: predictions quote the model {digest[:12]}, which was never released")
        serving = Serving(release=release, since=self.run.until)
        new = reference(self.line, site, digest, self._parts_as_of(serving.as_of).of(site), serving)
        row = pl.DataFrame({SITE: [site], DIGEST: [digest], "reference": [new.to_json()]})
        self.lake.append(REFERENCES, row, self.lake.site_versions(REFERENCES, [site]), partitioned=False)
        return new

    def _parts_as_of(self, moment: datetime) -> Parts:
        """Return all sites' rows as they were divided when a model was made."""
        if moment not in self._parts:
            self._parts[moment] = self.line.parts(self.rows.drop(PLACE), moment)
        return self._parts[moment]

    def table(self, name: str, site: str) -> pl.DataFrame | None:
        """Return a site's rows of a table of the lake; None where it has none."""
        if not self.lake.has(name):
            return None
        rows = self.lake.scan(name, [site]).collect()
        return rows if len(rows) else None

    def keep_outcomes(
        self, table: str, sites: Sequence[str], work: Callable[[str], pl.DataFrame | None], key: Sequence[str]
    ) -> Isolated[Figures]:
        """Put each site's outcomes, which `work` computes, into a table in the place of its earlier ones."""
        seen = self.lake.site_versions(table, sites)
        outcomes = one_by_one(sites, work)
        known = {site: rows for site, rows in outcomes.done.items() if rows is not None}
        new = {site: rows for site, rows in known.items() if not _same(rows, self.table(table, site), key)}

        def put(some: Sequence[str]) -> Mapping[str, Figures]:
            self.lake.replace(table, pl.concat([new[site] for site in some]), {site: seen[site] for site in some})
            return {site: _worth(new[site]) for site in some}

        written = together(list(new), put)
        same = {site: {**_worth(known.get(site)), CHANGED: False} for site in outcomes.done if site not in new}
        return Isolated(done={**same, **written.done}, failed={**outcomes.failed, **written.failed})


def champion_of(run: "LineRun", site: str) -> "Released | None":
    """Return what the site serves; a release that the gateway would refuse is no champion to measure against."""
    repository, model = run.store.repository(), model_name(run.line.name, site)
    if repository.marker(model) is None:
        return None
    try:
        return repository.load(model, run.store.key().public_key())
    except (ModelRefused, OSError) as error:
        run.warn(f"verdict: {site} is judged without its champion: {error}")
        return None


def _same(rows: pl.DataFrame, before: pl.DataFrame | None, key: Sequence[str]) -> bool:
    if before is None:
        return rows.is_empty()
    if not set(rows.columns) <= set(before.columns):  # the line's file asks for more than it did
        return False
    return rows.sort(key).equals(before.select(rows.columns).sort(key))


def _worth(rows: pl.DataFrame | None) -> Figures:
    """Return how many outcomes are known and what the decisions were worth together."""
    known = 0 if rows is None else len(rows)
    worth = 0.0 if rows is None else float(rows[VALUE].sum())
    return {ROW_COUNT: known, VALUE: worth, "value_per_decision_eur": worth / known if known else None}
