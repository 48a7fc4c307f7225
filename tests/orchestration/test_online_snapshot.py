"""The toy line from its source to a client: business rows at the gateway have the features that training had."""

import json
import re
import shutil
from html import unescape

import dagster as dg
import polars as pl
import pytest

from factory.features.online.serving import ServedSnapshots
from factory.features.online.store import Snapshots
from factory.gateway.models.explanation import why
from factory.monitoring.prediction_log.files import recorded, segments
from tests.features.online.pressing import newest, record
from tests.gateway.builders import Shop, eventually, gateway
from tests.toy.line import NAME, ToyFactory

DOOR = f"/v1/lines/{NAME}/sites/north/predict"
KNOWN_UNTIL = "2024-02-29"


@pytest.fixture(scope="module")
def toy(first_runs, tmp_path_factory):
    """A home in which the whole line ran once."""
    return first_runs.copied(tmp_path_factory.mktemp("home"))


def served(toy, **settings):
    snapshots = ServedSnapshots(toy.home / "models", toy.home / "keys" / "release.pub")
    return gateway(Shop(toy.home), snapshots=snapshots, **settings)


def ask(client, body):
    """The answer, once the snapshots are loaded."""
    found = []
    eventually(lambda: found.append(client.post(DOOR, json=body)) or found[-1].status_code != 503)
    return found[-1]


def test_a_business_row_is_answered_as_its_features_are_and_the_record_says_what_it_was_about(toy, tmp_path):
    rows = newest("north", 3)
    table = toy.lake.scan("features", ["north"]).collect()
    features = [
        table.filter(pl.col("part") == row["part"]).select("force_kn", "heat_c", "crew").to_dicts()[0] for row in rows
    ]
    with served(toy, records=tmp_path) as client:
        broken = {**record(rows[0], part=7), "force_kn": -1.0}
        answer = ask(client, {"records": [record(rows[0]), broken, *map(record, rows[1:])], "reasons": 2})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        by_features = client.post(DOOR, json={"rows": features, "reasons": 2}).json()
        metrics, page = client.get("/metrics").text, client.get("/").text
    answered = [row for row in told["rows"] if "refused" not in row]
    assert answered == by_features["rows"]
    assert told["rows"][1] == {
        "answer": None,
        "decision": None,
        "expected_value_eur": None,
        "outside": False,
        "refused": "breaks the contract: force_kn: values to be between (force_kn is -1.0)",
    }
    assert told["known_until"].startswith(KNOWN_UNTIL)
    assert re.search(r"factory_business_rows_built_total{.*} 3.0\n", metrics)
    assert re.search(r"factory_business_rows_refused_total{.*} 1.0\n", metrics)
    assert f'factory_online_snapshot_known_until_seconds{{line="{NAME}"}}' in metrics
    assert f"{NAME}, {KNOWN_UNTIL}" in page
    (batch, _), *_ = recorded(segments(tmp_path)[0])
    assert [json.loads(subject)["part"] for subject in batch.subjects] == [row["part"] for row in rows]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"records": []}, 400, "0 rows"),
        ({"records": [{}], "rows": [{}]}, 400, "either `records`"),
        ({"reasons": 1}, 400, "either `records`"),
        ({"records": [{"smell": "burnt"}]}, 400, "no column of this table"),
        ({"records": [{"part": None}]}, 422, "row 0 breaks the contract: part"),
    ],
)
def test_a_business_row_that_cannot_be_asked_is_a_problem_that_says_why(toy, body, status, says):
    with served(toy) as client:
        answer = ask(client, body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert says in answer.json()["detail"]


def test_the_gateway_builds_features_with_the_lake_gone_and_follows_a_new_snapshot(toy, tmp_path):
    home = tmp_path / "elsewhere"
    for part in ("models", "keys"):
        shutil.copytree(toy.home / part, home / part, symlinks=True)
    (row,) = newest("north")
    with served(ToyFactory(home)) as client:
        assert ask(client, {"records": [record(row)]}).status_code == 200
        file = home / "models" / ".snapshots" / f"{NAME}.json"
        content = file.read_text()
        file.unlink()
        eventually(lambda: client.post(DOOR, json={"records": [record(row)]}).status_code == 409)
        assert "no line has a snapshot here" in client.get("/").text
        file.write_text(content)
        eventually(lambda: client.post(DOOR, json={"records": [record(row)]}).status_code == 200)
        file.write_text(content.replace('"north"', '"mars"'))  # unsigned: the one before stays in use
        eventually(lambda: "its snapshot was refused" in client.get("/").text)
        assert client.post(DOOR, json={"records": [record(row)]}).status_code == 200


def test_operating_again_changes_nothing_and_what_was_lost_is_made_anew(toy, tmp_path):
    home = tmp_path / "copy"
    shutil.copytree(toy.home, home, symlinks=True)
    copy = ToyFactory(home)
    snapshots = Snapshots(home / "models")
    before = snapshots.current(NAME)
    assert before.sites == ("east", "north", "south")
    assert copy.operate() == 0
    assert snapshots.current(NAME) == before
    (home / "models" / ".snapshots" / NAME / f"{before.tables['parts'].digest}.parquet").unlink()
    assert copy.operate() == 0
    assert snapshots.load(NAME, copy.store.key().public_key())[0].tables == before.tables


def test_a_site_whose_features_come_out_otherwise_fails_alone_and_takes_features_only(toy, tmp_path):
    home = tmp_path / "copy"
    shutil.copytree(toy.home, home, symlinks=True)
    copy = ToyFactory(home)
    rows = copy.lake.scan("features", ["north"]).with_columns(pl.col("heat_c") + 1).collect()
    copy.lake.replace("features", rows, copy.lake.site_versions("features", ["north"]))
    assert copy.operate() == 1
    assert Snapshots(home / "models").current(NAME).sites == ("east", "south")
    with served(copy) as client:
        answer = ask(client, {"records": [record(newest("north")[0])]})
        assert answer.status_code == 409
        assert "site north: heat_c cannot be told at the gateway's door" in answer.json()["detail"]
        assert f"{NAME}.north: features alone are answered: site north: heat_c" in unescape(client.get("/").text)
        features = {"force_kn": 1.0, "heat_c": 2.0, "crew": 4}
        assert client.post(DOOR, json={"rows": [features]}).status_code == 200
    assert "heat_c cannot be told" in copy.status()["north"]["door_shut"]
    assert copy.status()["south"]["door_shut"] is None
    assert (is_fine(copy), is_fine(toy)) == (False, True)


def is_fine(home):
    """What the check on the snapshot says."""
    definitions, key = home.definitions(), dg.AssetKey([NAME, "online_snapshot"])
    check = dg.AssetSelection.checks(dg.AssetCheckKey(key, "business_rows_are_answered"))
    run = dg.define_asset_job("checked", selection=check)
    with_job = dg.Definitions.merge(definitions, dg.Definitions(jobs=[run]))
    result = with_job.resolve_job_def("checked").execute_in_process(raise_on_error=False)
    (found,) = result.get_asset_check_evaluations()
    return found.passed


def test_what_the_door_told_about_a_row_gets_its_outcome_and_its_worth(toy, tmp_path):
    home = tmp_path / "copy"
    shutil.copytree(toy.home, home, symlinks=True)
    copy, rows = ToyFactory(home), newest("north", 3)
    with served(copy, records=home / "predictions") as client:
        told = ask(client, {"records": [record(row) for row in rows]}).json()
        prediction = told["prediction_id"]
    rebuilt = why(home / "predictions", copy.repository, copy.store.key().public_key(), prediction)
    assert rebuilt["rebuilt"]
    assert [row["about"]["part"] for row in rebuilt["rows"]] == [row["part"] for row in rows]
    assert copy.operate() == 0
    known = copy.lake.scan("logged_outcomes", ["north"]).sort("part").collect()
    assert known["part"].to_list() == [row["part"] for row in rows]
    assert known["label"].to_list() == [float(row["faulty"]) for row in rows]
    assert set(known["prediction"]) == {prediction}
    assert known["predicted_probability"].to_list() == pytest.approx(
        [row["answer"]["probability"] for row in told["rows"]]
    )
