"""Promises of the source that replays files of an installed package; each test installs a small one of its own.

Rows come as texts; the tests look at them as the contract types them.
"""

import gzip
import sys
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from factory.connectors.packaged_files import PackagedFiles
from factory.data.contract.typing import typed_rows
from factory.errors import SchemaMismatch, SourceError
from factory.line.line import Table
from factory.line.parsing import Parse
from factory.storage.columns import FILE, LINE, UNPARSED

UNTIL = datetime(2024, 2, 1)
CSV = """plant,made,weight,at
north,1,2.5,2024-01-01T00:00:00Z
south,NA,3.5,2024-01-02T10:30:00Z
north,3,,2024-01-31T23:59:59Z
east,4,1.0,2024-02-01T00:00:00Z
"""
COLUMNS = {"plant": "String", "made": "Int64", "weight": "Float64", "at": "Datetime[us, UTC]"}


def table(columns: Mapping[str, str] = COLUMNS, cursor: str = "at", site: str | None = "plant") -> Table:
    return Table(
        name="runs",
        columns=columns,
        key=("plant", "at"),
        cursor=cursor,
        site_column=site,
        contract=(),
        repair=lambda x: x,
        parse=Parse(null_values=("NA",)),
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a package that can be found; to import it is an error."""
    folder = tmp_path / "plantdata"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("plantdata", None)


def source(package: Path, text: str = CSV, file: str = "data/runs.csv") -> PackagedFiles:
    path = package / file
    if file.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("runs.csv", text)
    elif file.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return PackagedFiles("plantdata", {"runs": file})


def read(given: PackagedFiles, **how: object) -> pl.DataFrame:
    wanted = {"table": table(), "site": None, "after": None, "until": UNTIL} | how
    of: Table = wanted.pop("table")  # type: ignore[assignment]  # the test chooses the kwargs
    batches = list(given.read(of, **wanted))  # type: ignore[arg-type]  # the test chooses the kwargs
    if not batches:
        return pl.DataFrame()
    return typed_rows(pl.concat(batches).lazy(), of, ()).select(list(of.columns)).collect()


@pytest.mark.parametrize("file", ["data/runs.csv", "data/runs.csv.gz", "data/runs.csv.zip"])
def test_rows_before_the_moment_come_as_the_file_has_them_without_importing(package: Path, file: str) -> None:
    given = source(package, file=file)
    (raw,) = given.read(table(), site="south", after=None, until=UNTIL)
    assert raw.select(list(COLUMNS)).rows() == [("south", "NA", "3.5", "2024-01-02T10:30:00Z")]
    assert raw.select(FILE, LINE, UNPARSED).rows() == [(Path(file).name, 3, None)]
    rows = read(given)
    assert rows["made"].to_list() == [1, None, 3]
    assert rows["weight"].to_list() == [2.5, 3.5, None]
    assert rows["at"][1] == datetime(2024, 1, 2, 10, 30, tzinfo=UTC)
    assert "plantdata" not in sys.modules


def test_columns_come_in_the_declared_order(package: Path) -> None:
    assert read(source(package), table=table(dict(reversed(COLUMNS.items())))).columns == [*reversed(COLUMNS)]


def test_reading_goes_on_from_the_cursor_with_rows_of_that_very_value(package: Path) -> None:
    given = source(package)
    newest = read(given, after=datetime(2024, 1, 2, 10, 30, tzinfo=UTC))
    assert newest["made"].to_list() == [None, 3]
    assert len(read(given, after=None, until=datetime(2024, 1, 2, tzinfo=UTC))) == 1


def test_a_cursor_in_another_zone_ends_at_the_same_moment(package: Path) -> None:
    given, tokyo = source(package), table({**COLUMNS, "at": "Datetime[us, Asia/Tokyo]"})
    assert read(given, table=tokyo)["made"].to_list() == [1, None, 3]
    assert read(given, table=tokyo, after=datetime(2024, 1, 2, 10, 30, tzinfo=UTC))["made"].to_list() == [None, 3]


def test_a_site_gets_its_own_rows_and_an_unknown_one_none(package: Path) -> None:
    given = source(package)
    assert read(given, site="north")["made"].to_list() == [1, 3]
    assert list(given.read(table(), site="nowhere", after=None, until=UNTIL)) == []


def test_sites_are_those_with_rows_before_the_moment_whatever_their_names(package: Path) -> None:
    given = source(package, CSV + "new york,1,1.0,2024-01-05T00:00:00Z\n")
    assert given.sites(table(), UNTIL) == ["new_york", "north", "south"]
    assert given.sites(table(), datetime(2025, 1, 1)) == ["east", "new_york", "north", "south"]
    assert given.sites(table(site=None), UNTIL) == []


def test_a_table_without_cursor_is_given_whole(package: Path) -> None:
    assert len(read(source(package), table=table(cursor=""), until=datetime(1999, 1, 1))) == 4


def test_a_number_can_be_the_cursor_and_the_moment_does_not_apply(package: Path) -> None:
    rows = read(source(package), table=table(cursor="made"), after=3, until=datetime(1999, 1, 1))
    assert rows["made"].to_list() == [None, 3, 4]  # what no number can be read of comes each time


def test_the_file_is_parsed_once(package: Path) -> None:
    given = source(package)
    first = read(given)
    (package / "data/runs.csv").unlink()
    assert read(given, site="south").equals(first.filter(pl.col("plant") == "south"))


def test_a_package_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(SourceError, match="pip install no_such_package_here"):
        read(PackagedFiles("no_such_package_here", {"runs": "x.csv"}))


def test_a_missing_file_and_an_unknown_table_are_named(package: Path) -> None:
    with pytest.raises(SourceError, match=r"no file data/gone\.csv"):
        read(PackagedFiles("plantdata", {"runs": "data/gone.csv"}))
    with pytest.raises(SourceError, match="no such table; it has other"):
        read(PackagedFiles("plantdata", {"other": "x.csv"}))
    assert package.exists()


def test_a_damaged_file_is_a_source_error(package: Path) -> None:
    for name in ("broken.csv.zip", "broken.csv.gz", "broken.csv"):
        (package / name).write_bytes(b"PK\x03\x04 not a file at all \xff\n1,2\n")
        with pytest.raises(SourceError, match=r"cannot be read|has no column"):
            read(PackagedFiles("plantdata", {"runs": name}))


def test_a_file_is_given_with_the_columns_that_it_has(package: Path) -> None:
    (raw,) = source(package, CSV.replace("weight", "mass")).read(table(), site="north", after=None, until=UNTIL)
    assert "weight" not in raw.columns
    assert raw["mass"].dtype == pl.String


@pytest.mark.parametrize(
    ("wrong", "column"), [("2.5x", "weight"), ("one", "made"), ("1.5", "made"), ("2024-13-01", "at"), ("", "at")]
)
def test_a_value_of_another_type_comes_as_it_is_and_is_no_value_of_the_declared_type(
    package: Path, wrong: str, column: str
) -> None:
    line = dict(zip(COLUMNS, ["west", "1", "2.5", "2024-01-01T00:00:00Z"], strict=True)) | {column: wrong}
    given = source(package, CSV + ",".join(line.values()) + "\n")
    (raw,) = given.read(table(), site="west", after=None, until=UNTIL)
    assert raw.drop(FILE, LINE, UNPARSED).row(0, named=True) == line | {column: wrong or None}
    assert read(given, site="west")[column].to_list() == [None]


def test_a_type_that_does_not_exist_is_refused(package: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"column 'made'.*'Integer'"):
        read(source(package), table=table({**COLUMNS, "made": "Integer"}))


def test_dates_and_truth_values_are_read(package: Path) -> None:
    text = "day,ok\n2024-01-01,TRUE\n2024-01-02,false\n2024-02-03,NA\n"
    rows = read(source(package, text), table=table({"day": "Date", "ok": "Boolean"}, cursor="day", site=None))
    assert rows["ok"].to_list() == [True, False]
