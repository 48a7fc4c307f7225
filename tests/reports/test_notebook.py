"""What a notebook asks: the toy line's home as frames, and its models as the gateway has them."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import factory
from factory.errors import ModelRefused, TableMissing
from tests.toy.line import NAME, toy_line

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def toy(first_runs, tmp_path_factory):
    return first_runs.copied(tmp_path_factory.mktemp("home"))


@pytest.fixture
def home(toy):
    return factory.open_home(toy.home)


def test_status_has_a_row_for_each_site_with_its_rows_verdict_and_what_it_serves(home):
    status = home.status()
    assert status["line"].unique().to_list() == [NAME]
    by_site = {row["site"]: row for row in status.to_dicts()}
    assert set(by_site) == {"east", "north", "south"}
    assert by_site["north"]["passed"]
    assert by_site["north"]["serves"] == 1
    assert not by_site["east"]["passed"]
    assert "scored on 7 rows of 7 days, needs 10 days" in by_site["east"]["reasons"]
    assert (status["raw"] == status["clean"] + status["quarantine"] + status["superseded"]).all()


def test_the_features_of_some_sites_and_any_table_of_the_lake(home, toy):
    line = home.line(NAME)
    rows = line.features(["north", "south"])
    assert set(rows["site"]) == {"north", "south"}
    assert {"decided_at", "label", "force_kn", "heat_c"} <= set(rows.columns)
    assert len(line.table("raw/parts")) == len(toy.lake.scan("raw/parts").collect())
    with pytest.raises(TableMissing, match="no table 'clouds'"):
        line.table("clouds")


def test_verdicts_have_every_number_that_was_judged_by(home, toy):
    verdicts = home.line(NAME).verdicts()
    assert verdicts["site"].to_list() == ["east", "north", "south"]
    north = verdicts.row(by_predicate=pl.col("site") == "north", named=True)
    figures = toy.journal.latest("verdict")["north"].figures["verdict"]["figures"]
    assert north["average_precision"] == figures["average_precision"]
    assert north["reasons"] == []


def test_the_checks_of_a_verdict_and_what_other_limits_would_say(home):
    line, now = home.line(NAME), toy_line()
    checks = line.checks("east")
    assert not checks.filter(code="enough_rows")["kept"].any()
    assert line.checks("north")["kept"].all()
    stricter = dataclasses.replace(now.gates, min_rows=10_000)
    asked = line.what_if("north", stricter, now.task)
    assert asked.filter(~pl.col("kept"))["code"].to_list() == ["enough_rows"]
    assert asked.filter(code="enough_rows")["limit"].to_list() == [10_000]
    with pytest.raises(TableMissing, match="nothing was judged"):
        line.checks("nowhere")


def test_the_lines_of_a_project_are_what_their_files_say():
    lines = factory.load_lines(ROOT)
    assert set(lines) == {"departure_delay", "machine_failures", "turbofan_rul"}
    assert lines["departure_delay"].gates.min_rows == 20


def test_a_site_s_history_is_what_is_on_record(home):
    history = home.line(NAME).history("north")
    assert history["kind"].to_list() == ["promotion", "release"]
    assert history["version"].to_list() == [1, 1]


def test_a_model_answers_rows_as_what_is_served_does_and_says_what_the_line_does_with_it(home):
    line = home.line(NAME)
    model, rows = line.model("north"), line.features(["north"])
    answered = model.answers(rows)
    assert answered.columns[: len(rows.columns)] == rows.columns
    inputs = rows.select(pl.col(list(model.signature.features)).cast(pl.Float32).fill_null(float("nan"))).to_numpy()
    assert np.array_equal(answered["probability"].to_numpy(), model.answer(inputs)[:, 0])
    assert answered["decision"].to_list() == (answered["probability"] >= model.manifest.threshold).to_list()
    known = answered.filter(pl.col("label").is_not_null())
    assert known.filter(pl.col("label") == 1)["probability"].mean() > known["probability"].mean()


def test_what_cannot_be_asked_is_refused_with_what_is_lacking(home):
    model = home.line(NAME).model("north")
    with pytest.raises(ModelRefused, match="lack the feature 'force_kn'"):
        model.answers(pl.DataFrame({"heat_c": [1.0], "crew": [2.0]}))
    with pytest.raises(ModelRefused, match=r"takes \[rows, 3\], not \[1, 2\]"):
        model.answer(np.zeros((1, 2), np.float32))
    with pytest.raises(ModelRefused):
        home.line(NAME).model("east")


def test_a_home_where_nothing_has_run_is_empty_and_stays_so(tmp_path):
    home = factory.open_home(tmp_path / "nowhere")
    assert (home.lines(), len(home.status()), len(home.line("parts").verdicts())) == ([], 0, 0)
    assert not (tmp_path / "nowhere").exists()


def test_importing_the_library_loads_nothing_and_reading_needs_no_orchestrator(toy):
    code = (
        "import sys, factory; assert not {'polars', 'numpy', 'typer'} & set(sys.modules); "
        f"factory.open_home({str(toy.home)!r}).line({NAME!r}).model('north'); "
        "sys.exit(len({'dagster', 'mlflow', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
