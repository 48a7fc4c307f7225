"""Drives a whole line through Dagster: references, data, operations, base model, models, each its own run.

Operations come before the models: what was decided until now was decided by what serves until now.

What happens is written to standard output as JSON, one event a line, for whoever shows it to a person (events.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import dagster as dg
from dagster._core.utils import make_new_run_id  # the one way to know a run's id before it starts

from factory.errors import FactoryError, LineError, NameRefused
from factory.names import LINE_SITE, checked_name
from factory.orchestration.events import Tail, Tally, emit
from factory.orchestration.line_source import line_sources
from factory.orchestration.project import prepare_orchestrator
from factory.orchestration.stage_config import moment
from factory.orchestration.stopping import LAUNCH, bury_dead_runs, living, record_canceled, undisturbed
from factory.pipeline.stages import checked_stage, comes_before
from factory.storage.journal import Journal
from factory.storage.locks import held_lock

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
LAST_ASSET = {
    "references": "clean",
    "data": "features",
    "operations": "served_outcomes",
    "base_model": "base_model",
    "models": "report",
}
"""The last asset of each op's stages: the op is left out where even that one is to stay as it is."""
OPS = tuple(LAST_ASSET)
OPERATING = OPS[:3]
OF_THE_LINE = ("references", "base_model")
"""The ops that are about no single site."""


@contextmanager
def opened_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in a folder, made on first use; runs launched here are in the UI too."""
    prepare_orchestrator(folder)
    # Two that make its databases at once spoil them for good, and so does one that is stopped half-way.
    with held_lock(folder / "opening.lock"), undisturbed():
        opened = dg.DagsterInstance.from_config(str(folder))
    with opened as instance:
        yield instance


class Launch:
    """The runs of one line, in order; `obey` raises KeyboardInterrupt if the process was asked to stop meanwhile."""

    def __init__(
        self,
        line: str,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        obey: Callable[[], None] = lambda: None,
    ) -> None:
        self.line = checked_name(line, "line")
        self.definitions = definitions
        self.instance = instance
        self.obey = obey
        self.tally = Tally()
        self.failed: set[str] = set()
        self.behind: set[str] = set()
        """Sites whose predictions, outcomes or drift failed; their models are made all the same."""
        self.only: dict[str, list[str]] = {}
        """The assets that an op makes, where not all of them are asked for."""
        self.tags: dict[str, str] = {}
        self.config: dict[str, str] = {}
        sources = line_sources(definitions)
        if line not in sources:
            raise LineError(f"there is no line {line!r}; lines/ has {', '.join(sources) or 'none'}")
        self.source = sources[line]

    def add(self, sites: Sequence[str]) -> int:
        """Add sites to the line; one that is there already stays."""
        for site in sites:
            checked_name(site)
        with held_lock(Path(self.instance.root_directory) / "sites.lock"):  # looking and adding are two steps
            self.instance.add_dynamic_partitions(f"{self.line}_sites", list(sites))
        return 0

    def sites(self, until: str) -> list[str]:
        """Return the sites that the source knows, as far as their names can be used."""
        return self._known_to_the_source(self._as_of(until, ""))

    def run(self, sites: Sequence[str], until: str, redo_from: str = "") -> int:
        """Run every stage for the sites, or for all that the source knows; a failed site is left out from there on.

        With `redo_from` that stage and those after it are done though nothing changed, those before are left as they
        are, and the sites are those the line has. Returns 0 if every site went through, 1 if one did not, 2 if what
        all sites need failed before anything was done.
        """
        until = self._as_of(until, checked_stage(redo_from))
        chosen = list(sites) or (self._known_to_the_line() if redo_from else self._known_to_the_source(until))
        return self._through(OPS, chosen, until, redo_from)

    def operate(self, sites: Sequence[str], until: str) -> int:
        """Bring new rows in, predict, join outcomes, judge drift; train nothing and release nothing.

        Returns as `run` does.
        """
        return self._through(OPERATING, list(sites) or self._known_to_the_source(until), self._as_of(until, ""), "")

    def train(self, sites: Sequence[str], until: str) -> int:
        """Make the base model and the sites' models from the data that is there; judge and release none."""
        self.only = {"models": ["site_model"]}
        return self._through(("base_model", "models"), sites, self._as_of(until, ""), "")

    def _through(self, ops: Sequence[str], chosen: Sequence[str], until: str, redo_from: str) -> int:
        self.add(chosen)
        self.config = {"until": until, **({"redo_from": redo_from} if redo_from else {})}
        for dead in bury_dead_runs(self.instance, self.line):
            emit("say", text=f"run {dead} was under way when its process died: now recorded as canceled", level=30)
        emit("start", sites=len(chosen))
        with living(self.instance) as launch:
            self.tags = {LAUNCH: launch, **({"factory/from": redo_from} if redo_from else {})}
            self._ops(ops, chosen, redo_from)
            self._check()
        emit("summary", **self.tally.summary())
        failed = self.failed | self.behind
        emit("end", changed=self.tally.changed.total(), failed=sorted(failed))
        nothing_done = not self.tally.changed and not self.tally.unchanged
        return 0 if not failed else 2 if nothing_done and LINE_SITE in failed else 1

    def _ops(self, ops: Sequence[str], chosen: Sequence[str], redo_from: str) -> None:
        """Run op after op for the sites still on their way, until what all of them need fails."""
        for op in ops:
            going = [site for site in chosen if site not in self.failed]
            wanted = op != "references" or self.source.line.shared_tables
            if wanted and going and LINE_SITE not in self.failed and not comes_before(LAST_ASSET[op], redo_from):
                self._stage(op, None if op in OF_THE_LINE else going)

    def _as_of(self, until: str, redo_from: str) -> str:
        """Return the as-of date of a run: models made as of one day must not be judged as of another.

        Their training may have seen the rows that they would be judged on. Raises LineError.
        """
        moment(until, self.source.line)
        if not comes_before("base_model", redo_from):
            return until
        base = self._journal().latest("base_model").get(LINE_SITE)
        made = str(base.figures.get("as_of", "")) if base else ""
        if until and made and until != made:
            raise LineError(
                f"line {self.line}: the models were made as of {made}, so `--from {redo_from}` cannot look as of "
                f"{until}: leave --until out, or begin with base_model or before"
            )
        return until or made

    def _journal(self) -> Journal:
        lake = (self.definitions.resources or {})["lake"]
        found: Journal = lake.journal(self.line)
        return found

    def _known_to_the_line(self) -> list[str]:
        found = self.instance.get_dynamic_partitions(f"{self.line}_sites")
        if not found:
            raise LineError(f"line {self.line} has no sites yet, so there is nothing to redo: run it without --from")
        return list(found)

    def _known_to_the_source(self, until: str) -> list[str]:
        """Return the sites that the source has; one whose name is refused fails by itself, and the others go on."""
        sound = []
        for site in self.source.sites(self.source.line.decisions, moment(until, self.source.line)):
            try:
                sound.append(checked_name(site))
            except NameRefused as error:
                emit("failed", text=str(error))
                self.failed.add(site)
        return sound

    def _check(self) -> None:
        """Load every served model as the gateway would; what it must refuse is told, and its site has failed."""
        run_id = make_new_run_id()
        job = self.definitions.resolve_job_def(f"{self.line}_checks_job")
        with self._canceled_if_stopped(run_id):
            done = job.execute_in_process(instance=self.instance, raise_on_error=False, run_id=run_id, tags=self.tags)
        if not done.success:
            raise FactoryError(f"line {self.line}: what is served could not be checked; see run {run_id} in the UI")
        for check in done.get_asset_check_evaluations():
            refused = check.metadata["refused"].value
            for site, why in refused.items() if isinstance(refused, dict) else ():
                emit("failed", text=f"{site}: {why}")
                self.failed.add(site)

    def _stage(self, stage: str, sites: Sequence[str] | None) -> None:
        name = f"{self.line}_{stage}"
        if sites is None:
            self._run(name, {}, [])
            return
        known = self.instance.get_dynamic_partitions(f"{self.line}_sites")
        self._leave_out_removed(sites, known)
        groups = neighbours(sites, known)
        # Features know what neighbours did: with several groups, all of them are clean before the first has features.
        parts: Sequence[Sequence[dg.AssetKey] | None] = [self._only(stage)]
        if stage == "data" and len(groups) > 1:
            parts = self._data_then_features(name)
        for part in parts:
            for group in groups:
                going = [site for site in group if site not in self.failed]
                if going:
                    self._run(name, {RANGE_START: group[0], RANGE_END: group[-1]}, group, part)

    def _leave_out_removed(self, sites: Sequence[str], known: Sequence[str]) -> None:
        """Tell of sites that somebody took from the line while it ran; what was done for them stays."""
        for site in sorted(set(sites) - set(known)):
            emit(
                "failed",
                text=f"{site} was removed from line {self.line} meanwhile and is left out from here on; what was done "
                f"for it stays. To bring it back: factory site add {self.line} {site}",
            )
            self.failed.add(site)

    def _only(self, op: str) -> list[dg.AssetKey] | None:
        assets = self.only.get(op)
        return None if assets is None else [dg.AssetKey([self.line, *asset.split("/")]) for asset in assets]

    def _data_then_features(self, name: str) -> list[Sequence[dg.AssetKey]]:
        keys = self.definitions.resolve_job_def(f"{name}_job").asset_layer.executable_asset_keys
        features = [key for key in keys if key.path[-1] == "features"]
        return [[key for key in keys if key not in features], features]

    def _run(
        self, name: str, tags: dict[str, str], sites: Sequence[str], part: Sequence[dg.AssetKey] | None = None
    ) -> None:
        run_id = make_new_run_id()
        self.tally.runs.append((name, run_id))
        emit("run", name=name, run=run_id, sites=len(sites))
        job = self.definitions.resolve_job_def(f"{name}_job")
        with self._canceled_if_stopped(run_id), Tail(self.instance, run_id, self.tally) as tail:
            done = job.execute_in_process(
                run_config={"ops": {name: {"config": self.config}}},
                instance=self.instance,
                tags={**self.tags, **tags},
                asset_selection=part,
                run_id=run_id,
                raise_on_error=False,
            )
        if done.success:
            return
        emit("failed", text=tail.failure)
        failed = tail.failed or set(sites or [LINE_SITE])
        if name == f"{self.line}_operations":
            self.behind |= failed  # what a site serves says nothing about whether it can be trained
            return
        self.failed |= failed
        if not sites:
            emit("failed", text=f"{name} failed, and without it nothing after it can run")

    @contextmanager
    def _canceled_if_stopped(self, run_id: str) -> Iterator[None]:
        """Record the run as canceled if it was interrupted, whether or not the orchestrator let that through."""
        try:
            yield
            self.obey()
        except BaseException:
            record_canceled(self.instance, run_id)
            raise


def neighbours(sites: Sequence[str], known: Sequence[str]) -> list[list[str]]:
    """Return the sites in the order of the partitions, cut where two are not neighbours: one run takes a range."""
    wanted = [site for site in known if site in set(sites)]
    place = {site: number for number, site in enumerate(known)}
    cuts = [0, *(n for n, (a, b) in enumerate(pairwise(wanted), 1) if place[b] != place[a] + 1), len(wanted)]
    return [wanted[start:end] for start, end in pairwise(cuts) if start < end]
