"""A snapshot is read whole and as it was signed, or not at all."""

import dataclasses
import json

import polars as pl
import pytest

from factory.errors import SnapshotRefused
from factory.features.online.manifest import OnlineSnapshot
from factory.features.online.serving import ServedSnapshots
from factory.features.online.store import Snapshots
from factory.release.signing import signing_key
from tests.features.online import pressing
from tests.features.online.pressing import published
from tests.storage.shared_locks import SharedLocks


def table_file(home, name="parts"):
    snapshots = published(home)
    digest = snapshots.current("press_faults").tables[name].digest
    return snapshots, home / "models" / ".snapshots" / "press_faults" / f"{digest}.parquet"


def loaded(home):
    return ServedSnapshots(home / "models", home / "keys" / "release.pub").builder("press_faults")


def test_what_was_put_is_read_back(tmp_path):
    published(tmp_path)
    assert loaded(tmp_path).build("north", [pressing.record(pressing.newest("north")[0])]).places == [0]
    snapshot = pressing.made_snapshot().snapshot
    assert OnlineSnapshot.from_json(snapshot.to_json()) == snapshot


def test_a_changed_table_a_missing_one_and_a_changed_snapshot_are_refused(tmp_path):
    _, place = table_file(tmp_path)
    content = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(content[:-1] + b"x")
    with pytest.raises(SnapshotRefused, match="table parts of its snapshot was changed"):
        loaded(tmp_path)
    place.unlink()
    with pytest.raises(SnapshotRefused, match=r"table parts of its snapshot.*is missing"):
        loaded(tmp_path)
    place.write_bytes(content)
    file = tmp_path / "models" / ".snapshots" / "press_faults.json"
    file.chmod(0o644)
    file.write_text(file.read_text().replace('"north"', '"mars"'))
    with pytest.raises(SnapshotRefused, match="is not signed by this factory's release key"):
        loaded(tmp_path)
    file.write_text("{}")
    with pytest.raises(SnapshotRefused, match="cannot be read"):
        loaded(tmp_path)


@pytest.mark.parametrize("part", [(), ("row_path",)])
def test_a_snapshot_of_another_version_is_told_from_one_that_nobody_signed(tmp_path, part):
    """A field that came since has a default, with which an older file's signature would not hold; and the reverse."""
    published(tmp_path)
    file = tmp_path / "models" / ".snapshots" / "press_faults.json"
    as_written = json.loads(file.read_text())
    for change in ({"later": 1}, None):
        snapshot = json.loads(json.dumps(as_written))
        inner = snapshot["row_path"] if part else snapshot
        if change:
            inner.update(change)
        else:
            del inner["announced" if part else "shut"]
        file.chmod(0o644)
        file.write_text(json.dumps(snapshot))
        with pytest.raises(SnapshotRefused, match="was written by another version of the library"):
            loaded(tmp_path)


def test_the_snapshot_of_another_line_is_refused(tmp_path):
    published(tmp_path)
    folder = tmp_path / "models" / ".snapshots"
    (folder / "other.json").write_bytes((folder / "press_faults.json").read_bytes())
    with pytest.raises(SnapshotRefused, match="is the snapshot of line press_faults"):
        ServedSnapshots(tmp_path / "models", tmp_path / "keys" / "release.pub").builder("other")


def test_a_new_snapshot_keeps_the_tables_of_the_one_before_for_who_reads_it_now(tmp_path):
    snapshots, first = table_file(tmp_path)
    marks = ServedSnapshots(tmp_path / "models", tmp_path / "keys" / "release.pub").marks()
    for cut in (100, 200):
        tables = pressing.clean_tables()
        new = pressing.made_snapshot(tables={**tables, "parts": tables["parts"].head(400 - cut)})
        new = dataclasses.replace(new, snapshot=dataclasses.replace(new.snapshot, made_from=str(cut)))
        snapshots.put(new.snapshot.signed(signing_key(tmp_path / "keys")), new.files)
        assert first.exists() == (cut == 100)
    assert ServedSnapshots(tmp_path / "models", tmp_path / "keys" / "release.pub").marks() != marks
    assert isinstance(loaded(tmp_path).snapshot.tables["parts"].rows, int)


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    snapshots, place = table_file(tmp_path)
    left = place.with_name(".new-left-behind")
    left.write_bytes(b"half")
    new = pressing.made_snapshot()
    snapshots.put(new.snapshot.signed(signing_key(tmp_path / "keys")), new.files)
    assert not left.exists()
    assert pl.read_parquet(place).height


def test_writers_of_a_line_exclude_one_another_by_the_locks_they_are_given(tmp_path):
    new, locks = pressing.made_snapshot(), SharedLocks()
    Snapshots(tmp_path, locks).put(new.snapshot.signed(signing_key(tmp_path / "keys")), new.files)
    assert locks.names == ["snapshots.press_faults"]
    assert not list(tmp_path.rglob("*.lock"))
