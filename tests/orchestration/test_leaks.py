"""What leaks is not released: by a whole run of the toy line, from its source to its release."""

import dataclasses

import polars as pl
import pytest

from factory.line.label import Label
from tests.toy.line import ToyFactory, toy_line


def leaking(tmp_path, label):
    """The toy line with a feature that is the outcome of the part itself."""
    features = toy_line().features

    def build(tables):
        outcome = tables["parts"].select("site", "part", heat_c=pl.col("faulty").cast(pl.Float32) * 10 + 3)
        return features.build(tables).drop("heat_c").join(outcome, on=["site", "part"], how="left")

    changed = {"features": dataclasses.replace(features, build=build), "label": label, "online_snapshot": None}
    return ToyFactory(tmp_path, changed=changed)


@pytest.mark.slow
def test_a_candidate_that_learnt_its_own_answers_is_refused_whatever_its_figures(tmp_path):
    toy = leaking(tmp_path, Label())
    toy.run(["north", "south"])
    for site in ("north", "south"):
        state = toy.status()[site]
        assert any("the feature heat_c is the label by another name" in why for why in state["verdict"]["reasons"])
        assert state["serving"] is None


@pytest.mark.slow
def test_where_the_line_says_what_tells_the_outcome_it_stops_before_anything_is_learnt(tmp_path):
    toy = leaking(tmp_path, Label(columns=("faulty",)))
    assert toy.run(["north", "south"]) != 0
    assert not toy.lake.has("features")
    assert toy.status()["north"]["serving"] is None
