"""Invariant 10: the engine changes speed, not answers. Needs a device; its plans are translated without one elsewhere."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from factory.engine import FrameEngine, probed_engine
from lines.departure_delay import clean, features
from tests.lines import departures

pytestmark = pytest.mark.gpu
