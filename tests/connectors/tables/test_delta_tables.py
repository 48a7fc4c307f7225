"""Promises of the reader of Delta: other writers' tables are read right or refused by name, never as nulls."""

import json
import struct
from pathlib import Path

import polars as pl
import pytest

from factory.connectors.tables import delta_tables
from factory.errors import SourceError
from tests.connectors.tables.reading import rows_in

IDS, NOTES = [1, 2, 3, 4], ["a", None, "c", "d"]
Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def foreign(folder, stored, fields, *, protocol, configuration=None, deletion=None, nulls=None):
    """Write a table as another writer would: a file with the stored names, and a log that says `fields`."""
    (folder / "_delta_log").mkdir(parents=True)
    pl.DataFrame(dict(zip(stored, (IDS, NOTES), strict=True))).write_parquet(folder / "part-0.parquet")
    schema = {"type": "struct", "fields": fields}
    stats = {"numRecords": 4, "nullCount": dict(zip(stored, (0, 1), strict=True)) | (nulls or {})}
    add = {
        "path": "part-0.parquet",
        "partitionValues": {},
        "size": (folder / "part-0.parquet").stat().st_size,
        "modificationTime": 1_700_000_000_000,
        "dataChange": True,
        "stats": json.dumps(stats),
    }
    metadata = {
        "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps(schema),
        "partitionColumns": [],
        "configuration": configuration or {},
        "createdTime": 1_700_000_000_000,
    }
    actions = [
        {"protocol": protocol},
        {"metaData": metadata},
        {"add": add | ({"deletionVector": deletion} if deletion else {})},
    ]
    (folder / "_delta_log" / f"{0:020}.json").write_text("\n".join(map(json.dumps, actions)) + "\n")


def column(name, kind, **metadata):
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


PLAIN = [column("id", "long"), column("note", "string")]


def deletion_of(rows):
    """Return a deletion vector in the log: one array container of a 64-bit roaring bitmap, as Z85."""
    container = b"".join(struct.pack("<H", row) for row in rows)
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + container
    content = struct.pack("<iQI", 1681511377, 1, 0) + bitmap
    padded = content + b"\0" * (-len(content) % 4)
    text = ""
    for place in range(0, len(padded), 4):
        number = int.from_bytes(padded[place : place + 4], "big")
        text += "".join(Z85[number // 85**power % 85] for power in (4, 3, 2, 1, 0))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(content), "cardinality": len(rows)}


@pytest.mark.parametrize("mode", ["name", "id"])
def test_columns_that_another_writer_mapped_are_read(mode, tmp_path):
    fields = [
        column(name, kind, **{"delta.columnMapping.id": place, "delta.columnMapping.physicalName": f"col-{place}"})
        for place, (name, kind) in enumerate([("id", "long"), ("the note", "string")], 1)
    ]
    configuration = {"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "2"}
    protocol = {"minReaderVersion": 2, "minWriterVersion": 5}
    foreign(tmp_path / "orders", ["col-1", "col-2"], fields, protocol=protocol, configuration=configuration)
    rows = rows_in(tmp_path, "orders")
    assert rows.select("id", "the note").rows() == list(zip(IDS, NOTES, strict=True))
    assert rows_in(tmp_path, "orders", ["the note"])["the note"].to_list() == NOTES


def test_rows_that_a_deletion_vector_deletes_are_left_out(tmp_path):
    features = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    foreign(tmp_path / "orders", ["id", "note"], PLAIN, protocol=protocol, deletion=deletion_of([1, 3]))
    assert rows_in(tmp_path, "orders").select("id", "note").rows() == [(1, "a"), (3, "c")]


def test_a_column_renamed_without_a_word_in_the_log_is_refused(tmp_path):
    protocol = {"minReaderVersion": 1, "minWriterVersion": 2}
    foreign(tmp_path / "orders", ["id", "remark"], PLAIN, protocol=protocol)
    with pytest.raises(SourceError, match=r"part-0\.parquet has a column 'remark' .* lacks 'note': it was renamed"):
        rows_in(tmp_path, "orders")


def test_a_feature_that_nobody_here_reads_is_refused_by_name(tmp_path):
    features = ["colourCoding"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    foreign(tmp_path / "orders", ["id", "note"], PLAIN, protocol=protocol)
    with pytest.raises(SourceError, match=r"'colourCoding' is not supported; let its owner turn that feature off"):
        rows_in(tmp_path, "orders")


def test_counts_that_differ_from_the_log_are_refused(tmp_path):
    protocol = {"minReaderVersion": 1, "minWriterVersion": 2}
    foreign(tmp_path / "orders", ["id", "note"], PLAIN, protocol=protocol, nulls={"note": 0})
    with pytest.raises(SourceError, match="column 'note' was read with 1 nulls, and its log has 0"):
        rows_in(tmp_path, "orders")


def test_a_reader_that_loses_rows_is_found_out(tmp_path, monkeypatch):
    pl.DataFrame({"id": IDS}).write_delta(tmp_path / "orders")
    read = delta_tables._by_polars
    monkeypatch.setattr(delta_tables, "_by_polars", lambda *given: (batch.slice(1) for batch in read(*given)))
    with pytest.raises(SourceError, match="3 rows were read, and its log has 4"):
        rows_in(tmp_path, "orders")


def test_a_column_that_was_added_later_is_null_in_older_files(tmp_path):
    pl.DataFrame({"id": [1]}).write_delta(tmp_path / "orders")
    more = pl.DataFrame({"id": [2], "note": ["b"]})
    more.write_delta(tmp_path / "orders", mode="append", delta_write_options={"schema_mode": "merge"})
    assert rows_in(tmp_path, "orders").sort("id").select("id", "note").rows() == [(1, None), (2, "b")]


def test_a_file_that_was_vacuumed_away_is_named(tmp_path):
    pl.DataFrame({"id": IDS}).write_delta(tmp_path / "orders")
    next(Path(tmp_path / "orders").glob("*.parquet")).unlink()
    with pytest.raises(SourceError, match=r"\.parquet cannot be read as delta: .*was it tidied away"):
        rows_in(tmp_path, "orders")
