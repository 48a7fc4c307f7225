"""The shipped plans translate to the GPU engine whole; no device is needed to know it."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml

from factory.data.cleaning import judging_plan
from factory.data.contract.compiler import compile_contract
from factory.line.expectation import Expectation
from lines.departure_delay.features import KEY, build
from tests.lines.departures import COLUMNS, REPAIRS, january, raw, table

SUITES = Path(__file__).resolve().parents[2] / "lines" / "departure_delay" / "contracts"
KEYS = {"flights": KEY, "weather": ("origin", "time_hour"), "planes": ("tailnum",)}

cudf_polars = pytest.importorskip("cudf_polars", reason="the GPU frame engine is in the extras gpu-cu12 and gpu-cu13")


def gpu_plan_errors(plan: pl.LazyFrame) -> list[str]:
    """Return why a plan would fall back to the CPU. Private API of two libraries, kept here and nowhere else."""
    translator = cudf_polars.Translator(plan._ldf.visit(), pl.GPUEngine(executor="in-memory"))
    translator.translate_ir()
    return [str(error) for error in translator.errors]


@pytest.mark.parametrize("name", ["flights", "weather", "planes"])
def test_each_repair_runs_on_the_gpu_engine(name: str) -> None:
    assert gpu_plan_errors(REPAIRS[name](raw(name).head(10).lazy())) == []


def test_the_features_run_on_the_gpu_engine() -> None:
    assert gpu_plan_errors(build({name: rows.lazy() for name, rows in january().items()})) == []


@pytest.mark.parametrize("name", ["flights", "weather", "planes"])
def test_each_contract_runs_on_the_gpu_engine(name: str) -> None:
    suite = yaml.safe_load((SUITES / f"{name}.yaml").read_text())["expectations"]
    contract = compile_contract([Expectation(**entry) for entry in suite], columns=COLUMNS[name], place=name)
    one = pl.lit(1, pl.Int64)
    rows = raw(name).head(10).lazy().with_columns(site=pl.lit("UA"), _load=one, _row=one)
    judged = judging_plan(rows, replace(table(name), key=KEYS[name]), contract)
    assert gpu_plan_errors(judged) == []
    assert gpu_plan_errors(contract.measure(judged)) == []


def test_what_cannot_run_there_is_reported() -> None:
    assert gpu_plan_errors(pl.LazyFrame({"a": [1.0, None]}).select(pl.col("a").interpolate())) != []
