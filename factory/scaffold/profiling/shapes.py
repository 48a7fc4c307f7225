"""The shape of each column: its type, and how its dates and missing values are written; one pass over raw batches.

What a text may be is found by striking out: a reading stays only while the values of every batch can be read so, but
for a few odd cells. A column that no reading fits is text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from factory.line.parsing import Parse, value_of
from factory.line.parsing.moments import ANY_ISO, EPOCHS, FORMATS, YEAR, moment_of, swapped

MISSING = ("NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", "None", "?", "-", "--", ".", "#N/A")
"""Texts that stand for a missing value where all others of the column are numbers or dates."""

TIME_NAME = re.compile(
    r"(^|_)(time|date|day|timestamp|ts|at|when|epoch|year|month)(_|$)|(?<=[a-z])(At|Time|Date)$", re.I
)
_LEADING_ZERO = r"^[+-]?0\d"
_FIRST_LOOK = 200
_FIRST_LOOK_ODD = 0.1
_ODD_SHARE, _ODD_ROWS = 0.005, 20
"""Of at least so many rows one, or such a share, may be odd cells, which make no column of numbers one of texts."""
_KINDS = ("Int64", "Float64", "Boolean")
_EPOCH_RANGES = {"epoch_s": (1e8, 4e9), "epoch_ms": (1e11, 4e12), "epoch_us": (1e14, 4e15)}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a column is to be read: its type by Polars' name, and its format where it holds dates."""

    kind: str
    format: str = ""
    also: str = ""
    """Another format that reads every value too: day and month cannot be told apart."""
    unread: int = 0
    """Rows whose value cannot be read so: they will wait in quarantine."""
    example: str = ""
    """One of those values."""


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
    """The readings still possible of a column of texts: each with how many rows it cannot read, and an example."""

    is_unread: Mapping[str, pl.Expr]
    """Of each reading, whether it cannot read `text`. One for all columns, as making a hundred takes long."""
    unread: dict[str, tuple[int, str]] = field(default_factory=lambda: dict.fromkeys((*_KINDS, *FORMATS), (0, "")))
    rows: int = 0
    names: int = 0
    """Rows whose number begins with 0: 007 is a name, not the number 7."""
    missing: set[str] = field(default_factory=set)
    range: _Range = field(default_factory=_Range)

    def see(self, values: pl.Series) -> None:
        """Strike out what cannot read one of the values."""
        counts = values.drop_nulls().alias("text").value_counts(sort=False).sort("text")
        is_missing = counts["text"].str.strip_chars().is_in([*MISSING, ""])
        self.missing |= set(counts["text"].filter(is_missing).to_list())
        counts = counts.filter(~is_missing)
        if not len(counts):
            return
        first_look = self.rows == 0
        self.names += self._rows(counts, pl.col("text").str.strip_chars().str.contains(_LEADING_ZERO))
        self.rows += int(counts["count"].sum())
        if first_look:
            self._strike(counts.head(_FIRST_LOOK), keep=False)
        if self.unread:
            self._strike(counts, keep=True)
        if self.kinds:
            self.range.see(counts["text"].str.strip_chars().cast(pl.Float64, strict=False))

    @property
    def kinds(self) -> list[str]:
        """The types that fit, that which reads most first."""
        fits = [kind for kind in _KINDS if kind in self.unread and not (kind != "Boolean" and self._odd(self.names))]
        return sorted(fits, key=lambda kind: self.unread[kind][0])

    @property
    def formats(self) -> list[str]:
        """The ways to write a date that fit, that which reads most first; 20240131 is a number until told otherwise."""
        if {"Int64", "Float64"} & set(self.kinds):
            return []
        return sorted((name for name in self.unread if name not in _KINDS), key=lambda name: self.unread[name][0])

    def shape(self) -> Shape:
        """Return what is left: a date before a number, a number before a text."""
        formats, kinds = self.formats, self.kinds
        if self.rows and formats:
            also = next((name for name in formats if name == swapped(formats[0])), "")
            rows, example = self.unread[formats[0]]
            return Shape(kind=_moment_kind(formats[0]), format=formats[0], also=also, unread=rows, example=example)
        if not kinds or not self.rows:
            return Shape(kind="String")
        rows, example = self.unread[kinds[0]]
        return Shape(kind=kinds[0], unread=rows, example=example)

    def _strike(self, counts: pl.DataFrame, *, keep: bool) -> None:
        """Count what each reading cannot read, and strike those out that cannot read too much; `keep` the counts."""
        possible = list(self.unread.items())
        rows_unread = counts.select(
            pl.col("count").filter(self.is_unread[name]).sum().alias(name) for name, _ in possible
        )
        for (name, (before, example)), more in zip(possible, rows_unread.row(0), strict=True):
            rows = before + more
            if self._odd(rows) and (keep or rows > _FIRST_LOOK_ODD * len(counts)):
                del self.unread[name]
            elif keep:
                new = str(counts.filter(self.is_unread[name])["text"][0]) if more and not example else ""
                self.unread[name] = rows, example or new

    def _odd(self, rows: int) -> bool:
        """Whether so many rows are too many for a few odd cells."""
        return rows > (max(1, _ODD_SHARE * self.rows) if self.rows >= _ODD_ROWS else 0)

    @staticmethod
    def _rows(counts: pl.DataFrame, which: pl.Expr) -> int:
        return int(counts.filter(which)["count"].sum())


def _unread(name: str, parse: Parse) -> pl.Expr:
    """Return whether a type or a format cannot read the texts of the column `text`."""
    text, is_kind = pl.col("text"), name in _KINDS
    read = value_of(text, pl.String(), "", name, parse) if is_kind else moment_of(text, pl.String(), name)
    return read.is_null()


def _moment_kind(format_: str) -> str:
    has_clock = "%H" in format_ or "%I" in format_ or format_ in (*EPOCHS, ANY_ISO)
    return "Datetime[us, UTC]" if has_clock else "Date"


def shapes_of(
    schema: Mapping[str, pl.DataType], batches: Iterable[pl.DataFrame], *, time: str, parse: Parse
) -> tuple[dict[str, Shape], dict[str, tuple[str, ...]]]:
    """Return each column's shape, and its texts that stand for a missing value. `time` must hold moments if it can."""
    is_unread = {name: _unread(name, parse) for name in (*_KINDS, *FORMATS)}
    texts = {name: _Text(is_unread=is_unread) for name, dtype in schema.items() if dtype == pl.String}
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
