"""The stage `report`: a page for each of its sites, and the line's page over all sites there are."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from factory.compute.isolation import Isolated, one_by_one
from factory.errors import ModelRefused
from factory.line.alike import blocks
from factory.line.recipe import BASELINE
from factory.line.split import Parts
from factory.model.code import drawing_digest
from factory.names import LINE_SITE, model_name
from factory.pipeline.line_run import LineRun, registered_version
from factory.pipeline.verdict import VERDICT, as_taken_by, pooled_answers
from factory.pipeline.work import CHANGED, Figures, Work
from factory.storage.journal import Entry, fingerprint

if TYPE_CHECKING:
    from factory.release import Released
    from factory.reports.facts import Serving, Shown, SiteLine

REPORT = "report"
STAGES = ("clean", "features", "base_model", "site_model", VERDICT, "release", REPORT)


def report(run: LineRun) -> Work:
    """Return what writes a page for each site, and the line's page over all sites there are."""
    return Work(do=Reporting(run).write)


class Reporting:
    """The last stage of one run's sites, after their releases: a page that fails undoes nothing.

    A page holds the fingerprint of what it was made from, so that one that is up to date is left alone, and one that
    somebody deleted is drawn again.
    """

    def __init__(self, run: LineRun) -> None:
        self.run, self.line = run, run.line
        self.pages = run.reports
        self.again = bool(run.redo_from)
        self.looks = drawing_digest()

    def write(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Write each site's page, and then the line's from what all sites' pages know."""
        reported = self.known[REPORT]
        prints = {site: self._fingerprint(site) for site in sites}
        before = reported if not self.again else {}
        fresh = {site for site in sites if site in before and self.pages.fingerprint(site) == prints[site]}
        parts = functools.cache(lambda: self.run.parts([site for site in sites if site not in fresh]))
        pages = one_by_one(
            sites,
            lambda site: (
                self._unchanged(reported[site]) if site in fresh else self._page(site, parts().of(site), prints[site])
            ),
        )
        line = one_by_one([LINE_SITE], lambda _: self._line_page(pages.done))
        return Isolated(done=pages.done, failed={**pages.failed, **line.failed})

    @functools.cached_property
    def known(self) -> dict[str, dict[str, Entry]]:
        """What each stage last did for each site there is; looked up once, when all before the report is done."""
        return {stage: self.run.journal.latest(stage) for stage in STAGES}

    def _unchanged(self, entry: Entry) -> Figures:
        return {**entry.figures, "page": self.pages.place(entry.site), CHANGED: False}

    def _fingerprint(self, site: str) -> str:
        """Return the fingerprint of everything that a site's page is drawn from."""
        made_from = {
            stage: entry.fingerprint for stage, entry in self._entries(site).items() if stage not in ("release", REPORT)
        }
        serving = self._serving(site)
        served = serving and [serving.version, serving.digest, serving.since]
        return fingerprint(made_from, served, self._held_back(site), self.looks, self._words)

    @property
    def _words(self) -> list[object]:
        """What the pages show of the line's file that decides nothing."""
        return [self.line.purpose, dict(self.line.features.columns)]

    def _entries(self, site: str) -> dict[str, Entry]:
        """Return what each stage last did for the site, and the base model's entry."""
        entries_of_site = {stage: entries[site] for stage, entries in self.known.items() if site in entries}
        return {**entries_of_site, "base_model": self._entry("base_model", LINE_SITE)}

    def _entry(self, stage: str, site: str) -> Entry:
        return self.known[stage].get(site) or self.run.entry(stage, site)

    @functools.cached_property
    def base_file(self) -> bytes:
        """The base model's file, which every site's own is compared with."""
        return self.run.registry.onnx(*registered_version(self.line.name, self._entry("base_model", LINE_SITE)))

    def _serving(self, site: str) -> "Serving | None":
        from factory.reports.facts import Serving

        store = self.run.store
        try:
            now = store.repository().load(model_name(self.line.name, site), store.key().public_key()).manifest
        except (ModelRefused, OSError):
            return None  # nothing released, or what the gateway refuses too
        return Serving(
            version=now.version,
            digest=now.digest,
            since=now.released_at,
            as_of=now.provenance.get("as_of", ""),
            figures=now.verdict.figures,
        )

    def _held_back(self, site: str) -> str | None:
        """Return what keeps a candidate that passed from being released, such as a person's rollback."""
        verdict, store = self._entry(VERDICT, site).figures, self.run.store
        permissions = store.repository().permissions(model_name(self.line.name, site), store.key().public_key())
        wanted = self.line.gates.approval_required
        return (
            permissions.obstacle(verdict["verdict"]["digest"], approval_required=wanted) if verdict["passed"] else None
        )

    def _page(self, site: str, parts: Parts, made_from: str) -> Figures:
        """Draw one site's page, and return the figures that the line's page and the orchestrator show."""
        from factory.reports.gathering import site_facts
        from factory.reports.site_page import site_page

        facts = site_facts(
            self.line,
            site,
            entries=self._entries(site),
            quarantine=self.run.lake.scan("quarantine", [site]).select("rule").collect(),
            windows={"train": len(parts.train), "validation": len(parts.validation), "holdout": len(parts.holdout)},
            serving=self._serving(site),
            held_back=self._held_back(site),
            seen=self._shown(site, parts),
        )
        return {**_figures(facts.shown), "page": self.pages.put(site, site_page(facts, made_from))}

    def _shown(self, site: str, parts: Parts) -> "Shown":
        """Return what the judged rows show, every model answering them again."""
        from factory.features.samples import samples
        from factory.model.session import onnx_answer
        from factory.reports.gathering import holdout, shown

        rows = samples(self.line, parts.holdout, parts.rows)
        figures = self._entry(VERDICT, site).figures
        judged_by = figures["verdict"]["figures"]
        # Intervals and pictures are of all rows, so a champion that learnt from some is not among them.
        saw_none = judged_by.get("rows_new_to_champion") in (None, judged_by["rows"])
        files = self._files(site)
        answers = {role: onnx_answer(content, rows.features) for role, content in files.items()}
        if before := self._released(site, figures.get("rival") if saw_none else None):
            champion_rows = as_taken_by(before.manifest.model_signature, self.line, parts)
            answers["champion"] = onnx_answer(before.content, champion_rows)
        answers["baseline"] = pooled_answers(self.run, BASELINE, parts.holdout)
        judged = holdout(self.line, rows, blocks(self.line, parts), answers, judged_by)
        return shown(judged, rows, lambda some: onnx_answer(files["candidate"], some), self.line.signature.features)

    def _files(self, site: str) -> dict[str, bytes]:
        """Return the candidate's file, and the base model's if it is another."""
        registry = self.run.registry
        candidate = registry.onnx(*registered_version(self.line.name, self._entry("site_model", site)))
        base = self.base_file
        return {"candidate": candidate} if base == candidate else {"candidate": candidate, "base": base}

    def _released(self, site: str, digest: str | None) -> "Released | None":
        """Return the champion that the candidate was judged by; None where there was none, or it cannot be read."""
        store = self.run.store
        if digest is None:
            return None
        try:
            return store.repository().release_of(model_name(self.line.name, site), digest, store.key().public_key())
        except (ModelRefused, OSError) as error:
            self.run.warn(f"{REPORT}: {site} is shown without the champion it was judged by: {error}")
            return None

    def _line_page(self, new: Mapping[str, Figures]) -> Figures:
        """Write the line's page over all sites that the journal knows, unless it says the same already."""
        from factory.reports.gathering import line_facts
        from factory.reports.line_page import line_page

        figures = {site: entry.figures for site, entry in self.known[REPORT].items()} | dict(new)
        sites = sorted({site for entries in self.known.values() for site in entries} - {LINE_SITE})
        lines = [self._site_line(site, figures.get(site, {})) for site in sites]
        base = self._entry("base_model", LINE_SITE)
        facts = line_facts(self.line, lines, base)
        made_from = fingerprint(
            [[str(line) for line in lines], base.fingerprint, self.looks, self._words, self.line.owner]
        )
        place = self.pages.place(LINE_SITE)
        changed = self.again or self.pages.fingerprint(LINE_SITE) != made_from
        return {"page": self.pages.put(LINE_SITE, line_page(facts, made_from)) if changed else place}

    def _site_line(self, site: str, figures: Figures) -> "SiteLine":
        from factory.reports.gathering import site_line

        place = self.pages.place(site)
        return site_line(
            site, self._entries(site), self._serving(site), place.name if place.is_file() else None, figures
        )


def _figures(shown: "Shown") -> Figures:
    """Return the figures that the journal keeps of a page."""
    money = shown.money.get("candidate")
    known = money is not None and math.isfinite(money.low)
    return {
        "importance": {importance.column: importance.worsens for importance in shown.importances},
        "value_low": money.low if money and known else None,
        "value_high": money.high if money and known else None,
    }
