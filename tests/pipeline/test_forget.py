"""Forgetting a person: after it no file of the home has what the lake had of one, whatever was killed in between."""

import json
import shutil
import time
from types import MappingProxyType

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.connectors.outbox.postgres import PostgresOutbox
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.connectors.outbox.store import OUTBOX_URL, OutboxStore
from factory.connectors.sinks.message import Message
from factory.errors import EnvironmentRefused, PersonalDataRefused
from factory.line.file import LineFile
from factory.line.personal import Pseudonyms
from factory.monitoring.prediction_log.files import MAGIC, RecordedBatch, framed, recorded
from factory.pipeline.forget import Forgetting, conditions, conditions_of_keys
from factory.storage.home import Home
from tests.canary import places_of
from tests.connectors.tables import postgres
from tests.toy.clinics.clinics import CANARY, Clinics, person, visits

KEY = "0123456789abcdef" * 2
PSEUDONYMS = Pseudonyms(KEY)
WHO = person(7)
MINE = visits().filter(pl.col("person") == WHO)["visit"].to_list()
WORDS = [PSEUDONYMS.of(WHO), *(PSEUDONYMS.of(one) for one in MINE), KEY, CANARY]
VALUES = st.text(min_size=1).filter(lambda text: "\0" not in text)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("FACTORY_PERSONAL_KEY", KEY)


def line():
    file = LineFile(Clinics.file)
    return file.line(file.sections())


def forgetting(clinics, some, environment=MappingProxyType({}), **how):
    home = Home.at(clinics.home)
    outboxes = OutboxStore.at(home, environment).every("clinics")
    return Forgetting(home, clinics.lake, outboxes, line(), some, **how)


def forget(clinics, some, say=lambda _: None, *, may_return=False, **how):
    return forgetting(clinics, some, **how).forget(by="lena", reason="asked", may_return=may_return, say=say)


def with_records(clinics):
    """Give the home what a gateway and a delivery would have left: rows about the person, and about another."""
    subjects = [json.dumps({"visit": PSEUDONYMS.of(one), "decided_at": "2024-02-01"}) for one in (MINE[0], "other")]
    batch = RecordedBatch(
        at=time.time(),
        line="clinics",
        site="north",
        version=1,
        digest="d" * 64,
        ids=["p1"],
        keys=["k"],
        rows=[2],
        input_shape=(2,),
        values=pl.Series([1.0, 2.0, 3.0, 4.0], dtype=pl.Float32).to_numpy().tobytes(),
        answers=pl.Series([0.5, 0.25], dtype=pl.Float32).to_numpy().tobytes(),
        subjects=subjects,
    )
    folder = clinics.home / "predictions"
    folder.mkdir(exist_ok=True)
    (folder / "1.log").write_bytes(MAGIC + framed(batch) + framed(batch))
    for name in (MINE[0], "other"):
        identity = {"line": "clinics", "site": "north", "visit": PSEUDONYMS.of(name), "decided_at": "2024-02-01"}
        message = Message(key=PSEUDONYMS.of(name), sink="orders", site="north", identity=identity, content={"age": 3})
        SqliteOutbox(clinics.home / "outbox" / "clinics.sqlite").put([message])
        about = pl.DataFrame({"site": ["north"], "message": ["m"], "about": [json.dumps(identity)]})
        clinics.lake.append("receipts", about, clinics.lake.site_versions("receipts", ["north"]))


@pytest.fixture(scope="module")
def operated(tmp_path_factory):
    """A home with rows and features, records and messages, and no model."""
    clinics = Clinics(tmp_path_factory.mktemp("forget") / "home")
    clinics.deliver()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACTORY_PERSONAL_KEY", KEY)
        assert clinics.operate(**clinics.source()) == 0
    with_records(clinics)
    return clinics


def copied(clinics, folder):
    shutil.copytree(clinics.files, folder / "home-files")
    shutil.copytree(clinics.home, folder / "home", symlinks=True)
    return Clinics(folder / "home")


@postgres.needs_postgres
def test_messages_in_a_database_that_several_machines_share_are_forgotten_too(operated, tmp_path):
    clinics = copied(operated, tmp_path)
    with postgres.running() as port:
        url = f"postgresql://boss:{postgres.PASSWORD}@127.0.0.1:{port}/postgres"
        shared = PostgresOutbox(url, "clinics")
        shared.put(kept.message for kept in SqliteOutbox(clinics.home / "outbox" / "clinics.sqlite").find())
        receipt = forget(clinics, by_person(), environment={OUTBOX_URL: url})
        assert receipt.files["messages in the outbox"] == 2
        (kept,) = shared.find()
        assert kept.message.key == PSEUDONYMS.of("other")
        shared.close()


def by_person():
    return conditions(f"person = '{WHO}'")


def test_nothing_of_who_was_forgotten_is_in_any_file_and_the_others_stay(operated, tmp_path):
    clinics = copied(operated, tmp_path)
    assert places_of(clinics.home, WORDS) != []
    before = clinics.lake.scan("raw/visits").collect()
    receipt = forget(clinics, by_person())
    assert places_of(clinics.home, WORDS) == []
    mine = before["person"] == PSEUDONYMS.of(WHO)
    assert receipt.rows["raw/visits"] == mine.sum() == len(MINE)
    assert receipt.rows["raw/people"] == 1
    assert clinics.lake.scan("raw/visits").collect().sort("visit").equals(before.filter(~mine).sort("visit"))
    ((batch, _), (again, end)) = recorded(clinics.home / "predictions" / "1.log")
    assert batch == again
    assert end == (operated.home / "predictions" / "1.log").stat().st_size
    assert batch.inputs()[1].tolist() == [3.0, 4.0]
    assert receipt.rows["receipts"] == 1
    assert len(clinics.lake.scan("receipts").collect()) == 1
    kept = json.loads(next((clinics.home / "forgotten" / "clinics").glob("*.json")).read_text())
    assert (kept["by"], kept["reason"], kept["columns"]) == ("lena", "asked", [["person"]])
    assert kept["files"]["rows in the gateway's records"] == 2
    assert kept["files"]["messages in the outbox"] == 1


def test_the_source_does_not_bring_them_back_and_every_other_row_is_accounted_for(operated, tmp_path):
    clinics = copied(operated, tmp_path)
    forget(clinics, by_person())
    assert clinics.operate(**clinics.source()) == 0
    assert places_of(clinics.home, WORDS) == []
    rows = clinics.lake.scan("features").collect()
    assert len(rows) == len(visits()) - len(MINE)
    assert clinics.operate(**clinics.source()) == 0
    assert len(clinics.lake.scan("raw/visits").collect()) == len(rows)


def test_those_who_may_return_come_back_with_the_next_load(operated, tmp_path):
    clinics = copied(operated, tmp_path)
    forget(clinics, by_person(), may_return=True)
    assert clinics.operate(**clinics.source()) == 0
    assert len(clinics.lake.scan("features").collect()) == len(visits())


class KilledError(Exception):
    """Stands for a kill between two steps."""


@pytest.mark.parametrize("step", [5, 12, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 3, 8, 14))])
def test_killed_between_any_two_steps_it_is_finished_by_the_next_call(operated, tmp_path, step):
    clinics = copied(operated, tmp_path)
    steps = []

    def dies(name):
        steps.append(name)
        if len(steps) > step:
            raise KilledError

    with pytest.raises(KilledError):
        forget(clinics, by_person(), dies)
    receipt = forget(clinics, by_person())
    assert receipt.ended
    assert receipt.rows["raw/visits"] == len(MINE)
    assert places_of(clinics.home, WORDS) == []
    assert len(list((clinics.home / "forgotten" / "clinics").glob("*.json"))) == 1


@pytest.mark.slow
def test_a_table_is_removed_whole_to_be_loaded_under_another_key(operated, tmp_path, monkeypatch):
    clinics = copied(operated, tmp_path)
    monkeypatch.setenv("FACTORY_PERSONAL_KEY", KEY[::-1])
    assert clinics.operate(**clinics.source()) != 0
    forget(clinics, [], whole_tables=["visits", "people"])
    assert clinics.operate(**clinics.source()) == 0
    assert len(clinics.lake.scan("features").collect()) == len(visits())
    assert places_of(clinics.home / "lake", [PSEUDONYMS.of(WHO)]) == []


def test_a_plan_changes_nothing(operated):
    before = {place: place.stat().st_mtime_ns for place in operated.home.rglob("*") if place.is_file()}
    plan = forgetting(operated, by_person()).plan()
    assert plan.rows["raw/visits"] == plan.decisions == len(MINE)
    assert {place: place.stat().st_mtime_ns for place in operated.home.rglob("*") if place.is_file()} == before


@pytest.mark.slow
def test_models_that_learnt_are_named_and_keep_no_row(tmp_path):
    clinics = Clinics(tmp_path / "home")
    clinics.deliver()
    assert clinics.run(**clinics.source()) == 0
    assert clinics.operate(until="2024-03-02", **clinics.source()) == 0
    receipt = forget(clinics, by_person())
    assert receipt.models
    assert all(0 < rows <= len(MINE) for versions in receipt.models.values() for rows in versions.values())
    assert places_of(clinics.home, WORDS) == []
    assert clinics.run(**clinics.source()) == 0
    assert places_of(clinics.home, WORDS) == []
    assert not clinics.status().get("problems")


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES, min_size=1, max_size=3))
def test_a_condition_is_read_as_it_was_meant_whatever_its_values(condition):
    condition = {column: value for column, value in condition.items() if column not in ("and", "in")} or {"who": "x"}
    quoted = {column: value.replace("'", "''") for column, value in condition.items()}
    assert conditions(" and ".join(f"{column} = '{value}'" for column, value in quoted.items())) == [condition]


def test_several_values_are_several_conditions():
    assert conditions("""person in ("P-1", P-2) AND day == 17""") == [
        {"person": "P-1", "day": "17"},
        {"person": "P-2", "day": "17"},
    ]
    keys = pl.DataFrame({"person": ["P-1", "P-2", "P-1"]})
    assert conditions_of_keys(keys, "keys.csv") == [{"person": "P-1"}, {"person": "P-2"}]


@pytest.mark.parametrize(
    "text",
    ["", "person", "person =", "person = 'Anna", "= Anna", "person in ()", "person in (Anna", "person in (Anna Meier)",
     "person = Anna or day = 3", "person > Anna", "person = Anna and", "person = Anna and person = Berta",
     "person = Anna; DROP TABLE people", "person in (Anna,)", "__import__('os') = Anna"],
)  # fmt: skip
def test_what_is_no_condition_is_refused_without_repeating_it(text):
    with pytest.raises(PersonalDataRefused, match="--where") as refused:
        conditions(text)
    assert "Anna" not in str(refused.value)


def test_conditions_that_find_nobody_for_sure_are_refused(operated, monkeypatch):
    with pytest.raises(PersonalDataRefused, match="no table has all of nickname"):
        forgetting(operated, [{"nickname": "x"}])
    with pytest.raises(PersonalDataRefused, match="'phone' is masked, and finds nobody"):
        forgetting(operated, [{"phone": "x"}])
    with pytest.raises(PersonalDataRefused, match="has no table 'pepole'; it has visits, people"):
        forgetting(operated, [], whole_tables=["pepole"])
    monkeypatch.delenv("FACTORY_PERSONAL_KEY")
    with pytest.raises(EnvironmentRefused, match="FACTORY_PERSONAL_KEY, is not set"):
        forgetting(operated, by_person())
