"""A segment goes when, and only when, all of it is in the lake, it is old, and no trial needs it."""

import os
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from factory.cli.app import app
from factory.monitoring.prediction_log.files import recorded, segments
from factory.monitoring.prediction_log.rows import PREDICTION_LOG, served_rows
from factory.release import Draft, Terms
from factory.storage.lake import Lake
from tests.gateway.builders import Shop, onnx_model, verdict
from tests.monitoring.recorded import batch, segment

DAY_S = 86_400


def home_with(tmp_path, *names_and_batches):
    """A home with segments, each 40 days old."""
    for name, *batches in names_and_batches:
        aged(segment(tmp_path / "predictions", name, *batches), 40)
    return tmp_path


def aged(place, days):
    at = time.time() - days * DAY_S
    os.utime(place, (at, at))
    return place


def take_in(home, *batches, line="toy"):
    lake = Lake(home / "lake", line)
    rows = served_rows(batches, [], {})
    lake.append(PREDICTION_LOG, rows, lake.site_versions(PREDICTION_LOG, rows["site"].unique().to_list()))


def prune(home, *words, **environment):
    """Exit code and output of the command."""
    told = CliRunner().invoke(app, ["records", "prune", "--home", str(home), *words], env=environment)
    return told.exit_code, told.output


def left(home):
    return [place.name for place in segments(home / "predictions")]


def test_what_the_lake_has_goes_and_what_it_has_not_stays_and_is_told(tmp_path):
    home = home_with(tmp_path, ("1.log", batch("a", "b")), ("2.log", batch("c"), batch("d", site="DL")))
    take_in(home, batch("a", "b"), batch("c"))
    code, out = prune(home)
    assert code == 0
    assert left(home) == ["2.log"]
    assert "2.log stays: 1 of its 1 rows of site DL are not in the lake of line toy" in out
    assert "factory operate toy --sites DL" in out
    assert "1 segments removed" in out
    take_in(home, batch("d", site="DL"))
    assert prune(home)[0] == 0
    assert left(home) == []


def test_one_row_that_is_missing_keeps_its_segment(tmp_path):
    home = home_with(tmp_path, ("1.log", batch("a", rows=[3])))
    take_in(home, batch("a", rows=[2]))
    assert "1 of its 3 rows of site UA" in prune(home)[1]
    assert left(home) == ["1.log"]


def test_of_two_lines_in_a_segment_both_must_have_theirs(tmp_path):
    home = home_with(tmp_path, ("1.log", batch("a"), batch("b", line="other")))
    take_in(home, batch("a"))
    assert "not in the lake of line other" in prune(home)[1]
    assert left(home) == ["1.log"]
    take_in(home, batch("b", line="other"), line="other")
    prune(home)
    assert left(home) == []


def test_a_dry_run_removes_nothing(tmp_path):
    home = home_with(tmp_path, ("1.log", batch("a")))
    take_in(home, batch("a"))
    assert "1 segments would be removed" in prune(home, "--dry-run")[1]
    assert left(home) == ["1.log"]


def test_what_is_young_or_being_written_is_left_alone(tmp_path):
    home = home_with(tmp_path, ("1.open", batch("a")), ("2.log", batch("a")))
    take_in(home, batch("a"))
    aged(home / "predictions" / "2.log", 20)
    assert "0 segments removed" in prune(home)[1]
    assert left(home) == ["1.open", "2.log"]
    prune(home, "--older-than", "480h")
    assert left(home) == ["1.open"]


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1w", "1.5d", "٣d"])
def test_an_age_that_is_none_is_refused(tmp_path, age):
    code, out = prune(tmp_path, f"--older-than={age}")
    assert code == 2
    assert "is no age" in out


def test_a_damaged_segment_is_never_removed(tmp_path):
    home = home_with(tmp_path, ("1.log", batch("a"), batch("b")))
    take_in(home, batch("a"))
    place = home / "predictions" / "1.log"
    (_, whole), _ = recorded(place)
    place.write_bytes(place.read_bytes()[:-1])
    aged(place, 40)
    assert f"its last {place.stat().st_size - whole} bytes cannot be read" in prune(home)[1]
    assert left(home) == ["1.log"]


def test_what_a_trial_that_runs_is_judged_by_stays_until_it_is_over(tmp_path):
    shop, content = Shop(tmp_path), onnx_model(bias=1.0)
    shop.release(onnx_model(), version=1)
    draft = replace(Draft.again(content, shop.repository.current("toy.UA")), version=2, verdict=verdict(content))
    shop.repository.try_out(draft, Terms(mode="shadow", share=1.0, by="b", reason="r"), key=shop.key)
    home = home_with(tmp_path, ("1.log", batch("before")), ("2.log", batch("a")), ("3.log", batch("b", site="DL")))
    take_in(home, batch("before"), batch("a"), batch("b", site="DL"))
    for name in ("2.log", "3.log"):
        aged(home / "predictions" / name, 0)  # since the trial began
    time.sleep(0.01)
    assert "2.log stays: the trial of toy.UA is judged by what was recorded since" in prune(home, "--older-than=0h")[1]
    assert left(home) == ["2.log"]
    shop.repository.end_trial("toy.UA", by="b", reason="r", key=shop.key)
    prune(home, "--older-than=0h")
    assert left(home) == []


def test_a_lake_elsewhere_is_named(tmp_path, monkeypatch):
    home = home_with(tmp_path, ("1.log", batch("a")))
    take_in(tmp_path / "far", batch("a"))
    prune(home)
    assert left(home) == ["1.log"]
    prune(home, FACTORY_LAKE=str(tmp_path / "far" / "lake"))
    assert left(home) == []
