"""A line about people: no value of a personal column is anywhere in its home, whatever comes, and the line works."""

import json
import sqlite3
from contextlib import closing

import polars as pl
import pytest

from factory.errors import SnapshotRefused
from factory.features.online.serving import ServedSnapshots
from factory.line.personal import Pseudonyms
from tests.canary import places_of
from tests.toy.clinics.clinics import CANARY, Clinics, people, person, visit, visits

KEY, OTHER_KEY = "0123456789abcdef" * 2, "fedcba9876543210" * 2
VARIABLE = "FACTORY_PERSONAL_KEY"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    return Pseudonyms(KEY)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The line's home after a whole run."""
    clinics = Clinics(tmp_path_factory.mktemp("clinics") / "home")
    clinics.deliver()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, KEY)
        assert clinics.run(**clinics.source()) == 0
    return clinics


@pytest.fixture
def clinics(tmp_path):
    """The line with its files and an empty home."""
    clinics = Clinics(tmp_path / "home")
    clinics.deliver()
    return clinics


def told(clinics: Clinics) -> str:
    return "\n".join(str(event) for event in clinics.events)


@pytest.mark.slow
def test_no_value_of_a_personal_column_is_in_any_file_of_the_home(made):
    assert made.repository.models()
    assert places_of(made.home, [CANARY, KEY]) == []


@pytest.mark.slow
def test_the_gateways_door_pseudonymises_as_training_did_and_says_no_value(made, monkeypatch):
    source = ServedSnapshots(made.home / "models", made.home / "keys" / "release.pub")
    builder = source.builder("clinics")
    row = {"visit": visit("north", 9999), "booked_at": "2024-02-29T10:00:00+00:00", "person": person(7)}
    built = builder.build("north", [{**row, "name": f"Anna {CANARY}", "phone": CANARY, "days_ahead": 3.0}])
    (features,) = built.features.tolist()
    assert features == [3.0, float(people()["age"][7])]
    assert CANARY not in str(built.subjects)
    refused = builder.build("north", [{**row, "days_ahead": -1.0}]).refused
    assert "days_ahead is -1.0" in refused[0]
    assert CANARY not in str(refused)
    monkeypatch.setenv(VARIABLE, OTHER_KEY)
    with pytest.raises(SnapshotRefused, match="the key of pseudonyms here, env:FACTORY_PERSONAL_KEY, is another"):
        source.builder("clinics")
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(SnapshotRefused, match="FACTORY_PERSONAL_KEY, is not set"):
        source.builder("clinics")


def test_a_join_by_a_pseudonymised_key_gives_what_the_values_would(clinics):
    assert clinics.operate(**clinics.source()) == 0
    rows = clinics.lake.scan("features").collect()
    ages = dict(people().select(pl.col("person").str.strip_chars(), "age").iter_rows())
    wanted = visits().select("visit", pl.col("person").replace_strict(ages).alias("age"))
    key = Pseudonyms(KEY)
    wanted = wanted.with_columns(pl.Series("visit", [key.of(one) for one in wanted["visit"]]))
    both = rows.join(wanted, on="visit")
    assert len(both) == len(rows) == len(wanted)
    assert (both["age"] == both["age_right"]).all()
    assert clinics.operate(**clinics.source()) == 0
    assert clinics.lake.scan("raw/visits").collect().height == len(wanted)  # the same pseudonyms: nothing is new
    assert places_of(clinics.home, [CANARY]) == []


def test_what_is_broken_renamed_or_in_a_files_name_is_kept_without_values(clinics):
    bad = visits().head(40).with_columns(days_ahead=pl.lit("no number"), nickname=pl.lit(f"{CANARY}chen"))
    bad = bad.with_columns(visit=pl.format("{}-bad", "visit"), clinic=pl.lit("south"))
    folder = clinics.files / "visits"
    folder.mkdir()
    visits().write_csv(folder / "1.csv")
    bad.write_csv(folder / f"{person(int(bad['name'][0].split()[-1]))}.csv")
    lines = (folder / "1.csv").read_text().splitlines()
    (folder / "2.csv").write_text("\n".join([lines[0], f"{lines[1]},one field too many {CANARY}"]) + "\n")
    clinics.operate(**clinics.source(visits="visits"))
    assert places_of(clinics.home, [CANARY]) == []
    assert CANARY not in told(clinics)
    waiting = clinics.lake.scan("quarantine").collect()
    assert {"withheld"} <= {text.split(":")[0] for text in waiting["_unparsed"].drop_nulls()}
    assert "nickname" not in clinics.lake.scan("raw/visits").collect_schema()
    assert any(name.startswith("withheld-") for name in clinics.lake.scan("raw/visits").collect()["_file"])


def test_a_sources_own_errors_say_no_value(clinics):
    (clinics.files / "people.json").write_text(json.dumps([{"person": f"{CANARY}1", "age": 3}])[:-4])
    (clinics.files / "latin.csv").write_bytes(visits().write_csv().replace("Anna", "Ann\xe4").encode("latin-1"))
    with closing(sqlite3.connect(clinics.files / "shop.db")) as shop:
        shop.execute("CREATE TABLE people (person TEXT, email TEXT, age INTEGER)")
        shop.execute("INSERT INTO people VALUES (CAST(? AS TEXT), 'x', 3)", (f"{CANARY}\xe4".encode("latin-1"),))
        shop.commit()
    for places in ({"people": "people.json"}, {"visits": "latin.csv"}, {"people": "sqlite:///shop.db::people"}):
        assert clinics.operate(**clinics.source(**places)) != 0
        assert CANARY not in told(clinics)
    assert places_of(clinics.home, [CANARY]) == []


def test_another_key_loads_nothing_and_says_what_to_do(clinics, monkeypatch):
    assert clinics.operate(**clinics.source()) == 0
    before = clinics.lake.scan("raw/visits").collect()
    monkeypatch.setenv(VARIABLE, OTHER_KEY)
    assert clinics.operate(**clinics.source()) != 0
    assert "the key of pseudonyms is another than the rows in the lake were pseudonymised with" in told(clinics)
    assert "factory forget clinics --table people" in told(clinics)
    assert clinics.lake.scan("raw/visits").collect().equals(before)
    monkeypatch.delenv(VARIABLE)
    assert clinics.operate(**clinics.source()) != 0
    assert "FACTORY_PERSONAL_KEY, is not set" in told(clinics)
