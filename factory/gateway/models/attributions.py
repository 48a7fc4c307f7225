"""Which features moved an answer most: each in turn is taken at its typical value, and the answer's change is its part.

A request's rows come in; out go the rows that the model is asked beside them, and from its numbers each row's reasons.
Features that matter only together are each seen with the others as they are. Of a sequence it is the last step that is
changed.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any, TypedDict

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from factory.gateway.models.question import Beside
from factory.gateway.refusal import RequestRefused
from factory.model.session import Rows
from factory.release import Manifest
from factory.release.triton import MAX_BATCH

MAX_REASONS = 10


class Reason(TypedDict):
    """A feature that moved an answer."""

    feature: str
    value: Annotated[float | None, Meta(description="of a sequence, at its last step")]
    typical: Annotated[float, Meta(description="the median of the training rows")]
    moves: Annotated[float, Meta(description="the answer as it is, less the answer with the typical value")]


class Reasons:
    """The reasons of one request's answers, `most` a row."""

    def __init__(self, manifest: Manifest, values: Sequence[float | None], rows: int, most: int) -> None:
        """Take the request's values, flat. Raises RequestRefused (400) where the model would be asked too much."""
        typical = manifest.guard.typical
        places = [place for place, name in enumerate(manifest.features) if name in typical]
        _require_possible(manifest, rows, len(places))
        self._most = most
        self._names = [manifest.features[place] for place in places]
        self._typical = [typical[name] for name in self._names]
        self._leading = manifest.model_signature.answer_kind.leading
        size = manifest.model_signature.input_size
        columns = [size - len(manifest.features) + place for place in places]
        self._values = [[values[row * size + column] for column in columns] for row in range(rows)]
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and its question is refused later
            asked = np.asarray(values, np.float32).reshape(rows, size)
        changed = self._changed(asked, columns)
        self.beside = Beside(changed.reshape(-1, *manifest.model_signature.input_shape), np.empty(0, np.float32))

    def _changed(self, asked: Rows, columns: list[int]) -> Rows:
        """Return every row once for each feature, with that one at its typical value."""
        changed = np.repeat(asked[:, None], len(columns), axis=1)
        changed[:, np.arange(len(columns)), columns] = self._typical
        return changed

    def of(self, numbers: NDArray[np.float64]) -> list[list[Reason] | None]:
        """Return each row's reasons, the strongest first; None for a row without an answer.

        What is moved is the estimate, the probability, or that of the class which the row most likely is of.
        """
        rows = np.arange(len(numbers))
        column = self._leading(numbers)
        typical = self.beside.numbers.astype(np.float64).reshape(len(numbers), len(self._names), -1)
        moves = numbers[rows, column][:, None] - typical[rows, :, column]
        return [None if np.isnan(numbers[row]).any() else self._row(row, moves[row]) for row in range(len(numbers))]

    def _row(self, row: int, moves: NDArray[np.float64]) -> list[Reason]:
        """Return the features that moved the answer; not those that are typical, or whose part is no number."""
        strongest = np.argsort(-np.abs(moves), kind="stable")
        moved = (place for place in strongest if self._moved(row, place, moves[place]))
        return [self._reason(row, place, moves[place]) for place in islice(moved, self._most)]

    def _moved(self, row: int, place: Any, moves: float) -> bool:
        value = self._values[row][place]
        typical = value is not None and np.float32(value) == np.float32(self._typical[place])
        return bool(np.isfinite(moves) and moves != 0.0 and not typical)

    def _reason(self, row: int, place: Any, moves: float) -> Reason:
        value = self._values[row][place]
        return {
            "feature": self._names[place],
            "value": None if value is None else float(value),
            "typical": self._typical[place],
            "moves": float(moves),
        }


def _require_possible(manifest: Manifest, rows: int, features: int) -> None:
    """Raise RequestRefused (400) unless there are typical values, and one call takes all that is to be asked."""
    if not features:
        raise RequestRefused(
            400,
            f"version {manifest.version} was released without typical values, so it has no reasons; release it once "
            f"more: factory run {manifest.line} --sites {manifest.site}",
        )
    if rows * (1 + features) > MAX_BATCH:
        most = MAX_BATCH // (1 + features)
        raise RequestRefused(
            400,
            f"{rows} rows with reasons of {features} features ask the model {rows * (1 + features)} rows; the limit is "
            f"{MAX_BATCH}: " + (f"send at most {most} rows, or ask without reasons" if most else "ask without reasons"),
        )
