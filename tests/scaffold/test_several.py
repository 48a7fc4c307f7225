"""A line is made of several tables: how they are joined is found, what cannot be known is refused, the file loads."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from factory.cli.new import app
from factory.data.contract.compiler import compile_contract
from factory.errors import LineError
from factory.line.file import LineFile
from factory.scaffold.profiling.counting import Distinct
from factory.scaffold.several.asked import AskedOfTables
from factory.scaffold.several.new_line import new_line_of_tables
from lines.machine_failures.simulator import write
from tests.scaffold.lines import TODAY, project

PLANTS = {"Aachen": 30, "Graz": 12, "Linz": 2}
END = datetime(2025, 7, 1, tzinfo=UTC)
TABLES = ("machines", "telemetry", "errors", "maintenance", "failures")


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """Return a project with the made-up company's tables in several kinds of files."""
    root = project(tmp_path_factory.mktemp("plant"))
    write(root, plants=PLANTS, end=END)
    for name in ("machines", "failures"):
        pl.read_parquet(root / f"{name}.parquet").write_csv(root / f"{name}.csv")
    return root


def made(root, name, ask=None, tables=TABLES, **said):
    places = {one: str(root / f"{one}.{'csv' if one in ('machines', 'failures') else 'parquet'}") for one in tables}
    asked = AskedOfTables(tables=places, **said)
    return new_line_of_tables(name, asked, root, TODAY, ask) if ask else new_line_of_tables(name, asked, root, TODAY)


def line_of(written):
    file = LineFile(written.folder / "defs.yaml")
    return file.line(file.sections())


def test_keys_joins_moments_and_site_are_found(plant):
    written = made(plant, "found", event="failures", horizon="7d")
    plan = written.plan
    assert (plan.of, plan.entity, plan.site) == ("machines", ("machine_id",), "plant")
    assert {name: table.key for name, table in plan.tables.items()} == {
        "machines": ("machine_id",),
        "telemetry": ("machine_id", "read_at"),
        "errors": ("error_no",),
        "maintenance": ("order_id",),
        "failures": ("failure_id",),
    }
    assert all(table.join.is_sure for name, table in plan.tables.items() if name != "machines")
    assert plan.tables["failures"].known_at == {"entered_at": ["machine_id", "component"]}
    assert plan.calendar["since"] == "installed_on"
    assert plan.calendar["until"] == "retired_on"
    assert line_of(written).tables["machines"].known_at == {"retired_on": ("retired_on",)}


def test_the_file_loads_and_its_features_are_those_of_the_rows(plant):
    written = made(plant, "loads", event="failures", horizon="7d", at="06:00")
    line = line_of(written)
    tables = {name: pl.read_parquet(plant / f"{name}.parquet") for name in TABLES}
    machine = tables["machines"].sort("installed_on")["machine_id"][0]
    moment = datetime(2025, 5, 2, 6, tzinfo=UTC)
    decision = pl.DataFrame({"machine_id": [machine], "plant": ["Aachen"], "site": ["aachen"]}).with_columns(
        due_at=pl.lit(moment, pl.Datetime("us", "UTC"))
    )
    clean = {name: rows.lazy() for name, rows in tables.items()}
    row = line.features.build({**clean, line.decision_table: decision.lazy()}).collect().row(0, named=True)
    read = tables["telemetry"].filter(
        pl.col("machine_id") == machine, pl.col("read_at").is_between(moment - timedelta(days=7), moment, closed="left")
    )
    failed = tables["failures"].filter(
        pl.col("machine_id") == machine,
        pl.col("failed_at").is_between(moment, moment + timedelta(days=7), closed="left"),
    )
    assert row["vibration_mm_s_mean_7d"] == pytest.approx(read["vibration_mm_s"].mean(), rel=1e-5)
    assert row["label"] == float(len(failed) > 0)
    assert set(line.features.columns) == set(written.plan.windows)


def test_a_contract_takes_things_that_were_not_seen_yet(plant):
    line = line_of(made(plant, "contracts", event="failures", horizon="7d"))
    for name in TABLES:
        table = line.tables[name]
        compile_contract(table.contract, columns=table.columns, place="contract")
        kinds = {one.type for one in table.contract if one.kwargs.get("column") == "machine_id"}
        assert kinds == {"expect_column_values_to_not_be_null"}


def test_what_tables_do_not_say_is_refused_with_what_to_write(plant):
    with pytest.raises(LineError, match="say --event telemetry or --event errors"):
        made(plant, "refused")
    with pytest.raises(LineError, match="--horizon"):
        made(plant, "refused", event="failures")
    with pytest.raises(LineError, match="did you mean 'failures'"):
        made(plant, "refused", event="failure", horizon="7d")
    with pytest.raises(LineError, match="table of the things"):
        made(plant, "refused", event="failures", horizon="7d", tables=("telemetry", "failures"))
    assert not (plant / "lines" / "refused").exists()


def test_it_is_asked_where_there_is_somebody(plant):
    answers = {"event": "failures", "horizon": "3d"}
    written = made(plant, "asked", ask=lambda question: answers[question.flag])
    assert line_of(written).label.event == "failures"
    assert written.plan.horizon == "3d"


def test_other_names_of_the_key_are_found_by_values_and_said_as_not_sure(tmp_path):
    root = project(tmp_path)
    ids = [f"K{number:03d}" for number in range(40)]
    pl.DataFrame(
        {"customer": ids, "region": ["n", "s"] * 20, "signed up": [date(2024, 1, 1), date(2024, 5, 1)] * 20}
    ).write_csv(root / "customers.csv")
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(200)]
    calls = pl.DataFrame({"who": (ids * 5), "called_at": days})
    calls.write_csv(root / "calls.csv")
    pl.DataFrame({"word": ["a", "b", "c"]}).write_csv(root / "words.csv")
    places = {name: str(root / f"{name}.csv") for name in ("customers", "calls", "words")}
    written = new_line_of_tables("calls_ahead", AskedOfTables(tables=places, horizon="7d"), root, TODAY)
    assert list(written.plan.left_out) == ["words"]
    readme = (written.folder / "README.md").read_text()
    assert "NOT SURE: calls.who is customers.customer" in readme
    assert "calls.called_at tells days without a time" in readme
    assert written.plan.calendar["since"] == "signed_up"
    line = line_of(written)
    assert line.label.by == {"customer": "who"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "plant"], "--target is not said of several tables"),
        (["--time", "failed_at"], "TABLE.COLUMN"),
        (["--time", "failure.failed_at"], "no table 'failure'"),
        (["--from", "other/machines.csv"], "two tables are called machines"),
    ],
)
def test_a_flag_that_says_nothing_is_refused(words, said, plant, monkeypatch):
    monkeypatch.chdir(plant)
    (plant / "other").mkdir(exist_ok=True)
    (plant / "other" / "machines.csv").write_bytes((plant / "machines.csv").read_bytes())
    tables = ["--from", "machines.csv", "--from", "failures.csv", "--horizon", "7d"]
    answer = CliRunner().invoke(app, ["line", "flags", *tables, *words], env={"COLUMNS": "300"})
    assert answer.exit_code == 2
    assert said in answer.output
    assert not (plant / "lines" / "flags").exists()


def test_a_table_is_called_as_it_is_said(plant, monkeypatch):
    monkeypatch.chdir(plant)
    tables = ["--from", "machines.csv", "--from", "breakdowns=failures.csv", "--horizon", "7d"]
    answer = CliRunner().invoke(app, ["line", "called", *tables, "--every", "8h", "--at", "06:00"])
    assert answer.exit_code == 0, answer.output
    file = LineFile(plant / "lines" / "called" / "defs.yaml")
    line = file.line(file.sections())
    assert line.label.event == "breakdowns"
    assert line.decisions.calendar.every == "8h"


def test_a_person_at_a_terminal_is_asked(plant):
    person, terminal = os.openpty()
    os.write(person, b"failures\n5d\n")
    words = ["--from", "machines.csv", "--from", "errors.parquet", "--from", "failures.csv"]
    command = [str(Path(sys.executable).with_name("factory")), "new", "line", "terminal", *words]
    done = subprocess.run(
        command, cwd=plant, stdin=terminal, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    os.close(person)
    os.close(terminal)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(errors, failures)" in done.stdout
    file = LineFile(plant / "lines" / "terminal" / "defs.yaml")
    assert file.line(file.sections()).label.horizon == "5d"


@pytest.mark.slow
def test_such_a_line_runs_to_its_models(plant, tmp_path):
    run("new", "project", "own", cwd=tmp_path)
    own = tmp_path / "own"
    tables = [option for name in TABLES for option in ("--from", str(plant / f"{name}.parquet"))]
    told = run("new", "line", "ahead", *tables, "--event", "failures", "--horizon", "7d", cwd=own)
    assert "telemetry.machine_id is machines.machine_id" in told
    ran = run("run", "ahead", "--home", str(tmp_path / "home"), cwd=own)
    assert "maybe a leak" not in ran
    assert "base_model: 1 done" in ran


def run(*words, cwd):
    """Run a command as a person does, with nobody at a terminal; return what it prints."""
    command = [str(Path(sys.executable).with_name("factory")), *words]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "COLUMNS": "200"}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


VALUES = st.lists(st.integers(0, 30), min_size=1, max_size=80)


@given(VALUES, VALUES, st.sampled_from([5, 1_000]))
def test_the_share_that_fits_is_that_of_the_rows(column, key, limit):
    column_counts, key_counts = Distinct(limit=1_000), Distinct(limit=limit)
    column_counts.see(pl.Series(column).hash(1, 2, 3, 4).to_numpy())
    key_counts.see(pl.Series(key).hash(1, 2, 3, 4).to_numpy())
    share = column_counts.share_in(key_counts)
    if key_counts.exact:
        assert share == pytest.approx(sum(value in key for value in column) / len(column))
    elif set(column) <= set(key):
        assert share in (0.0, 1.0)
