"""The shipped plans translate to the GPU engine whole; no device is needed to know it."""

import polars as pl
import pytest

from lines.departure_delay.features import build
from tests.lines.departures import REPAIRS, january, raw

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


def test_what_cannot_run_there_is_reported() -> None:
    assert gpu_plan_errors(pl.LazyFrame({"a": [1.0, None]}).select(pl.col("a").interpolate())) != []
