"""Whether learning from the newest rows, too, pays: a backtest's candidates beside the same ones that did not.

    factory backtest departure_delay --from 2013-04-01 --to 2013-12-31 --every month
    python benchmarks/refit.py .factory/backtest/departure_delay

Linear model and trees are fitted twice: on the training rows, then with what validation rows chose on both windows.
This reads each month's candidates of a backtest's home and puts first fits in the place of the second ones: the same
weights, threshold and network. Each model decides until the next one was made, and nothing is gated. Prints what they
are worth above each site's best constant decision, their log loss, and within what the difference lies by days.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.the_line import departure_delay  # noqa: E402  found through the line above
from factory.economics.backtest.worth import Worth  # noqa: E402
from factory.features.samples import in_order, samples  # noqa: E402
from factory.line.split import DECIDED_AT, LABEL, PLACE, decided  # noqa: E402
from factory.model.candidate import rung_file  # noqa: E402
from factory.model.session import onnx_answer  # noqa: E402
from factory.names import LINE_SITE, model_name  # noqa: E402
from factory.registry.registry import Registry  # noqa: E402
from factory.release.history import History  # noqa: E402
from factory.storage.columns import SITE  # noqa: E402
from factory.storage.home import Home  # noqa: E402
from factory.storage.lake_store import LakeStore  # noqa: E402
from factory.storage.locks import FileLocks  # noqa: E402
from factory.training.plain import Plain, Rows, fit_plain  # noqa: E402

PLAIN: tuple[Plain, ...] = ("linear", "trees")
RESAMPLES = 2000


def weights_of(why: str) -> Mapping[str, float]:
    """Return the shares of the plain rungs in what a site's candidate is made of, from its own words."""
    chosen = why.split(":", maxsplit=1)[0]
    shares = re.findall(r"([\d.]+) (linear|trees)\b", chosen)
    return {name: float(share) for share, name in shares} or {name: 1.0 for name in PLAIN if chosen == name}


class Months:
    """A backtest's models, month by month."""

    def __init__(self, home: Home) -> None:
        self.line, _ = departure_delay()
        self.lake = LakeStore.at(home).of(self.line.name)
        self.registry = Registry(
            tracking_uri=home.tracking_uri,
            artifact_root=str(home.artifacts),
            locks=FileLocks(home.locks),
            history=History(home.history),
            key_folder=home.keys,
        )
        rows = in_order(self.lake.scan("features"), self.line.features.key).collect()
        self.rows = rows.with_row_index(PLACE)
        self.base, self.sites = self._made("base_model"), self._made("site_model")
        worth = Worth(self.line, self.rows, datetime.fromisoformat(min(self.base)))
        self.constant = worth.constant

    def _made(self, stage: str) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what a stage made last as of each day, by site."""
        entries = self.lake.scan("journal").filter(pl.col("stage") == stage).sort("at").collect()
        made: dict[str, dict[str, dict[str, Any]]] = {}
        for site, text in entries.select(SITE, "figures").iter_rows():
            figures = json.loads(text)
            made.setdefault(figures["as_of"], {})[site] = figures
        return made

    def compared(self, day: str, following: str) -> pl.DataFrame:
        """Return day, site, and worth and log loss of both models, of each decision until the next models were made."""
        judged = self.rows.filter(pl.col(LABEL).is_not_null())
        begin, end = datetime.fromisoformat(day), datetime.fromisoformat(following)
        month = judged.filter((decided() >= begin) & (decided() < end))
        shifts = self._shifts(day, begin, month)
        return pl.concat(
            self._of_site(day, str(site), part, shifts)
            for (site,), part in month.group_by(SITE, maintain_order=True)
            if str(site) in self.sites[day]
        )

    def _shifts(self, day: str, until: datetime, month: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Return how much a first fit's answers to the month exceed those of the fit that serves, by rung and site."""
        line = self.line
        parts = line.parts(self.rows.drop(PLACE), until)
        train, validation = (samples(line, rows, parts.rows) for rows in (parts.train, parts.validation))
        asked = samples(line, month, self.rows).features
        model, version = model_name(line.name, LINE_SITE), int(self.base[day][LINE_SITE]["version"])
        shifts = {}
        for name in PLAIN:
            registered = onnx_answer(self.registry.file(model, version, rung_file(name)), asked)
            first = fit_plain(name, train, validation, line.recipe, line.task, refit=False).model.answers(asked)
            shifts[name] = month.select(PLACE).with_columns(shift=pl.Series(first[:, 0] - registered[:, 0]))
        return shifts

    def _of_site(self, day: str, site: str, rows: pl.DataFrame, shifts: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        task, made = self.line.task, self.sites[day][site]
        content = self.registry.onnx(model_name(self.line.name, site), int(made["version"]))
        again: Rows = onnx_answer(content, samples(self.line, rows, self.rows).features)
        first = again.astype(np.float64)
        for name, weight in weights_of(made["why"]).items():
            shift = rows.join(shifts[name], on=PLACE, how="left", maintain_order="left")["shift"].to_numpy()
            first = first + weight * shift[:, None]
        label = task.codes(rows[LABEL])
        columns = {}
        for kind, answer in {"again": again, "first": first.astype(np.float32)}.items():
            columns[f"{kind}_eur"] = task.row_values_eur(
                label, answer, made["threshold"], self.line.value, self.constant[site]
            )
            columns[f"{kind}_loss"] = task.row_losses(label, answer)
        return rows.select(SITE, pl.col(DECIDED_AT).dt.date().alias("day")).with_columns(
            pl.Series(name, values) for name, values in columns.items()
        )


def said(name: str, rows: pl.DataFrame) -> str:
    """Return a row of the table: with and without, and what learning from both windows adds, with its 90 % interval."""
    days = rows.group_by("day").agg(
        gain=(pl.col("again_eur") - pl.col("first_eur")).sum(),
        better=(pl.col("first_loss") - pl.col("again_loss")).sum(),
        rows=pl.len(),
    )
    drawn = np.random.default_rng(0).integers(len(days), size=(RESAMPLES, len(days)))
    gain, better, count = (days[column].to_numpy()[drawn].sum(axis=1) for column in ("gain", "better", "rows"))
    low, high = np.quantile(gain, [0.05, 0.95])
    lower, upper = np.quantile(better / count, [0.05, 0.95])
    again, first = (rows[f"{kind}_eur"].sum() for kind in ("again", "first"))
    losses = [rows[f"{kind}_loss"].mean() for kind in ("again", "first")]
    return (
        f"{name} | {len(rows):,} | {again:,.0f} | {first:,.0f} | {again - first:+,.0f} ({low:+,.0f} to {high:+,.0f}) | "
        f"{losses[0]:.4f} | {losses[1]:.4f} | {losses[1] - losses[0]:+.4f} ({lower:+.4f} to {upper:+.4f})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A backtest's candidates with and without the newest rows.")
    parser.add_argument("home", type=Path, help="a home in which `factory backtest departure_delay` has run")
    past = Months(Home.at(parser.parse_args().home))
    days = sorted(past.base)
    parts = []
    for day, following in zip(days, [*days[1:], "9999-12-31"], strict=True):
        parts.append(past.compared(day, following))
        print(said(day, parts[-1]), flush=True)
    print(said("in all", pl.concat(parts)))
