"""What the gateway answered comes into the lake, on the toy line: each row once, whatever dies, grows or is shared."""

import logging
from dataclasses import dataclass

import pytest

from factory.errors import LakeError
from factory.monitoring.prediction_log.reading import CURSORS
from factory.monitoring.prediction_log.rows import PREDICTION_LOG, served_rows
from factory.names import model_name
from factory.storage.lake import Lake
from factory.storage.lake_store import LakeStore
from tests.gateway.builders import Shop, expected, gateway, onnx_model, question, verdict
from tests.monitoring.recorded import AT, batch, segment
from tests.toy.asset_runs import run_assets
from tests.toy.line import NAME, ToyFactory, toy_line

SITES = ["east", "north", "south"]


def take_in(toy, sites=SITES):
    """Make `prediction_log` of the sites; return the sites that failed, each other one's metadata, and warnings."""
    run = run_assets(toy, f"{NAME}_operations_job", sites, assets=[PREDICTION_LOG])
    warned = [entry.message for entry in run.log if entry.level >= logging.WARNING]
    told = {one.partition: {name: value.value for name, value in one.metadata.items()} for one in run.made}
    assert set(run.failures) == set(sites) - set(told), run.failures
    return sorted(run.failures), told, warned


def records(toy):
    return toy.home / "predictions"


def served(toy):
    """The predictions that the lake has rows of, with their sites; fails on a row that is there twice."""
    rows = toy.lake.scan(PREDICTION_LOG).select("site", "prediction", "row").collect().rows()
    assert len(rows) == len(set(rows))
    return sorted((site, name) for site, name, _ in rows)


def at(name, site="north", **changed):
    return batch(name, line=NAME, site=site, **changed)


def test_what_a_gateway_answered_is_in_the_lake_row_by_row_and_doing_it_again_changes_nothing(tmp_path):
    toy, shop, content = ToyFactory(tmp_path), Shop(tmp_path), onnx_model()
    passed = verdict(content, "north", line=NAME)
    shop.release(content, 4, "north", line=NAME, verdict=passed, signature=toy_line().signature)
    asked = [[1.0, None, 3.0], [2.0, 2.0, 2.0]]
    with gateway(shop, records=records(toy)) as client:
        address = f"/v2/models/{model_name(NAME, 'north')}/infer"
        answer = client.post(address, json=question(asked)).json()
    assert take_in(toy)[0] == []
    rows = toy.lake.scan(PREDICTION_LOG).sort("row").collect()
    assert set(rows["prediction"]) == {answer["parameters"]["prediction_id"]}
    assert set(rows["digest"]) == {passed.digest}
    assert rows["inputs"].to_list() == asked
    assert rows["predicted_probability"].to_list() == answer["outputs"][0]["data"]
    assert rows["predicted_probability"].to_list() == pytest.approx(expected([[1, 0, 3], [2, 2, 2]]).tolist(), abs=1e-6)
    before = {table: toy.lake.version(table) for table in (PREDICTION_LOG, CURSORS, "journal")}
    assert take_in(toy)[1]["north"]["changed"] is False
    assert {table: toy.lake.version(table) for table in before} == before


def test_a_whole_operating_run_takes_them_in_and_tells_how_many_and_of_when(tmp_path):
    toy = ToyFactory(tmp_path)
    segment(records(toy), "1.open", at("a"), at("b", at=AT + 1), at("c", "south", role="shadow", error="it broke"))
    assert toy.operate(until="2024-02-08") == 0
    assert served(toy) == [("north", "a"), ("north", "b"), ("south", "c")]
    figures = toy.journal.latest(PREDICTION_LOG)
    assert figures["north"].figures["row_count"] == 2
    assert figures["north"].figures["newest"] == "2023-11-14T22:13:21.000+00:00"
    assert figures["south"].figures["failed_rows"] == 1
    assert "east" not in figures


def test_a_segment_that_grows_and_is_complete_later_comes_in_bit_by_bit(tmp_path):
    toy = ToyFactory(tmp_path)
    place = segment(records(toy), "1.open", at("a"))
    other = segment(records(toy), "2.open", at("x"))
    assert take_in(toy)[1]["north"]["dagster/row_count"] == 2
    segment(records(toy), "1.open", at("b"))
    segment(records(toy), "2.open", at("y"))
    place.rename(place.with_suffix(".log"))
    assert take_in(toy)[1]["north"]["dagster/row_count"] == 2
    other.unlink()  # pruned, or taken away
    segment(records(toy), "0.log", at("elsewhere", at=AT - 1000))  # of another machine, older than all that was read
    assert take_in(toy)[1]["north"]["dagster/row_count"] == 1
    assert served(toy) == [("north", name) for name in ("a", "b", "elsewhere", "x", "y")]


def test_each_line_and_site_takes_its_own(tmp_path):
    toy = ToyFactory(tmp_path)
    segment(records(toy), "1.log", at("a"), batch("b", site="north"), at("c", "south"), at("d", "gone"))
    assert take_in(toy, ["north"])[0] == []
    assert served(toy) == [("north", "a")]
    assert take_in(toy)[0] == []
    assert served(toy) == [("north", "a"), ("south", "c")]


def test_a_copy_of_a_segment_brings_nothing_twice(tmp_path):
    toy = ToyFactory(tmp_path)
    place = segment(records(toy), "1.log", at("a"), at("b"))
    (records(toy) / "copied.log").write_bytes(place.read_bytes())
    assert take_in(toy)[1]["north"]["dagster/row_count"] == 2
    (records(toy) / "again.log").write_bytes(place.read_bytes())
    assert take_in(toy)[1]["north"]["dagster/row_count"] == 0
    assert served(toy) == [("north", "a"), ("north", "b")]


class BrokenLake(Lake):
    """Dies, as far as anybody can tell afterwards, between a stage's rows and its cursors."""

    def replace(self, table, rows, seen):
        if table == CURSORS:
            raise LakeError("the disk is gone")
        return super().replace(table, rows, seen)


class BusyLake(Lake):
    """Has another run take the first row in just after this one looked what is there."""

    def has(self, table):
        found = super().has(table)
        if table == PREDICTION_LOG and not found:
            Lake(self.root.rpartition("/")[0], self.line).append(
                PREDICTION_LOG, served_rows([at("a")], toy_line().task.answers, {}), {"north": 0}
            )
        return found


@dataclass(frozen=True, kw_only=True)
class Store(LakeStore):
    """Gives lakes of a kind."""

    kind: str

    def of(self, line):
        return {"broken": BrokenLake, "busy": BusyLake}[self.kind](self.url, line)


def test_a_run_that_dies_between_rows_and_cursor_is_run_again_without_a_row_twice_or_lost(tmp_path):
    broken = ToyFactory(tmp_path, lake=Store(url=str(tmp_path / "lake"), kind="broken"))
    segment(records(broken), "1.log", at("a"), at("b", "south"))
    assert take_in(broken)[0] == SITES
    assert served(broken) == [("north", "a"), ("south", "b")]
    segment(records(broken), "1.log", at("c"))
    assert take_in(ToyFactory(tmp_path))[0] == []
    assert served(broken) == [("north", "a"), ("north", "c"), ("south", "b")]


def test_of_two_runs_at_once_one_says_that_the_other_was_first_and_no_row_is_there_twice(tmp_path):
    busy = ToyFactory(tmp_path, lake=Store(url=str(tmp_path / "lake"), kind="busy"))
    segment(records(busy), "1.log", at("a"))
    assert take_in(busy)[0] == ["north"]
    assert take_in(ToyFactory(tmp_path))[0] == []
    assert served(busy) == [("north", "a")]


def test_rows_that_are_gone_from_the_lake_are_read_anew(tmp_path):
    toy = ToyFactory(tmp_path)
    segment(records(toy), "1.log", at("a"))
    take_in(toy)
    (tmp_path / "lake" / NAME / PREDICTION_LOG).rename(tmp_path / "away")
    assert take_in(toy)[1]["north"]["dagster/row_count"] == 1


def test_records_that_cannot_be_read_stop_their_stage_alone_and_come_in_later(tmp_path):
    toy = ToyFactory(tmp_path)
    place = segment(records(toy), "1.log", at("a"))
    content = place.read_bytes()
    place.unlink()
    place.mkdir()  # in the way
    failed, _, warned = take_in(toy)
    assert failed == SITES
    assert any("prediction_log of north failed: IsADirectoryError" in text for text in warned)
    place.rmdir()
    place.write_bytes(content)
    assert take_in(toy)[0] == []
    assert served(toy) == [("north", "a")]


def test_a_release_that_is_nowhere_and_a_damaged_segment_are_told_of_and_stop_nothing(tmp_path):
    toy = ToyFactory(tmp_path)
    place = segment(records(toy), "1.log", at("a"), at("lost"))
    place.write_bytes(place.read_bytes()[:-3])
    segment(records(toy), "2.log", at("b"))
    failed, _, warned = take_in(toy)
    assert failed == []
    assert served(toy) == [("north", "a"), ("north", "b")]
    assert toy.lake.scan(PREDICTION_LOG).collect()["predicted_probability"].to_list() == [None, None]
    assert any("no release has digest dddddddddddd" in text for text in warned)
    assert any("1.log is damaged" in text for text in warned)
