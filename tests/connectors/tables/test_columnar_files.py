"""Promises of the readers of Parquet and Arrow: each file as it is, and what is read is what the file says it has."""

from datetime import datetime

import polars as pl
import pyarrow as pa
import pytest

from factory.connectors.tables import columnar_files
from factory.errors import SourceError
from factory.storage.columns import FILE, LINE
from tests.connectors.tables.reading import batches_in, rows_in, values_in

FRAME = pl.DataFrame({"id": [1, 2, 3], "kg": [1.5, None, 3.0], "at": [datetime(2024, 1, 1)] * 3})


def as_parquet(frame, path):
    frame.write_parquet(path)


def as_arrow(frame, path):
    frame.write_ipc(path)


def as_stream(frame, path):
    frame.write_ipc_stream(path)


WRITERS = {"orders.parquet": as_parquet, "orders.feather": as_arrow, "orders.arrows": as_stream}


@pytest.mark.parametrize(("name", "write"), WRITERS.items())
def test_rows_come_in_their_own_types_with_their_numbers(name, write, tmp_path):
    write(FRAME, tmp_path / name)
    rows = rows_in(tmp_path, name)
    assert rows.select(FRAME.columns).equals(FRAME)
    assert rows[LINE].to_list() == [1, 2, 3]
    assert rows[FILE].unique().to_list() == [name]
    assert rows_in(tmp_path, name, ["kg"]).columns == ["kg", LINE, FILE]
    assert len(rows_in(tmp_path, name, [])) == 3


@pytest.mark.parametrize(("name", "write"), WRITERS.items())
def test_a_file_that_is_cut_short_is_refused(name, write, tmp_path):
    write(FRAME, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for cut in (content[: len(content) // 2], content[:-4]):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(SourceError, match=f"{name} cannot be read as .*export it again"):
            rows_in(tmp_path, name)


def test_each_file_of_a_folder_has_its_own_columns_and_types(tmp_path):
    folder = tmp_path / "orders"
    folder.mkdir()
    FRAME.write_parquet(folder / "1.parquet")
    FRAME.with_columns(pl.col("id").cast(pl.Float64), shift=pl.lit("A")).write_parquet(folder / "2.parquet")
    FRAME.drop("kg").write_parquet(folder / "3.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".4.parquet.crc").touch()
    first, second, third = batches_in(tmp_path, "orders", ["id", "kg", "shift"])
    assert first.columns == ["id", "kg", LINE, FILE]
    assert second.schema["id"] == pl.Float64
    assert second["shift"].to_list() == ["A"] * 3
    assert third.columns == ["id", LINE, FILE]
    assert [frame[FILE][0] for frame in (first, second, third)] == ["1.parquet", "2.parquet", "3.parquet"]


def test_a_folder_that_names_a_column_and_its_value_gives_it(tmp_path):
    for plant in ("Ulm", "New%20York", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / "orders" / f"plant={plant}").mkdir(parents=True)
        FRAME.write_parquet(tmp_path / "orders" / f"plant={plant}" / "1.parquet")
    rows = rows_in(tmp_path, "orders", ["id", "plant"])
    assert rows.group_by("plant").len().sort("plant").rows() == [(None, 3), ("New York", 3), ("Ulm", 3)]


@pytest.mark.parametrize("lost", ["rows", "values"])
def test_a_reader_that_loses_rows_or_values_is_found_out(lost, tmp_path, monkeypatch):
    FRAME.write_parquet(tmp_path / "orders.parquet")
    read = columnar_files._batches

    def losing(path, columns):
        for batch in read(path, columns):
            yield batch.slice(1) if lost == "rows" else batch.with_columns(id=pl.lit(None, pl.Int64))

    monkeypatch.setattr(columnar_files, "_batches", losing)
    said = {
        "rows": "2 rows were read, and it says that it has 3",
        "values": "'id' was read with 3 nulls, and it says 0",
    }
    with pytest.raises(SourceError, match=said[lost]):
        rows_in(tmp_path, "orders.parquet")


def test_names_that_look_like_patterns_or_nested_ones_are_names(tmp_path):
    frame = pl.DataFrame({"^a.*$": [1], "b.c": [None], "b": [{"c": 1}], "*": ["x"]}, schema_overrides={"b.c": pl.Int64})
    frame.write_parquet(tmp_path / "orders[1].parquet")
    assert rows_in(tmp_path, "orders[1].parquet").select(pl.first()).item() == 1
    assert values_in(tmp_path, "orders[1].parquet") == [(1, None, {"c": 1}, "x")]


def test_a_packed_parquet_file_is_unpacked(tmp_path):
    import zipfile

    FRAME.write_parquet(tmp_path / "plain.parquet")
    with zipfile.ZipFile(tmp_path / "orders.zip", "w") as archive:
        archive.write(tmp_path / "plain.parquet", "orders.parquet")
    assert rows_in(tmp_path, "orders.zip")["id"].to_list() == [1, 2, 3]


def test_an_empty_file_has_columns_and_no_rows(tmp_path):
    FRAME.clear().write_parquet(tmp_path / "orders.parquet")
    with pa.OSFile(str(tmp_path / "orders.arrows"), "wb") as sink, pa.ipc.new_stream(sink, FRAME.to_arrow().schema):
        pass
    assert len(rows_in(tmp_path, "orders.arrows")) == 0
    assert sum(map(len, batches_in(tmp_path, "orders.parquet"))) == 0


def test_a_folder_of_several_kinds_says_how_to_choose(tmp_path):
    (tmp_path / "orders").mkdir()
    FRAME.write_parquet(tmp_path / "orders" / "1.parquet")
    (tmp_path / "orders" / "2.csv").write_text("id\n1\n")
    with pytest.raises(SourceError, match=r"has files of csv, parquet; name those of one kind by a pattern"):
        rows_in(tmp_path, "orders")
    assert len(rows_in(tmp_path, "orders/*.csv")) == 1
