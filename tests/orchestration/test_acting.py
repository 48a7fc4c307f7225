"""Decisions that are held out, on the toy line: marked once, left by nobody, counted for all that were acted on."""

from datetime import UTC, datetime

import polars as pl
import pytest

from factory.line.label import Label
from factory.line.outcomes import Outcomes
from factory.pipeline.events import SiteFailed
from tests.toy.line import ToyFactory

MADE, LATER, LAST = "2024-02-10", "2024-02-20", "2024-03-01"
ASKED = {
    "outcomes": Outcomes(acted_on="hold_out", hold_out_share=0.3),
    "label": Label(horizon="3d", columns=("faulty",)),
}


@pytest.fixture(scope="module")
def operated(first_runs, tmp_path_factory):
    """A home with models as of 10 February, operated in two steps since; outcomes are known 3 days later."""
    toy = first_runs.copied(tmp_path_factory.mktemp("acting"), until=MADE, changed=ASKED)
    assert toy.operate(["north"], until=LATER) == 0
    assert not toy.events_of(SiteFailed)
    first = table(toy, "predictions")
    assert toy.operate(["north"], until=LAST) == 0
    return toy, first


def table(toy: ToyFactory, name: str) -> pl.DataFrame:
    return toy.lake.scan(name, ["north"]).sort("part").collect()


def test_what_is_decided_before_its_outcome_is_known_may_be_acted_on_and_stays_as_it_was_marked(operated):
    toy, first = operated
    open_ = pl.col("decided_at") > datetime(2024, 2, 17, tzinfo=UTC)  # of one three days old it is known
    acts = first["predicted_probability"] >= first["threshold"]
    marked = first["acted_on"] | first["held_out"]
    assert marked.equals((acts & first.select(open_).to_series()).rename(marked.name))
    assert marked.any()
    now = table(toy, "predictions").join(first.select("part"), on="part", how="semi")
    assert now.select(first.columns).sort("part").equals(first)


def test_outcomes_count_as_the_lines_file_says_and_the_figures_say_what_they_estimate(operated):
    toy, _ = operated
    known = table(toy, "outcomes")
    for row in known.iter_rows(named=True):
        weight = 0 if row["acted_on"] else 1 / 0.3 if row["held_out"] else 1
        assert row["weight"] == pytest.approx(weight)
    figures = toy.journal.latest("outcomes", ["north"])["north"].figures
    assert figures["value_eur"] == pytest.approx(known["value_eur"].sum())
    assert figures["value_counts"] == "decisions that were not acted on, those held out for all that were"
    assert list(figures["by_version"]) == ["version 1"]
