"""A table's columns as a row condition speaks of them, and what it means to compare one with another or a constant."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import polars as pl

from factory.data.contract.kwargs import Types, column_of, moment

COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": eq,
    "=": eq,
    "!=": ne,
    "<>": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    dtype: pl.DataType

    @property
    def value(self) -> pl.Expr:
        """The column's values; NaN is none."""
        return pl.col(self.name).fill_nan(None) if self.dtype.is_float() else pl.col(self.name)

    def missing(self) -> pl.Expr:
        """Return whether there is no value."""
        return self.value.is_null()


class Columns:
    """A table's columns, and what comparing them means."""

    def __init__(self, types: Types, *, two_valued: bool) -> None:
        self.types = types
        self.two_valued = two_valued
        self.used: dict[str, None] = {}

    def named(self, name: object) -> Column:
        """Return the column of a name, which is looked at from now on; raises ValueError or TypeError."""
        column = column_of({"column": name}, self.types)
        self.used[column] = None
        return Column(column, self.types[column])

    def compared(self, left: object, sign: str, right: object) -> pl.Expr:
        """Return whether a column compares so with another or with a constant."""
        if not isinstance(left, Column):
            left, sign, right = right, _TURNED.get(sign, sign), left
        if not isinstance(left, Column):
            raise ValueError(f"{_shown(right)} {sign} {_shown(left)} compares no column")
        if isinstance(right, list):
            if COMPARE[sign] not in (eq, ne):
                raise ValueError(f"{sign} compares with one value, not with a list")
            return self.among(left, right, wanted=COMPARE[sign] is eq)
        if right is None:
            raise ValueError(f"a missing value is neither equal nor greater; write {left.name}.isnull()")
        if isinstance(right, pl.Expr):
            raise ValueError("a condition is compared with a column; put `and` or `or` between them")
        other = right.value if isinstance(right, Column) else _fitting(right, left)
        return self._known(COMPARE[sign](left.value, other), differs=COMPARE[sign] is ne)

    def among(self, column: object, values: object, *, wanted: bool) -> pl.Expr:
        """Return whether a column's value is one of a list, or none of it."""
        if not isinstance(column, Column) or not isinstance(values, list | tuple):
            raise ValueError("`in` needs a column before it and a list of constants after it")
        fitting = [_fitting(value, column) for value in values if value is not None]
        inside = column.value.is_in(pl.Series(fitting, dtype=column.dtype).implode())
        return self._known(inside if wanted else ~inside, differs=not wanted)

    def _known(self, holds: pl.Expr, *, differs: bool) -> pl.Expr:
        return holds.fill_null(value=differs) if self.two_valued else holds


def _fitting(value: Any, column: Column) -> Any:
    """Return a constant as the column's type has it."""
    fits = {bool: column.dtype == pl.Boolean, str: not (column.dtype.is_numeric() or column.dtype == pl.Boolean)}
    if not fits.get(type(value), column.dtype.is_numeric()):
        raise TypeError(f"{value!r} is compared with {column.name}, which is {column.dtype}")
    return moment(value, column.dtype)


def _shown(value: object) -> str:
    return "a condition" if isinstance(value, pl.Expr) else repr(value)
