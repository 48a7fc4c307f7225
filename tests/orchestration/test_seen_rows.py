"""Invariant 13: a model is never compared on rows it has seen, and no page shows one model's figures as another's."""

from datetime import datetime

import pytest

from factory.line.split import division_on_record
from factory.names import model_name
from tests.toy.line import NAME, ToyFactory

MODEL = model_name(NAME, "north")


@pytest.fixture(scope="module")
def went_back(tmp_path_factory):
    """North serves a model made as of March; then the line is judged as of a day when that had not happened yet."""
    toy = ToyFactory(tmp_path_factory.mktemp("back"))
    assert toy.run(["north"], until="2024-03-01") == 0
    toy.served_first = toy.repository.current(MODEL)
    assert toy.run(["north"], until="2024-02-17") == 0
    return toy


def test_a_release_has_on_record_which_rows_it_learnt_from(went_back):
    record = division_on_record(went_back.served_first.provenance["learnt_from"])
    assert record.until == datetime(2024, 3, 1)


def test_a_champion_that_learnt_from_the_rows_that_judge_is_neither_compared_on_them_nor_replaced(went_back):
    verdict = went_back.status()["north"]["verdict"]
    rows, new = verdict["figures"]["rows"], verdict["figures"]["rows_new_to_champion"]
    assert 0 <= new < rows
    assert any(f"the champion learnt from {rows - new} of the {rows} rows" in reason for reason in verdict["reasons"])
    assert went_back.repository.current(MODEL).digest == went_back.served_first.digest


def test_the_refused_candidates_figures_are_not_told_as_those_of_what_serves(went_back):
    state = went_back.status()["north"]
    assert state["serving"]["figures"] == dict(went_back.served_first.verdict.figures)
    assert state["serving"]["as_of"] == "2024-03-01"
    page = (went_back.home / "reports" / NAME / "north.html").read_text(encoding="utf-8")
    assert "Served: value, EUR" in page
    assert "which none of them had learnt from;" in page
