"""What the operations op does for its sites: predict with what serves, join outcomes, judge drift.

Nothing here needs the registry: what a site serves is in the model repository, what its rows were is in the lake. All
of it is idempotent, so that a run that dies is simply run again; a site that serves nothing has nothing to do here.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from factory.compute.isolation import Isolated, one_by_one, together
from factory.errors import ModelRefused
from factory.line.split import DECIDED_AT, PLACE, Parts, decided
from factory.monitoring.outcomes import VALUE, outcomes
from factory.monitoring.predictions import DIGEST, RELEASE, VERSION, key_columns, not_predicted, predicted
from factory.names import model_name
from factory.orchestration.resources.model_store import ModelStore
from factory.orchestration.walk import ROW_COUNT, Figures
from factory.pipeline.tools import Tools
from factory.storage.lake import SITE

if TYPE_CHECKING:
    from factory.monitoring.drift.reference import Reference
    from factory.release import Released

PREDICTIONS, OUTCOMES, REFERENCES = "predictions", "outcomes", "references"
NOTHING_SERVED, NO_TIME = "nothing is served", "its decisions tell no time, so none can be said to come after a release"


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
        """The day that the model was made as of: what was decided before is what it learnt from or was judged on."""
        return datetime.fromisoformat(self.release.manifest.provenance["as_of"])

    @property
    def content(self) -> bytes:
        """The ONNX file."""
        return self.release.content

    @property
    def threshold(self) -> float:
        """What an answer must reach to be acted on."""
        return self.release.manifest.threshold


class OperationStages:
    """The stages of one run's decisions, bound to what they work with."""

    def __init__(self, tools: Tools, store: ModelStore, until: datetime) -> None:
        self.tools, self.line, self.lake = tools, tools.line, tools.lake
        self.store = store
        self.until = until
        self._parts: dict[datetime, Parts] = {}
        self._references: dict[tuple[str, str], Reference] = {}
        self._serving: dict[str, Serving | None] = {}

    @functools.cached_property
    def rows(self) -> pl.DataFrame:
        """All feature rows, numbered, read once a run."""
        return self.tools.feature_rows().with_row_index(PLACE)

    def serving(self, site: str) -> Serving | None:
        """Return what a site serves; None where that is nothing, or a model that cannot answer the line's rows now."""
        if site not in self._serving:
            self._serving[site] = self._looked_up(site)
        return self._serving[site]

    @property
    def tells_time(self) -> bool:
        """Whether decisions have a moment; where they have a count of cycles, nothing can be said to come later."""
        return isinstance(self.rows.schema[DECIDED_AT], pl.Datetime)

    def why_idle(self, site: str) -> str | None:
        """Return why there is nothing to do for a site; None where it serves."""
        return None if self.serving(site) else NOTHING_SERVED if self.tells_time else NO_TIME

    def _looked_up(self, site: str) -> Serving | None:
        if not self.tells_time:
            return None
        repository, model = self.store.repository(), model_name(self.line.name, site)
        if repository.marker(model) is None:
            return None
        try:
            release = repository.load(model, self.store.key().public_key())
        except ModelRefused as error:
            # The check on what is served fails the run, unless the site's next release mends it.
            self.tools.warn(f"{PREDICTIONS}: {site} serves nothing that may be loaded: {error}")
            return None
        if release.manifest.model_signature != self.line.signature:
            self.tools.warn(f"{PREDICTIONS}: {site} serves a model of other features; it waits for its next one")
            return None
        first = repository.history(model)[0]
        return Serving(release=release, since=datetime.fromisoformat(first.provenance["as_of"]))

    def predict(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Let what each site serves answer the rows decided since, each row once."""
        seen = self.lake.site_versions(PREDICTIONS, sites)  # before looking, or another run's rows come in twice
        found = one_by_one(sites, self._predict)
        new = {site: rows for site, rows in found.done.items() if len(rows)}
        kept = together(list(new), lambda some: self._add_predictions({site: new[site] for site in some}, seen))
        idle = {site: self._idle(site) for site in found.done if site not in new}
        return Isolated(done={**idle, **kept.done}, failed={**found.failed, **kept.failed})

    def _predict(self, site: str) -> pl.DataFrame:
        serving = self.serving(site)
        if serving is None:
            return pl.DataFrame()
        mine = pl.col(SITE) == site
        moment = decided()
        due = self.rows.filter(mine & (moment >= serving.since) & (moment < self.until))
        new = not_predicted(self.line, due, self.told(PREDICTIONS, site))
        manifest = serving.release.manifest
        return predicted(self.line, new, self.rows.filter(mine), serving).with_columns(
            pl.lit(manifest.sequence, dtype=pl.Int64).alias(RELEASE),
            pl.lit(manifest.version, dtype=pl.Int64).alias(VERSION),
            pl.lit(manifest.digest).alias(DIGEST),
        )

    def _add_predictions(self, new: Mapping[str, pl.DataFrame], seen: Mapping[str, int]) -> Mapping[str, Figures]:
        self.lake.append(PREDICTIONS, pl.concat(new.values()), {site: seen[site] for site in new})
        return {site: {ROW_COUNT: len(rows), "release": int(rows[RELEASE][-1])} for site, rows in new.items()}

    def _idle(self, site: str) -> Figures:
        return {ROW_COUNT: 0, "changed": False, "why": self.why_idle(site)}

    def join_outcomes(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Join the labels known by now to the predictions, and say what each decision was worth."""
        return self.joined(OUTCOMES, sites, self._outcomes, key_columns(self.line))

    def joined(
        self, table: str, sites: Sequence[str], work: Callable[[str], pl.DataFrame | None], key: Sequence[str]
    ) -> Isolated[Figures]:
        """Put each site's outcomes, which `work` makes or has none of, into a table where others were there before."""
        seen = self.lake.site_versions(table, sites)
        found = one_by_one(sites, work)
        known = {site: rows for site, rows in found.done.items() if rows is not None}
        new = {site: rows for site, rows in known.items() if not _same(rows, self.told(table, site), key)}
        kept = together(list(new), lambda some: self._put(table, {site: new[site] for site in some}, seen))
        same = {site: {**_worth(known.get(site)), "changed": False} for site in found.done if site not in new}
        return Isolated(done={**same, **kept.done}, failed={**found.failed, **kept.failed})

    def _outcomes(self, site: str) -> pl.DataFrame | None:
        predictions = self.told(PREDICTIONS, site)
        if predictions is None:
            return None
        idle = {digest: self.reference(site, digest).idle for digest in predictions[DIGEST].unique().to_list()}
        return outcomes(self.line, predictions, self.rows.filter(pl.col(SITE) == site), idle)

    def _put(self, table: str, new: Mapping[str, pl.DataFrame], seen: Mapping[str, int]) -> Mapping[str, Figures]:
        self.lake.replace(table, pl.concat(new.values()), {site: seen[site] for site in new})
        return {site: _worth(rows) for site, rows in new.items()}

    def reference(self, site: str, digest: str) -> "Reference":
        """Return what a model is held against; made once, when it is first asked for, and kept in the lake."""
        if (site, digest) not in self._references:
            self._references[site, digest] = self._kept_reference(site, digest)
        return self._references[site, digest]

    def _kept_reference(self, site: str, digest: str) -> "Reference":
        from factory.monitoring.drift.reference import Reference, reference

        kept = self.told(REFERENCES, site)
        mine = None if kept is None else kept.filter(pl.col(DIGEST) == digest)
        if mine is not None and len(mine):
            return Reference.from_json(mine["reference"][0])
        release = self.store.repository().found(model_name(self.line.name, site), digest, self.store.key().public_key())
        if release is None:
            raise ValueError(f"site {site}: predictions quote the model {digest[:12]}, which was never released")
        serving = Serving(release=release, since=self.until)
        made = reference(self.line, site, digest, self._parts_as_of(serving.as_of).of(site), serving)
        row = pl.DataFrame({SITE: [site], DIGEST: [digest], "reference": [made.to_json()]})
        self.lake.append(REFERENCES, row, self.lake.site_versions(REFERENCES, [site]))
        return made

    def _parts_as_of(self, moment: datetime) -> Parts:
        """Return all sites' rows as they were divided when a model was made."""
        if moment not in self._parts:
            self._parts[moment] = self.line.parts(self.rows.drop(PLACE), moment)
        return self._parts[moment]

    def told(self, table: str, site: str) -> pl.DataFrame | None:
        """Return a site's rows of a table; None where it has none."""
        if not self.lake.has(table):
            return None
        rows = self.lake.scan(table, [site]).collect()
        return rows if len(rows) else None


def _same(rows: pl.DataFrame, before: pl.DataFrame | None, key: Sequence[str]) -> bool:
    if before is None:
        return rows.is_empty()
    return rows.sort(key).equals(before.select(rows.columns).sort(key))


def _worth(rows: pl.DataFrame | None) -> Figures:
    """Return how many outcomes are known and what the decisions were worth together."""
    known = 0 if rows is None else len(rows)
    worth = 0.0 if rows is None else float(rows[VALUE].sum())
    return {ROW_COUNT: known, VALUE: worth, "value_per_decision_eur": worth / known if known else None}
