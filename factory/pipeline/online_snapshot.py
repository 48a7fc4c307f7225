"""The stage `online_snapshot`: what the gateway needs to build features of a row that just came, beside the models.

It is one for the whole line, since a site's features look at its neighbours. Each site is checked by itself: one whose
features differ from those in training fails alone and is left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from factory.compute.isolation import Isolated
from factory.data.raw_rows import standing_raw_rows
from factory.errors import SnapshotRefused
from factory.features.declared import DeclaredFeatures
from factory.features.online.assembly import AssembledSnapshot, assembled
from factory.features.online.builder import Builder
from factory.features.online.manifest import OnlineSnapshot
from factory.features.online.proof import Trained, prove
from factory.features.online.store import Snapshots
from factory.line.line import Line, Table
from factory.line.look_back import LookBack
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE

ONLINE_SNAPSHOT = "online_snapshot"
SNAPSHOT_CODE = (
    ("features", "feature names", "announced", "online_snapshot"),
    ("features", "data", "line/announced.py"),
)
"""The sections and rooms that decide what is in a snapshot and what is built on it."""


def online_snapshot(run: LineRun) -> Work:
    """Return what makes the snapshot, for a line that says how far back its features look."""
    if run.line.online_snapshot is None:
        raise ValueError(f"line {run.line.name} has no section `online_snapshot`, so no snapshot is made of it")
    look_back, build = run.line.online_snapshot, run.line.features.build
    return Work(
        do=Publishing(run, build.covering(look_back) if isinstance(build, DeclaredFeatures) else look_back).publish
    )


class Publishing:
    """Publishes one run's snapshot beside the models."""

    def __init__(self, run: LineRun, look_back: LookBack) -> None:
        self.run, self.line, self.lake = run, run.line, run.lake
        self.look_back = look_back
        self.key = run.store.key()
        self.snapshots = Snapshots(run.store.root)

    def publish(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Make the snapshot anew if anything it comes from changed, and check every site that has features."""
        made_from, current = self._made_from(), self._current()
        if current is not None and current.made_from == made_from and set(sites) <= set(current.sites):
            return Isolated(done={site: _figures(current, changed=False) for site in sites})
        clean, announced = self.run.clean_tables(), self.run.announced_tables()
        new = assembled(self.line, self.look_back, clean, announced, made_from)
        proofs = self._proved(new, sorted({*sites, *self._known_sites()}))
        shut = {site: str(why) for site, why in proofs.failed.items()}
        snapshot = replace(new.snapshot, sites=tuple(proofs.done), shut=shut)
        self.snapshots.put(snapshot.signed(self.key), new.files)
        done = {site: {**_figures(snapshot), "rows_checked": rows} for site, rows in proofs.done.items()}
        for site in sorted(set(proofs.failed) - set(sites)):
            self.run.warn(f"{ONLINE_SNAPSHOT}: {site} takes features alone at the gateway: {proofs.failed[site]}")
        return Isolated(
            done={site: done[site] for site in sites if site in done},
            failed={site: proofs.failed[site] for site in sites if site in proofs.failed},
        )

    def _current(self) -> OnlineSnapshot | None:
        """Return the snapshot there is, whole; None where it must be made anew."""
        try:
            return self.snapshots.load(self.line.name, self.key.public_key())[0]
        except SnapshotRefused:
            return None

    def _made_from(self) -> str:
        """Return what the snapshot depends on: rows, contracts, how far it looks back, and code."""
        line, contents, code = self.line, self.run.contents, self.run.code
        tables = [_of(line, "clean", table) for table in line.tables.values()]
        tables += [_of(line, "announced", table) for table in line.announced_tables]
        rows = [contents.digests(names, list(self.run.journal.latest(names[0]))) for names in [*tables, ["features"]]]
        contracts = [code.section("table", table) for table in line.tables.values()]
        return fingerprint(rows, contracts, str(self.look_back), code.of(*SNAPSHOT_CODE))

    def _known_sites(self) -> list[str]:
        sites: list[Any] = self.lake.scan("features").select(pl.col(SITE).unique()).collect()[SITE].to_list()
        return sites

    def _proved(self, new: AssembledSnapshot, sites: Sequence[str]) -> Isolated[int]:
        builder = Builder(replace(new.snapshot, sites=tuple(sites)), new.tables)
        raw = {name: standing_raw_rows(self.lake, table) for name, table in self.line.tables.items()}
        return prove(Trained(line=self.line, raw=raw, features=self.lake.scan("features")), builder, new.tables)


def _figures(snapshot: OnlineSnapshot, *, changed: bool = True) -> Figures:
    rows = {name: table.rows for name, table in snapshot.tables.items()}
    return {ROW_COUNT: sum(rows.values()), "rows": rows, "known_until": snapshot.known_until, CHANGED: changed}


def _of(line: Line, stage: str, table: Table) -> list[str]:
    """Return the names of a table's rows that a stage took and of those that it did not."""
    return [
        line.lake_table(name, table) for name in (stage, "quarantine" if stage == "clean" else f"{stage}_quarantine")
    ]
