"""The shape of each column: its type, and how its dates and missing values are written; one pass over raw batches.

What a text may be is found by striking out: a reading stays only while every value of every batch can be read so. A
column that no reading fits is text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from factory.line.parsing import Parse, value_of
from factory.line.parsing.moments import EPOCHS, FORMATS, YEAR, moment_of, swapped

MISSING = ("NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", "None", "?", "-", "--", ".", "#N/A")
"""Texts that stand for a missing value where all others of the column are numbers or dates."""

TIME_NAME = re.compile(
    r"(^|_)(time|date|day|timestamp|ts|at|when|epoch|year|month)(_|$)|(?<=[a-z])(At|Time|Date)$", re.I
)
_LEADING_ZERO = r"^[+-]?0\d"
_FIRST_LOOK = 200
_EPOCH_RANGES = {"epoch_s": (1e8, 4e9), "epoch_ms": (1e11, 4e12), "epoch_us": (1e14, 4e15)}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a column is to be read: its type by Polars' name, and its format where it holds dates."""

    kind: str
    format: str = ""
    also: str = ""
    """Another format that reads every value too: day and month cannot be told apart."""


@dataclass(kw_only=True)
class _Range:
    low: float = float("inf")
    high: float = float("-inf")

    def see(self, values: pl.Series) -> None:
        known = values.drop_nulls()
        if len(known):
            self.low, self.high = min(self.low, float(known.min())), max(self.high, float(known.max()))  # type: ignore[arg-type]  # numbers


@dataclass(kw_only=True)
class _Text:
    """The readings still possible of a column of texts."""

    parse: Parse
    kinds: list[str] = field(default_factory=lambda: ["Int64", "Float64", "Boolean"])
    formats: list[str] = field(default_factory=lambda: list(FORMATS))
    met: bool = False
    missing: set[str] = field(default_factory=set)
    range: _Range = field(default_factory=_Range)

    def see(self, values: pl.Series) -> None:
        """Strike out what cannot read one of the values."""
        texts = values.drop_nulls().unique().sort()
        stripped = texts.str.strip_chars()
        self.missing |= set(texts.filter(stripped.is_in([*MISSING, ""])).to_list())
        texts = texts.filter(~stripped.is_in([*MISSING, ""]))
        if not len(texts):
            return
        for look in (texts.head(_FIRST_LOOK) if not self.met else None, texts):
            if look is not None:
                self._strike(look)
        self.met = True
        if "Int64" in self.kinds or "Float64" in self.kinds:
            self.range.see(texts.str.strip_chars().cast(pl.Float64, strict=False))

    def _strike(self, texts: pl.Series) -> None:
        if texts.str.strip_chars().str.contains(_LEADING_ZERO).any():  # 007 is a name, not the number 7
            self.kinds = [kind for kind in self.kinds if kind == "Boolean"]
        self.kinds = [kind for kind in self.kinds if _reads(texts, kind, self.parse)]
        if "Int64" in self.kinds or "Float64" in self.kinds:  # 20240131 is a number until someone says it is a date
            self.formats = []
        self.formats = [name for name in self.formats if not texts.to_frame("").select(_unread(name)).item()]

    def shape(self) -> Shape:
        """Return what is left: a date before a number, a number before a text."""
        if self.met and self.formats:
            also = next((name for name in self.formats if name == swapped(self.formats[0])), "")
            return Shape(kind=_moment_kind(self.formats[0]), format=self.formats[0], also=also)
        return Shape(kind=self.kinds[0] if self.kinds and self.met else "String")


def _reads(texts: pl.Series, kind: str, parse: Parse) -> bool:
    read = value_of(pl.col(""), pl.String(), "", kind, parse).alias("read")
    return not texts.to_frame("").select(read)["read"].has_nulls()


def _unread(format_: str) -> pl.Expr:
    return moment_of(pl.col(""), pl.String(), format_).is_null().any()


def _moment_kind(format_: str) -> str:
    return "Datetime[us, UTC]" if "%H" in format_ or "%I" in format_ or format_ in EPOCHS else "Date"


def shapes_of(
    schema: Mapping[str, pl.DataType], batches: Iterable[pl.DataFrame], *, time: str, parse: Parse
) -> tuple[dict[str, Shape], dict[str, tuple[str, ...]]]:
    """Return each column's shape, and its texts that stand for a missing value. `time` must hold moments if it can."""
    texts = {name: _Text(parse=parse) for name, dtype in schema.items() if dtype == pl.String}
    numbers = {name: _Range() for name, dtype in schema.items() if dtype.is_numeric()}
    for batch in batches:
        for name, text in texts.items():
            text.see(batch[name])
        for name, range_ in numbers.items():
            range_.see(batch[name])
    shapes = {name: _shape(dtype, texts.get(name)) for name, dtype in schema.items()}
    for name, range_ in {**numbers, **{name: text.range for name, text in texts.items()}}.items():
        if name == time or TIME_NAME.search(name):
            shapes[name] = _counted(shapes[name], range_, asked=name == time)
    missing = {name: tuple(sorted(text.missing)) for name, text in texts.items() if shapes[name].kind != "String"}
    return shapes, {name: tokens for name, tokens in missing.items() if tokens}


def _shape(dtype: pl.DataType, text: _Text | None) -> Shape:
    if text is not None:
        return text.shape()
    if isinstance(dtype, pl.Datetime):
        return Shape(kind="Datetime[us, UTC]")
    if dtype in (pl.Boolean, pl.Date):
        return Shape(kind=str(dtype))
    if dtype.is_numeric() or isinstance(dtype, pl.Duration):
        return Shape(kind="Int64" if dtype.is_integer() else "Float64")
    return Shape(kind="String")  # a category, a time of day, nothing at all


def _counted(shape: Shape, range_: _Range, *, asked: bool) -> Shape:
    """Return the shape of a column of numbers that count time, if they are such; years and days only when asked."""
    if shape.kind not in ("Int64", "Float64"):
        return shape
    low, high = range_.low, range_.high
    for format_, (least, most) in _EPOCH_RANGES.items():
        if least <= low and high <= most:
            return Shape(kind="Datetime[us, UTC]", format=format_)
    if asked and low >= 19000101 and high <= 21001231 and shape.kind == "Int64":
        return Shape(kind="Date", format="%Y%m%d")
    if asked and low >= 1000 and high <= 3000:
        return Shape(kind="Date", format=YEAR)
    return shape
