"""Invariant 10: the engine changes speed, not answers. Needs a device; the plans are translated without one."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from factory.compute.engine import FrameEngine, probed_engine
from lines.departure_delay.features import KEY, build
from tests.lines.departures import january

pytestmark = pytest.mark.gpu


@pytest.mark.skipif(probed_engine() != "gpu", reason="no CUDA device, or no gpu extra")
def test_features_are_the_same_on_both_engines() -> None:
    plan = build({name: rows.lazy() for name, rows in january().items()})
    here, there = (FrameEngine(engine).collect(plan).sort(KEY) for engine in ("cpu", "gpu"))
    assert isinstance(here, pl.DataFrame)
    assert_frame_equal(here, there, rel_tol=1e-5, abs_tol=1e-5)
