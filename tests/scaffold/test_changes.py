"""What a new line says of changes at its source: by a column that tells of them, by days, or that nothing does."""

from datetime import date

import polars as pl
import pytest

from factory.connectors.tables.place import Place
from factory.scaffold.plan import planned
from factory.scaffold.profiling.profiler import Asked, profiled
from factory.scaffold.readme_file import decisions

SERVER, FILE = Place(kind="sql", at="postgresql://db/shop", table="loads"), Place(kind="csv", at="loads.csv")


def plan(folder, place, column="", late=False):
    days = [f"2024-{1 + row // 240:02d}-{1 + row % 240 // 10:02d} {row % 10:02d}:00:00" for row in range(600)]
    rows = [
        {"id": row, "left_at": day, "kg": f"{row % 97}.5", "late": None if late and row > 500 else row % 2}
        for row, day in enumerate(days)
    ]
    frame = pl.DataFrame(rows)
    if column:
        frame = frame.with_columns(pl.Series(column, days))
    frame.write_csv(folder / "loads.csv")
    return planned("loads", place, profiled(Asked(at="loads.csv", target="late", time="left_at"), folder), date.today())


@pytest.mark.parametrize("column", ["updated_at", "LastModified", "changed"])
@pytest.mark.parametrize("late", [True, False])
def test_of_a_server_a_column_that_tells_of_changes_is_proposed(column, late, tmp_path):
    made = plan(tmp_path, SERVER, column, late)
    assert made.changes["known_by"] == "change_column"
    assert made.profile.columns[made.changes["column"]].source_name == column
    assert any("Is it set with every change" in text for text in decisions(made))


def test_of_a_server_whose_outcomes_come_late_its_newest_days_are_read_again(tmp_path):
    assert plan(tmp_path, SERVER, late=True).changes["known_by"] == "look_back"


def test_of_a_server_of_which_nothing_is_known_the_readme_says_what_is_missed(tmp_path):
    made = plan(tmp_path, SERVER, "seen_at")
    assert made.changes == {}
    assert any("no column tells when a row changed" in text for text in decisions(made))


def test_a_file_is_compared_whole_whatever_its_columns(tmp_path):
    made = plan(tmp_path, FILE, "updated_at")
    assert made.changes == {}
    assert not any("Corrections" in text for text in decisions(made))
