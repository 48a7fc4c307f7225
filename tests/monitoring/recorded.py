"""Recorded batches and segments, made by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from factory.monitoring.prediction_log.files import MAGIC, RecordedBatch, framed

AT = 1_700_000_000.0
NAN = float("nan")


def batch(*names: str, answers: Sequence[Sequence[float]] = (), **changed: Any) -> RecordedBatch:
    """A batch with a question of one row for each name, unless `rows` says how many each has."""
    rows = changed.pop("rows", [1] * len(names))
    inputs = changed.pop("inputs", [[float(place), NAN, 3.0] for place in range(sum(rows))])
    numbers = answers or [[0.25]] * sum(rows)
    failed = bool(changed.get("error"))
    parts = {
        "at": AT,
        "line": "toy",
        "site": "UA",
        "version": 3,
        "digest": "d" * 64,
        "ids": list(names),
        "keys": [""] * len(names),
        "rows": rows,
        "input_shape": np.shape(inputs)[1:],
        "values": b"" if failed else np.array(inputs, "<f4").tobytes(),
        "answers": b"" if failed else np.array(numbers, "<f4").tobytes(),
        "took_s": 0.002,
    }
    return RecordedBatch(**{**parts, **changed})


def segment(folder: Path, name: str, *batches: RecordedBatch) -> Path:
    """Write a segment with these batches, or add them to one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / name
    before = place.read_bytes() if place.exists() else MAGIC
    place.write_bytes(before + b"".join(framed(one) for one in batches))
    return place
