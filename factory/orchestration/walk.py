"""Walks the sites of one run through stages: a site that fails drops out, says why, and harms no other."""

import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from factory.compute.isolation import Isolated
from factory.errors import LakeError, LineError
from factory.line.line import Line
from factory.names import LINE_SITE
from factory.orchestration.stage_config import StageConfig
from factory.pipeline.stages import checked_stage, comes_before
from factory.storage.journal import Journal, fingerprint

Figures = Mapping[str, Any]
BEGUN = re.compile(r"(\S+): \d+ to do \(([^)]*)\), (\d+) unchanged")
"""How the walk's log says that a stage begins: stage, sites to do, number of unchanged ones."""
FAILED = re.compile(r"(\S+) of (\S+) failed: (.*)")
"""How the walk's log says that a site failed, in its first line: stage, site, why."""
ROW_COUNT = "dagster/row_count"
Work = Callable[[Sequence[str]], Isolated[Figures]]


class Walk:
    """One run's sites on their way through the stages of one op."""

    def __init__(self, context: dg.AssetExecutionContext, line: Line, journal: Journal, config: StageConfig) -> None:
        self.context = context
        self.line = line.name
        self.redo_from = checked_stage(config.redo_from)
        self.as_of = f"{config.moment(line):%Y-%m-%d}"
        self.journal = journal
        # By what the op is, not by how the run was launched: a site's run may take the line's shared tables along.
        self.partitioned = context.assets_def.partitions_def is not None
        self.sites: list[str] = list(context.partition_keys) if self.partitioned else [LINE_SITE]
        self.failed: dict[str, tuple[str, Exception]] = {}

    def wants(self, *assets: str) -> bool:
        """Whether the run selected any of the assets."""
        return any(self._key(asset) in self.context.selected_asset_keys for asset in assets)

    def stage(self, assets: Sequence[str], work: Work, marks: Mapping[str, str] | None = None) -> None:
        """Do one stage for the sites still on their way, unless the run did not select it or begins with a later one.

        `marks` are the fingerprints of each site's inputs: a site whose last entry has the same one is left alone and
        reported as unchanged, so nothing reruns when nothing changed. Without `marks` the work itself is idempotent,
        is always done, and says in its figures whether it `changed` anything.
        """
        stage = assets[0]
        if comes_before(stage, self.redo_from):
            self._require_same_day(stage)
            return
        if not self.wants(*assets):
            return
        known = self.journal.fresh(stage, {site: marks[site] for site in self.sites}) if marks else set()
        unchanged = set() if self.redo_from else known
        todo = [site for site in self.sites if site not in unchanged]
        self.context.log.info(f"{stage}: {len(todo)} to do ({', '.join(todo)}), {len(unchanged)} unchanged")
        found = self._done(assets, work, todo, marks) if todo else Isolated[Figures]()
        for site, entry in self.journal.latest(stage, sorted(unchanged)).items():
            self._materialized(assets, site, entry.figures, entry.fingerprint, changed=False)
        self._drop(stage, found.failed)

    def _done(
        self, assets: Sequence[str], work: Work, todo: Sequence[str], marks: Mapping[str, str] | None
    ) -> Isolated[Figures]:
        """Do a stage's work, and keep it in the journal; what cannot be kept there was not done."""
        stage, run, started = assets[0], self.context.run.run_id, time.monotonic()
        try:
            if marks:
                self.journal.begin(stage, todo, run=run)
            found = work(todo)
            changed = {site: figures for site, figures in found.done.items() if figures.get("changed", True)}
            made = marks or {site: fingerprint(dict(figures)) for site, figures in changed.items()}
            noted = {site: {**figures, "as_of": self.as_of} for site, figures in changed.items()}
            self.journal.record(stage, noted, made, run=run, seconds=time.monotonic() - started)
        except LakeError as error:
            return Isolated(failed=dict.fromkeys(todo, error))
        for site, figures in found.done.items():
            self._materialized(assets, site, figures, made.get(site), changed=site in changed)
        return found

    def _require_same_day(self, stage: str) -> None:
        """Drop the sites whose site model was made as of another day: it may have learnt from what would judge it."""
        if stage != "site_model":
            return
        made = {site: entry.figures.get("as_of") for site, entry in self.journal.latest(stage, self.sites).items()}
        other = {site: day for site, day in made.items() if day not in (None, self.as_of)}
        self._drop(
            stage,
            {
                site: LineError(
                    f"site {site}: its model was made as of {day} and cannot be judged as of {self.as_of}: "
                    f"begin with site_model or before, or run until {day}"
                )
                for site, day in other.items()
            },
        )

    def finish(self) -> Iterator[dg.MaterializeResult[None]]:
        """Raise one Failure that names every site that failed and why; the others have been recorded.

        Yields nothing: Dagster wants an op over several assets to be a generator, and the walk has logged them all.
        """
        yield from ()
        if not self.failed:
            return
        reasons = {site: f"{stage}: {type(error).__name__}: {error}" for site, (stage, error) in self.failed.items()}
        names = ", ".join(sorted(reasons))
        raise dg.Failure(
            f"line {self.line}: {len(reasons)} of {len(reasons) + len(self.sites)} failed: {names}; "
            "the others went through; run those alone again once the cause is mended",
            metadata={site: dg.MetadataValue.text(reason) for site, reason in reasons.items()},
            allow_retries=False,
        )

    def _drop(self, stage: str, failed: Mapping[str, Exception]) -> None:
        for site, error in failed.items():
            self.failed[site] = (stage, error)
            self.context.log.error(
                f"{stage} of {site} failed: {type(error).__name__}: {error}\n"
                + "".join(traceback.format_exception(error, limit=-6))
            )
        self.sites = [site for site in self.sites if site not in failed]

    def _materialized(
        self, assets: Sequence[str], site: str, figures: Figures, mark: str | None, *, changed: bool
    ) -> None:
        for asset in assets:
            if self.wants(asset):
                self.context.log_event(
                    dg.AssetMaterialization(
                        self._key(asset),
                        partition=site if self.partitioned else None,
                        metadata={**_metadata(asset, figures), "changed": changed},
                        tags={"dagster/data_version": mark} if mark else None,
                    )
                )

    def _key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.line, *asset.split("/")])


def _metadata(asset: str, figures: Figures) -> dict[str, Any]:
    """Return figures as a person reads them: numbers plot over time, lists and tables are Markdown, addresses links.

    What is known of nothing (None) is left out, and so is what only programs read: numbers in a row, nested tables.
    A stage that makes several assets counts the rows of each.
    """
    rows = figures.get(ROW_COUNT)
    shown = {**figures, ROW_COUNT: rows.get(asset)} if isinstance(rows, Mapping) else figures
    values = {name: _link(value) or _value(value) for name, value in shown.items()}
    return {name: value for name, value in values.items() if value is not None}


def _link(value: Any) -> dg.MetadataValue[Any] | None:
    """Return an address or a file as something to open; None for what is neither."""
    if isinstance(value, Path):
        return dg.MetadataValue.path(value)
    is_address = isinstance(value, str) and value.startswith(("http://", "https://"))
    return dg.MetadataValue.url(value) if is_address else None


def _value(value: Any) -> Any:
    match value:
        case float():
            return float(f"{value:.6g}")
        case list() if all(isinstance(item, str) for item in value):
            return dg.MetadataValue.md("\n".join(f"- {item}" for item in value) or "none")
        case dict() if not any(isinstance(item, list | dict) for item in value.values()):
            rows = "".join(f"\n| {name} | {item} |" for name, item in value.items())
            return dg.MetadataValue.md(f"| | |\n|---|---|{rows}" if rows else "none")
        case int() | str():
            return value
    return None
