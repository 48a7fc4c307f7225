"""A home that was renamed, copied or brought back elsewhere: MLflow's database names its files where they are."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from factory.errors import RegistryError
from factory.model.verdict import Verdict
from factory.registry.registry import Registry
from factory.registry.relocation import misplaced, relocate
from tests.registry.test_registry import candidate, verdict
from tests.toy.line import empty_database, registry_at

MODEL = "brewing.north"


def served_home(home: Path) -> Registry:
    """A home whose site north has a champion, made from the database that the registry itself makes."""
    home.mkdir(parents=True)
    (home / "mlflow.db").write_bytes(empty_database())
    registry = registry_at(home)
    kept = registry.register(candidate("north"))
    registry.record_verdict(kept.model, kept.version, verdict(candidate("north")))
    registry.promote(kept.model, kept.version, verdict(candidate("north")), by="line")
    return registry


def places(home: Path) -> set[str]:
    """Every place that the database names, of all tables."""
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for table in tables for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608
        values = [value for row in rows for value in row]
    return {value for value in values if isinstance(value, str) and "/artifacts" in value}


def go_on(home: Path) -> int:
    """Train and promote once more; return the version that the site has then."""
    registry, better = registry_at(home), candidate("north", 2.0)
    assert registry.champion(MODEL).digest == candidate("north").digest
    registry.record_verdict(MODEL, 1, verdict(candidate("north"), figures={"average_precision": 0.7}))
    kept = registry.register(better)
    registry.record_verdict(kept.model, kept.version, verdict(better))
    registry.promote(kept.model, kept.version, verdict(better), by="line")
    assert registry.champion(MODEL).digest == better.digest
    return kept.version


@pytest.mark.parametrize("name", ["new", "100% new, #2 ä"])
def test_a_renamed_home_goes_on_and_nothing_is_written_to_the_old_place(tmp_path, name):
    old, new = tmp_path / "old" / ".factory", tmp_path / name / ".factory"
    served_home(old)
    shutil.move(old.parent, new.parent)
    assert go_on(new) == 2
    assert not old.parent.exists()
    assert all(place.startswith(str(new)) for place in places(new))
    assert misplaced(new / "mlflow.db", new / "artifacts") == []


def test_a_copy_of_a_home_leaves_the_first_one_alone(tmp_path):
    old, new = tmp_path / "old" / ".factory", tmp_path / "new" / ".factory"
    served_home(old)
    shutil.copytree(old.parent, new.parent)
    before = {place: place.stat().st_mtime_ns for place in old.rglob("*")}
    assert go_on(new) == 2
    assert {place: place.stat().st_mtime_ns for place in old.rglob("*")} == before


def test_where_a_file_is_in_the_way_of_the_old_place_a_moved_home_goes_on(tmp_path):
    old, new = tmp_path / "old" / ".factory", tmp_path / "new" / ".factory"
    served_home(old)
    shutil.move(old.parent, new.parent)
    old.parent.write_text("in the way")
    assert go_on(new) == 2
    assert old.parent.read_text() == "in the way"


def test_without_its_artifacts_a_database_writes_to_its_new_home_all_the_same(tmp_path):
    old, new = tmp_path / "old" / ".factory", tmp_path / "new" / ".factory"
    served_home(old)
    shutil.move(old.parent, new.parent)
    shutil.rmtree(new / "artifacts")
    assert registry_at(new).register(candidate("south")).version == 1
    assert not old.parent.exists()


def test_models_that_somebody_keeps_at_another_place_stay_there(tmp_path):
    home, models = tmp_path / ".factory", tmp_path / "large disk" / "artifacts"
    served_home(home)
    models.parent.mkdir()
    shutil.move(home / "artifacts", models)
    assert models / "brewing" in [moved.folder for moved in relocate(home / "mlflow.db", models)]
    registry = registry_at(home)  # whose own folder of files has none of the line's
    assert registry.champion(MODEL).version == 1
    assert misplaced(home / "mlflow.db", home / "artifacts") == []


def test_file_addresses_are_read_as_what_they_name(tmp_path):
    old, new = tmp_path / "old, 100% #1" / ".factory", tmp_path / "new" / ".factory"
    served_home(old)
    with closing(sqlite3.connect(old / "mlflow.db")) as database, database:
        prefix, address = str(old), old.as_uri()
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608
            database.execute(change, (prefix, address))
    shutil.move(old.parent, new.parent)
    registry_at(new).register(candidate("south"))
    assert all(place.startswith(str(new)) for place in places(new) if "/brewing" in place and "models" not in place)
    assert not old.parent.exists()


def test_a_database_that_cannot_be_put_right_is_refused_in_a_sentence(tmp_path):
    old, new = tmp_path / "old" / ".factory", tmp_path / "new" / ".factory"
    served_home(old)
    shutil.move(old.parent, new.parent)
    with closing(sqlite3.connect(new / "mlflow.db")) as database, database:
        database.execute(
            "CREATE TRIGGER stop BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'this database is read-only'); END"
        )
    with pytest.raises(RegistryError, match="naming this home's folder in it") as refused:
        registry_at(new).champion(MODEL)
    assert "\n" not in str(refused.value)
    assert misplaced(new / "mlflow.db", new / "artifacts")  # all of it, or nothing


def test_an_experiment_of_an_object_store_or_a_server_is_left_as_it_is(tmp_path):
    home = tmp_path / ".factory"
    served_home(home)
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        for name, place in (("cloud", "s3://models/cloud"), ("served", "mlflow-artifacts:/served")):
            database.execute(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES (?, ?, 'active')",
                (name, place),
            )
    assert misplaced(home / "mlflow.db", home / "artifacts") == []


def test_verdicts_are_not_lost_by_a_move(tmp_path):
    old, new = tmp_path / "old" / ".factory", tmp_path / "new" / ".factory"
    served_home(old)
    shutil.move(old.parent, new.parent)
    champion = registry_at(new).champion(MODEL)
    assert isinstance(champion.verdict, Verdict)
    assert champion.verdict == verdict(candidate("north"))
