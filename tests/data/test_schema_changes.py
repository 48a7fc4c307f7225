"""Schema changes: whatever columns files, sites and loads have, the line's policy decides, and no value is lost."""

from dataclasses import replace
from datetime import datetime
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.compute.engine import Compute
from factory.data.cleaning import clean
from factory.data.contract.compiler import compile_contract
from factory.data.ingest import ingest
from factory.data.raw_rows import stored_raw_rows
from factory.line.line import Table
from factory.line.schema_changes import SchemaChanges
from factory.storage.lake import Lake

UNTIL = datetime(2024, 5, 1)
COLUMNS = {"id": "Int64", "plant": "String", "day": "Int64", "pieces": "Int64", "weight": "Float64"}
TABLE = Table(
    name="rows", columns=COLUMNS, key=("id",), cursor="day", site_column="plant", contract=(), repair=lambda rows: rows
)
CONTRACT = compile_contract((), columns=COLUMNS, place="rows", site_column="plant", cursor="day")


class Folder:
    """A source of files: each a day, with the columns that it has; both plants have a row in each."""

    def __init__(self, **files):
        self.files = files

    def sites(self, table, until):
        return ["Kiel", "Ulm"]

    def read(self, table, *, site, after, until):
        for name, rows in self.files.items():
            mine = rows.filter(pl.col("plant") == site, pl.col("day") >= (after or 0))
            if len(mine):
                yield mine.with_columns(_file=pl.lit(name), _line=pl.int_range(1, len(mine) + 1, dtype=pl.Int64))


def day(number, **columns):
    """A file of one day: a row a plant; columns are put in, or with None taken out."""
    rows = pl.DataFrame(
        {
            "id": [number * 2, number * 2 + 1],
            "plant": ["Kiel", "Ulm"],
            "day": [number, number],
            "pieces": [10, 20],
            "weight": [1.5, 2.5],
        }
    )
    for name, values in columns.items():
        rows = rows.drop(name) if values is None else rows.with_columns(pl.Series(name, values))
    return rows


def policy(**changes):
    return replace(TABLE, schema_changes=SchemaChanges(**changes))


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path, "line")


def loaded(lake, table, **files):
    return ingest(lake, Folder(**files), table, ["Kiel", "Ulm"], UNTIL)


def raw(lake, *columns):
    return lake.scan("raw/rows").sort("id", "_load").select(columns).collect().rows()


def cleaned(lake, table):
    return clean(stored_raw_rows(lake, table), table, CONTRACT, Compute(engine="cpu"))


def told(result, site="Ulm"):
    (change,) = result.done[site].changes
    return change.sentence("rows")


def test_a_new_column_is_kept_without_a_rewrite_and_told_with_its_file(lake):
    loaded(lake, TABLE, a=day(1))
    first = set(lake._open("raw/rows").file_uris())
    result = loaded(lake, TABLE, a=day(1), b=day(2, shift=["A", "B"]))
    assert told(result).startswith(
        "table rows, b: column 'shift' (String) is new: it is kept in the raw table, and nothing uses it; declare it"
    )
    assert raw(lake, "id", "shift") == [(2, None), (3, None), (4, "A"), (5, "B")]
    assert first <= set(lake._open("raw/rows").file_uris())
    assert "shift" not in cleaned(lake, TABLE).accepted.columns


def test_a_column_that_is_declared_later_is_there_from_the_day_it_came(lake):
    loaded(lake, TABLE, a=day(1), b=day(2, shift=["A", "B"]))
    wider = replace(TABLE, columns={**COLUMNS, "shift": "String"})
    assert stored_raw_rows(lake, wider).sort("id").collect()["shift"].to_list() == [None, None, "A", "B"]


def test_a_column_that_is_not_declared_makes_no_row_another(lake):
    """Such as the moment of the export, which differs in each."""
    loaded(lake, TABLE, a=day(1, exported=["monday"] * 2))
    assert loaded(lake, TABLE, a=day(1, exported=["tuesday"] * 2)).done["Ulm"].new_rows == 0


@pytest.mark.parametrize("name", ["site", "PIECES", "pieces__text", "_load"])
def test_a_name_that_the_raw_table_cannot_have_loses_nothing_else(lake, name):
    result = loaded(lake, TABLE, a=day(1, **{name: [1, 2]}))
    assert result.failed == {}
    assert raw(lake, "id", "pieces") == [(2, 10), (3, 20)]
    assert name == "_load" or "it is not kept; the raw table cannot have a column of that name" in told(result)


def test_a_lost_column_stops_its_sites_alone_and_says_what_it_may_be_called_now(lake):
    loaded(lake, TABLE, a=day(1))
    renamed = day(2).rename({"weight": "weight_kg"}).filter(pl.col("plant") == "Ulm")
    result = loaded(lake, TABLE, a=day(1), b=day(2).filter(pl.col("plant") == "Kiel"), c=renamed)
    assert {site: got.new_rows for site, got in result.done.items()} == {"Kiel": 1}
    assert str(result.failed["Ulm"]).startswith(
        "site Ulm, table rows, c: column 'weight' (Float64) is lost (is it 'weight_kg' now?): nothing was loaded"
    )
    assert [change.column for change in result.failed["Ulm"].changes] == ["weight"]


def test_a_lost_column_is_missing_where_the_line_says_so(lake):
    result = loaded(lake, policy(lost="ignore"), a=day(1), b=day(2, weight=None))
    assert "it is missing in the rows that came so" in told(result)
    assert raw(lake, "id", "weight") == [(2, 1.5), (3, 2.5), (4, None), (5, None)]
    assert len(cleaned(lake, TABLE).accepted) == 4


@pytest.mark.parametrize("column", ["id", "day"])
def test_a_lost_key_or_cursor_always_stops(lake, column):
    files = {"a": day(1), "b": day(2, **{column: None})}

    class Careless(Folder):
        def read(self, table, *, site, after, until):
            yield from (rows.filter(pl.col("plant") == site) for rows in self.files.values())

    result = ingest(lake, Careless(**files), policy(lost="ignore"), ["Ulm"], UNTIL)
    assert f"column '{column}' (Int64) is lost" in str(result.failed["Ulm"])


@pytest.mark.parametrize(
    ("changes", "columns", "rule"),
    [
        ({"new": "quarantine"}, {"shift": ["A", "B"]}, "record: to come with the declared columns"),
        ({"lost": "quarantine"}, {"weight": None}, "record: to come with the declared columns"),
        ({"retyped": "quarantine"}, {"pieces": [10.0, 20.0]}, "record: to come with the declared columns"),
        ({}, {"pieces": [10.5, 20.0]}, "pieces: values to be of type Int64"),
    ],
)
def test_rows_that_came_otherwise_wait_in_quarantine_and_come_in_once_they_may(lake, changes, columns, rule):
    files = {"a": day(1), "b": day(2, **columns)}
    table = policy(**changes)
    loaded(lake, table, **files)
    judged = cleaned(lake, table)
    waiting = judged.quarantine.sort("id")
    assert waiting["rule"].str.contains(rule, literal=True).all()
    assert waiting["id"].to_list() == ([4, 5] if changes else [4])
    assert judged.accepted["id"].sort().to_list() == ([2, 3] if changes else [2, 3, 5])
    if changes:
        allowed = policy(new="add", lost="ignore", retyped="ignore")
        ingest(lake, Folder(**files), allowed, ["Kiel", "Ulm"], UNTIL, from_start=True)
        assert cleaned(lake, allowed).accepted["id"].sort().to_list() == [2, 3, 4, 5]


def test_a_retyped_column_is_read_value_by_value_and_told(lake):
    loaded(lake, TABLE, a=day(1))
    result = loaded(lake, TABLE, a=day(1), b=day(2, pieces=["10", "20"]))
    assert "table rows, b: column 'pieces' is String and was Int64: each value is read as declared" in told(result)
    assert cleaned(lake, TABLE).accepted.sort("id")["pieces"].to_list() == [10, 20, 10, 20]


@pytest.mark.parametrize("changes", [{"new": "stop"}, {"retyped": "stop"}])
def test_what_is_to_stop_writes_nothing(lake, changes):
    result = loaded(lake, policy(**changes), a=day(1), b=day(2, shift=["A", "B"], pieces=[1.0, 2.0]))
    assert set(result.failed) == {"Kiel", "Ulm"}
    assert not lake.has("raw/rows")


def test_another_order_of_columns_and_another_width_of_numbers_change_nothing(lake):
    narrow = day(2).select(pl.col("weight").cast(pl.Float32), "id", "day", pl.col("pieces").cast(pl.Int16), "plant")
    result = loaded(lake, policy(new="stop", lost="stop", retyped="stop"), a=day(1), b=narrow)
    assert result.failed == {}
    assert result.done["Ulm"].changes == ()


FILES = st.lists(
    st.sampled_from(
        [
            {},
            {"shift": ["A", "B"]},
            {"shift": [1, 2]},
            {"weight": None},
            {"pieces": [10.0, 20.5]},
            {"pieces": ["x", "20"], "weight": None},
            {"weight": ["1,5", "2.5"], "note": [None, "n"]},
        ]
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(FILES, st.sampled_from(["ignore", "add", "quarantine"]), st.sampled_from(["ignore", "quarantine"]))
def test_whatever_files_bring_every_row_and_value_is_in_the_raw_table_and_accounted_for(kinds, new, other):
    """Loaded file after file; each value is in its column, or as text in the one beside it."""
    files = {f"f{number}": day(number, **columns) for number, columns in enumerate(kinds)}
    table = policy(new=new, lost=other, retyped=other)
    with TemporaryDirectory() as folder:
        lake = Lake(folder, "line")
        for number in range(1, len(files) + 1):
            assert loaded(lake, table, **dict(list(files.items())[:number])).failed == {}
        rows = {row["id"]: row for row in lake.scan("raw/rows").collect().iter_rows(named=True)}
        for file in files.values():
            for row in file.iter_rows(named=True):
                for name, value in row.items():
                    kept = rows[row["id"]].get(name)
                    kept = rows[row["id"]].get(f"{name}__text") if kept is None else kept
                    if name in COLUMNS or new == "add":
                        assert kept == value or str(kept) == str(value)
        counts = cleaned(lake, table).counts
        assert sum(count.raw for count in counts.values()) == 2 * len(files)
        assert not any(count.unaccounted for count in counts.values())
