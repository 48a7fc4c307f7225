"""The section `windows` of a line's features: what other tables' rows said before a decision, one line a feature.

errors_24h: {count: errors, within: 24h}
pressure_mean_3h: {mean: telemetry.pressure, within: 3h}
days_since_bearing: {days_since: maintenance, where: {component: bearing}}
age_days: {days_since: machines.installed_on}
is_a_press: {attribute: machines.kind, equals: press}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from factory.errors import LineError
from factory.line.lengths import length_of

Value = bool | int | float | str
OVER_ROWS = ("count", "sum", "mean", "std", "min", "max")
KINDS = (*OVER_ROWS, "last", "days_since", "hours_since", "attribute")
"""What a window can be; each names a table, or a table's column as `table.column`."""
_ARE = {
    "count": "Number of rows of {table}",
    "sum": "Sum of {column} in {table}",
    "mean": "Mean of {column} in {table}",
    "std": "Standard deviation of {column} in {table}",
    "min": "Smallest {column} in {table}",
    "max": "Largest {column} in {table}",
    "last": "Last {column} in {table}",
    "days_since": "Days since the last row of {table}",
    "hours_since": "Hours since the last row of {table}",
    "attribute": "{column} in {table}",
}


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which rows of a table count, by values of their columns."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    where: Mapping[str, Value | tuple[Value, ...]] = field(default_factory=dict)
    """Column → the value, or the values, that its rows have; without it all rows count."""
    by: Mapping[str, str] = field(default_factory=dict)
    """Column of the decision → column of the other table that says what its row is about; without it the columns of
    the features' entity, or else of their key, that both have."""

    def values(self, column: str) -> tuple[Value, ...]:
        """Return the values that a column of a row that counts may have."""
        said = self.where[column]
        return said if isinstance(said, tuple) else (said,)


@dataclass(frozen=True, kw_only=True)
class Window(Where):
    """One feature: what the rows of a table, from strictly before the decision, come to. Say one of the first ten."""

    count: str = ""
    """Number of a table's rows."""
    sum: str = ""
    """Sum of a column; 0, as the number is, where there is no row."""
    mean: str = ""
    """Mean of a column; unknown, as those that follow are, where there is no row."""
    std: str = ""
    """Standard deviation of a column; unknown with fewer than two values."""
    min: str = ""
    """Smallest value of a column."""
    max: str = ""
    """Largest value of a column."""
    last: str = ""
    """Last value of a column that is known."""
    days_since: str = ""
    """Days since a table's last row; of a table without cursor, since the day or moment in a column, as an age."""
    hours_since: str = ""
    """The same in hours."""
    attribute: str = ""
    """A column of a table without cursor, as of the machine that a decision is about."""
    within: str = ""
    """How far the window reaches back, such as `24h`; without it to the first row."""
    equals: Value | None = None
    """With `attribute` or `last`: 1 where the value is this one, else 0."""

    def __post_init__(self) -> None:
        """Raise LineError where it is not one feature."""
        said = [kind for kind in KINDS if getattr(self, kind)]
        if len(said) != 1:
            raise LineError(f"say exactly one of {', '.join(KINDS)}; found {', '.join(said) or 'none'}")
        _ = self.length
        if self.kind in OVER_ROWS and not self.within:
            raise LineError(f"{self.kind} needs `within`, how far it looks back, such as 24h", at=("within",))
        if self.kind in ("attribute", "days_since", "hours_since") and self.within:
            raise LineError(f"{self.kind} looks at one row, so it takes no `within`", at=("within",))
        if self.kind == "attribute" and self.where:
            raise LineError(
                "attribute is of the one row with the decision's key, so it takes no `where`", at=("where",)
            )
        if self.equals is not None and self.kind not in ("attribute", "last"):
            raise LineError(f"equals compares a value of `attribute` or `last`, not of {self.kind}", at=("equals",))
        if (not self.column) != (self.kind == "count") and self.kind not in ("days_since", "hours_since"):
            wanted = "a table" if self.kind == "count" else "a column, written as table.column"
            raise LineError(f"{self.kind} names {wanted}, not {self.named!r}", at=(self.kind,))

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return next(kind for kind in KINDS if getattr(self, kind))

    @property
    def named(self) -> str:
        """What it is of, as the line's file writes it."""
        return str(getattr(self, self.kind))

    @property
    def table(self) -> str:
        """The table it is of."""
        return self.named.partition(".")[0]

    @property
    def column(self) -> str:
        """The column it is of; empty where rows count as such."""
        return self.named.partition(".")[2]

    @property
    def length(self) -> timedelta | None:
        """How far it reaches back; None: to the first row."""
        return length_of(self.within, "within") if self.within else None

    @property
    def sentence(self) -> str:
        """A sentence about what it holds."""
        said = _ARE[self.kind].format(table=self.table, column=self.column)
        if self.column and self.kind.endswith("since"):
            said = f"{self.kind.partition('_')[0].capitalize()} since {self.column} in {self.table}"
        if self.where:
            said += f" where {', '.join(f'{name} is {_either(self.values(name))}' for name in self.where)}"
        if self.equals is not None:
            said = f"1 where it is {self.equals}: {said[0].lower()}{said[1:]}"
        reach = f" in the {self.within} before" if self.within else ""
        return f"{said}{reach}."

    @property
    def needs_last_of(self) -> bool:
        """Whether it depends on the newest row before, however old that is."""
        return self.kind in ("last", "days_since", "hours_since") and not self.within


def _either(values: tuple[Value, ...]) -> str:
    return " or ".join(map(str, values))
