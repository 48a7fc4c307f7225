"""A factory's home for notebooks and programs: frames and arrays to read, nothing is changed.

Neither the orchestrator nor the registry need be installed or up; what a site serves is checked as the gateway checks
it before it answers.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.errors import ModelRefused, TableMissing
from factory.evaluation import findings
from factory.evaluation.gates import what_if
from factory.line.gates import Gates
from factory.model.check import Check
from factory.model.session import onnx_answer
from factory.model.signature import Signature
from factory.model.verdict import Verdict
from factory.names import checked_name, model_name
from factory.release import Manifest, ModelRepository, Released
from factory.release.signing import public_key
from factory.reports.status import line_status, status
from factory.storage.columns import SITE
from factory.storage.home import Home
from factory.storage.lake import Lake
from factory.storage.lake_store import LakeStore
from factory.tasks.task import Task


def open_home(folder: str | Path | None = None, *, lake: str = "") -> "HomeView":
    """Open a home: a folder, or that of the project around the working folder, or what the environment names.

    `lake` is the folder or object-store URL of its tables, where they are elsewhere. Nothing is made on the disk.
    """
    if folder is None:
        return HomeView(Home.found(os.environ))
    return HomeView(Home.at(Path(folder), lake))


@dataclass(frozen=True)
class HomeView:
    """A factory's home, to look at."""

    home: Home

    def lines(self) -> list[str]:
        """Return the lines that have rows or were judged, sorted."""
        return list(status(self.home)["lines"])

    def line(self, name: str) -> "LineView":
        """Return one line; raises NameRefused for an invalid name."""
        return LineView(self.home, checked_name(name, "line"))

    def status(self) -> pl.DataFrame:
        """Return a row for each site of each line: `line`, and the columns of `LineView.status`."""
        frames = [self.line(name).status().select(pl.lit(name).alias("line"), pl.all()) for name in self.lines()]
        return pl.concat(frames) if frames else pl.DataFrame(schema={"line": pl.String(), **_STATUS})


_STATUS = pl.Schema(
    {
        "site": pl.String(),
        "raw": pl.Int64(),
        "clean": pl.Int64(),
        "quarantine": pl.Int64(),
        "superseded": pl.Int64(),
        "withdrawn": pl.Int64(),
        "passed": pl.Boolean(),
        "reasons": pl.List(pl.String()),
        "serves": pl.Int64(),
        "since": pl.String(),
        "held_back": pl.String(),
        "door_shut": pl.String(),
    }
)


@dataclass(frozen=True)
class LineView:
    """One line of a home, to look at."""

    home: Home
    name: str

    def status(self) -> pl.DataFrame:
        """Return a row a site: counts of rows, the last verdict and its reasons, which version it serves since when."""
        rows = [_status_row(site, state) for site, state in line_status(self.home, self.name).items()]
        return pl.DataFrame(rows, schema=_STATUS)

    def features(self, sites: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the feature rows of some sites, or of all: `site`, the key, `decided_at`, `label`, and the features.

        Raises TableMissing where the stage has not run.
        """
        return self.table("features", sites)

    def table(self, name: str, sites: Sequence[str] | None = None) -> pl.DataFrame:
        """Return any table of the line in the lake, such as `raw/flights`, `quarantine`, `predictions`, `outcomes`."""
        return self._lake.scan(name, sites).collect()

    def verdicts(self) -> pl.DataFrame:
        """Return each site's newest verdict: `site`, `passed`, `reasons`, `digest`, `as_of`, `at`, and every number.

        A figure that is no number is left out; empty where nothing was judged.
        """
        try:
            rows = self._lake.scan("verdict").sort("at").unique(SITE, keep="last").sort(SITE).collect()
        except TableMissing:
            return pl.DataFrame(schema={"site": pl.String()})
        figures = pl.DataFrame([_numbers(text) for text in rows["figures"]], infer_schema_length=None)
        reasons = rows["reasons"].str.json_decode(pl.List(pl.String()))
        judged = rows.select(SITE, "passed", reasons, "digest", "as_of", "at")
        return judged.hstack(figures.select(pl.exclude(judged.columns)))

    def checks(self, site: str) -> pl.DataFrame:
        """Return the checks of a site's newest verdict, a row each: `code`, `figure`, `found`, `limit`, `kept`, `mode`.

        Raises TableMissing where the site was not judged.
        """
        return _checks_frame(self._verdict(site).checks, site)

    def what_if(self, site: str, gates: Gates, task: Task) -> pl.DataFrame:
        """Return the checks that other gates make of the figures a site was judged by; nothing is judged again.

        Raises MeasuredOtherwise where the gates ask for a figure with another margin than it was measured with.
        """
        return _checks_frame(what_if(self._verdict(site).figures, gates, task), site)

    def _verdict(self, site: str) -> Verdict:
        entries = LakeStore.at(self.home).journal(self.name).latest("verdict", [site])
        if site not in entries:
            raise TableMissing(f"line {self.name}, site {site}: nothing was judged; run the line first")
        return Verdict.from_dict(entries[site].figures["verdict"])

    def history(self, site: str) -> pl.DataFrame:
        """Return what is on record of a site, oldest first: `at`, `kind`, `actor`, `reason`, `version`, `release`."""
        written = self._repository.site_history.read(model_name(self.name, site))
        names = ("at", "kind", "actor", "reason", "version", "release", "digest")
        kinds = {"version": pl.Int64, "release": pl.Int64}
        records = [{name: getattr(record, name) for name in names} for record in written.records()]
        return pl.DataFrame(records, schema={name: kinds.get(name, pl.String) for name in names})

    def model(self, site: str) -> "ServedModel":
        """Return what a site serves, signature, verdict and digest checked; raises ModelRefused where it may not."""
        released = self._repository.load(model_name(self.name, site), public_key(self.home.public_key))
        return ServedModel(released)

    @property
    def _lake(self) -> Lake:
        return LakeStore.at(self.home).of(self.name)

    @property
    def _repository(self) -> ModelRepository:
        return ModelRepository.at(self.home)


@dataclass(frozen=True)
class ServedModel:
    """A released model, to ask."""

    released: Released

    @property
    def manifest(self) -> Manifest:
        """What the release says of itself."""
        return self.released.manifest

    @cached_property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.manifest.model_signature

    def answer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `[rows, answers]` for `[rows, features]` or `[rows, steps, features]`, all float32; NaN is unknown.

        Raises ModelRefused where the model takes another shape.
        """
        rows = np.asarray(features, np.float32)
        if rows.shape[1:] != self.signature.input_shape:
            wanted = ", ".join(map(str, ("rows", *self.signature.input_shape)))
            raise ModelRefused(f"{self.manifest.named} takes [{wanted}], not {list(rows.shape)}")
        return onnx_answer(self.released.content, rows)

    def answers(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with what the model answers, a column each, and `decision`, what the line does with it.

        `rows` has the model's features by name, null where unknown; a model of sequences takes arrays (`answer`).
        """
        if self.signature.steps is not None:
            raise ModelRefused(f"{self.manifest.named} takes sequences of {self.signature.steps} moments: ask `answer`")
        if missing := [name for name in self.signature.features if name not in rows.columns]:
            raise ModelRefused(f"{self.manifest.named}: the rows lack the feature {missing[0]!r}")
        wanted = pl.col(list(self.signature.features)).cast(pl.Float32).fill_null(float("nan"))
        answers = self.answer(rows.select(wanted).to_numpy())
        decisions = [self.manifest.decision(answer) for answer in answers.astype(np.float64)]
        columns = {name: answers[:, place] for place, name in enumerate(self.signature.answers)}
        return rows.with_columns(**{name: pl.Series(values) for name, values in columns.items()}).with_columns(
            pl.Series("decision", decisions)
        )


def _status_row(site: str, state: Mapping[str, Any]) -> dict[str, Any]:
    rows, verdict, serving = state["rows"] or {}, state["verdict"] or {}, state["serving"] or {}
    return {
        "site": site,
        **{name: rows.get(name) for name in ("raw", "clean", "quarantine", "superseded", "withdrawn")},
        "passed": verdict.get("passed"),
        "reasons": list(verdict.get("reasons", [])),
        "serves": serving.get("version"),
        "since": serving.get("since"),
        "held_back": state["held_back"],
        "door_shut": state["door_shut"],
    }


def _checks_frame(checks: Sequence[Check], site: str) -> pl.DataFrame:
    return pl.DataFrame(findings.rows(checks, site=site), infer_schema_length=None)


def _numbers(figures: str) -> dict[str, float]:
    return {name: float(value) for name, value in json.loads(figures).items() if isinstance(value, int | float)}
