"""The made-up company: its tables are what they say, its truth is calibrated, and its line builds its features."""

from datetime import UTC, datetime

import polars as pl
import pytest

from factory.line.file import LineFile
from factory.storage.project import project_root
from lines.machine_failures.simulator import HORIZON, PLANTS, TEST_BENCH, simulated
from lines.machine_failures.source import SimulatedPlants

FEW = {"Aachen": 9, "Graz": 4, "Linz": 2}
END = datetime(2025, 8, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def world():
    return simulated(plants=FEW, end=END)


def test_the_same_seed_makes_the_same_tables_and_a_later_end_only_more_of_them(world):
    again, later = simulated(plants=FEW, end=END), simulated(plants=FEW)
    for name, rows in world.tables.items():
        assert rows.equals(again.tables[name])
        assert rows.equals(later.tables[name].head(len(rows)))
    assert not world.tables["failures"].equals(simulated(seed=8, plants=FEW, end=END).tables["failures"])


def test_there_are_sixteen_plants_and_some_have_little():
    assert len(PLANTS) == 16
    assert max(PLANTS.values()) > 20 * min(PLANTS.values())


def test_the_tables_have_what_systems_get_wrong(world):
    telemetry, failures = world.tables["telemetry"], world.tables["failures"]
    assert telemetry.filter(pl.struct("machine_id", "read_at").is_duplicated()).height
    assert (telemetry["machine_id"] == TEST_BENCH).any()
    assert (failures["entered_at"] > failures["failed_at"]).all()


def test_failures_come_as_often_as_the_truth_says():
    rows = with_outcome(simulated(plants={"Aachen": 60}))
    bins = rows.with_columns(pl.col("probability").qcut(5, labels=list("abcde")).alias("bin"))
    for _, mean, came, count in (
        bins.group_by("bin").agg(pl.col("probability").mean().alias("p"), pl.col("came").mean(), pl.len()).iter_rows()
    ):
        assert came == pytest.approx(mean, abs=4 * (mean * (1 - mean) / (count / 28)) ** 0.5 + 0.01)


def with_outcome(world):
    """Return the truth of machines in service, and whether a failure came within the horizon."""
    failures = world.tables["failures"].select("machine_id", pl.col("failed_at").alias("next")).sort("next")
    machines = world.tables["machines"].select("machine_id", "installed_on", "retired_on")
    day = pl.col("decided_at").dt.date()
    truth = world.truth.join(machines, on="machine_id").filter(
        day >= pl.col("installed_on"), (day < pl.col("retired_on")).fill_null(value=True)
    )
    rows = truth.sort("machine_id", "decided_at").join_asof(
        failures, left_on="decided_at", right_on="next", by="machine_id", strategy="forward", check_sortedness=False
    )
    came = (pl.col("next") - pl.col("decided_at") < HORIZON).fill_null(value=False)
    return rows.with_columns(came.cast(pl.Float64).alias("came"))


def test_the_lines_file_builds_features_of_each_machine_in_service_each_morning(world):
    file = LineFile(project_root() / "lines" / "machine_failures" / "defs.yaml")
    line = file.line(file.sections())
    assert line.decisions.key == ("machine_id", "due_at")
    tables = {name: rows.lazy() for name, rows in world.tables.items()}
    old = world.tables["machines"].filter(pl.col("plant") == "Graz").sort("installed_on")["machine_id"][0]
    machine = pl.DataFrame({"machine_id": [old] * 2, "plant": "Graz", "site": "Graz"})
    moments = [datetime(2025, 7, 1, 6, tzinfo=UTC), datetime(2025, 7, 2, 6, tzinfo=UTC)]
    mornings = machine.with_columns(pl.Series("due_at", moments, pl.Datetime("us", "UTC")))
    rows = line.features.build({**tables, "mornings": mornings.lazy()}).collect()
    assert rows.columns == ["site", "machine_id", "due_at", "decided_at", "label", *line.features.columns]
    read = world.tables["telemetry"].filter(
        pl.col("machine_id") == old, pl.col("read_at") < moments[0], pl.col("read_at") >= moments[0] - HORIZON
    )
    assert rows["vibration_7d"][0] == pytest.approx(read["vibration_mm_s"].mean(), rel=1e-5)
    assert rows["label"].is_in([0.0, 1.0]).all()


def test_its_source_writes_the_tables_once_and_reads_them_as_files(tmp_path):
    folder = SimulatedPlants(tmp_path, plants=FEW).folder
    state = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert SimulatedPlants(tmp_path, plants=FEW).folder == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == state
    assert pl.read_parquet(folder / "failures.parquet").columns == [
        "failure_id", "machine_id", "component", "failed_at", "entered_at",
    ]  # fmt: skip
