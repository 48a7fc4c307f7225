"""A few odd cells among thousands: the column stays what it is, and their rows will wait in quarantine."""

import polars as pl

from factory.scaffold.profiling.profiler import Asked, profiled


def test_a_few_odd_cells_make_no_column_of_numbers_or_dates_one_of_texts(tmp_path):
    days = [f"2024-01-{1 + row // 24:02d} {row % 24:02d}:00" for row in range(600)]
    rows = [{"left": day, "kg": f"{row % 97}.5", "late": row % 2} for row, day in enumerate(days)]
    rows[77]["kg"], rows[78]["left"] = "ca. 80", "0000-00-00 00:00"
    pl.DataFrame(rows).write_csv(tmp_path / "loads.csv")
    columns = profiled(Asked(at="loads.csv", target="late", time="left"), tmp_path).columns
    assert {name: column.kind for name, column in columns.items()} == {
        "left": "Datetime[us, UTC]",
        "kg": "Float64",
        "late": "Int64",
    }
    assert columns["left"].shape.unread == columns["kg"].shape.unread == 1
    assert (columns["left"].shape.example, columns["kg"].shape.example) == ("0000-00-00 00:00", "ca. 80")
    assert columns["left"].empty == 0


def test_many_odd_cells_make_a_column_one_of_texts(tmp_path):
    codes = [f"{row}" if row % 10 else f"{row}A" for row in range(600)]
    pl.DataFrame({"code": codes, "late": [row % 2 for row in range(600)]}).write_csv(tmp_path / "loads.csv")
    profile = profiled(Asked(at="loads.csv", target="late"), tmp_path)
    assert profile.columns["code"].kind == "String"


def test_moments_with_an_offset_of_hours_alone_are_moments(tmp_path):
    days = [f"2024-01-{1 + row // 24:02d} {row % 24:02d}:00:00+00" for row in range(600)]
    pl.DataFrame({"left": days, "late": [row % 2 for row in range(600)]}).write_csv(tmp_path / "loads.csv")
    profile = profiled(Asked(at="loads.csv", target="late", time="left"), tmp_path)
    assert (profile.columns["left"].kind, profile.columns["left"].counts.nulls) == ("Datetime[us, UTC]", 0)
    assert profile.parse.formats == {}


def test_one_odd_cell_in_a_small_table_does_neither(tmp_path):
    rows = [{"left": f"2024-01-{1 + row % 28:02d} 00:00", "kg": f"{row}.5", "late": row % 2} for row in range(60)]
    rows[7]["kg"], rows[8]["left"] = "ca. 80", "soon"
    pl.DataFrame(rows).write_csv(tmp_path / "loads.csv")
    columns = profiled(Asked(at="loads.csv", target="late", time="left"), tmp_path).columns
    assert [columns[name].kind for name in ("left", "kg")] == ["Datetime[us, UTC]", "Float64"]
