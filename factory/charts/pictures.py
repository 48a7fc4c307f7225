"""Pictures as data: the values, a title, and a sentence on what they show. drawing.py draws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Form = Literal["whole", "figure", "brief", "percent", "eur", "signed"]
"""How numbers are written; see numbers.FORMS."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Points of one kind in a plane; `name` is written beside them, `low` and `high` are whiskers."""

    name: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    style: Literal["line", "dots", "both"] = "line"
    accent: bool = False


@dataclass(frozen=True, kw_only=True)
class ReferenceLine:
    """A line across the plane at one value of an axis, and what to write beside it."""

    at: float
    text: str
    axis: Literal["x", "y"] = "x"


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """A picture with two axes."""

    title: str
    says: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    references: Sequence[ReferenceLine] = ()
    diagonal: bool = False
    """Whether to draw where both axes are equal."""
    x_form: Form = "brief"
    y_form: Form = "brief"
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table of dots: a value with where it may lie, and a note at its end."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    accent: bool = False
    hint: str = ""
    """What the name stands for, shown when pointed at."""


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Values one below the other on a common scale, with their intervals."""

    title: str
    says: str
    rows: Sequence[Row]
    form: Form = "figure"
    reference: ReferenceLine | None = None
    """A value to compare all with."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Amounts one below the other, from zero."""

    title: str
    says: str
    rows: Sequence[Row]
    form: Form = "whole"


@dataclass(frozen=True, kw_only=True, eq=False)
class Matrix:
    """How often each of the names at the side was taken for each of those at the top; `[names, names]` counts."""

    title: str
    says: str
    names: Sequence[str]
    counts: npt.NDArray[np.int64]


Picture = Plane | Dots | Bars | Matrix


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What a task shows of a model on the holdout."""

    says: str
    """How good the model is, as half a sentence for an operations manager: `off by 12.4 on average`."""
    pictures: tuple[Picture, ...]
    caution: str = ""
    """What to bear in mind when the headline is compared between parts of the rows, as a sentence."""
