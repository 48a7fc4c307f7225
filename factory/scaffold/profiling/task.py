"""What kind of answer a target asks for: two classes, several, or a number."""

from dataclasses import dataclass
from typing import Any, Literal

from factory.errors import SourceError
from factory.scaffold.profiling.counting import Counts

Kind = Literal["binary", "multiclass", "regression"]
MOST_CLASSES = 50
_WHOLE_CLASSES = 10
"""A column of whole numbers with more different ones is a quantity."""
_YES = frozenset(
    {"true", "yes", "y", "t", "1", "positive", "pos", "bad", "fail", "failed", "fraud", "spam", "churn", "ja", "oui"}
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """The kind of answer, why it was taken for that, and the classes as texts; of two the second is the positive."""

    kind: Kind
    why: str
    classes: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    """The classes as the column holds them."""


def inferred_task(column: str, kind: str, counts: Counts) -> Task:
    """Return the task of a target; raises SourceError where it has no value, one, or values of no use."""
    if counts.rows == counts.nulls:
        raise SourceError(f"target {column!r} has no value in any of {counts.rows} rows; choose another column")
    if counts.values is not None and len(counts.values) == 1:
        only = next(iter(counts.values))
        raise SourceError(
            f"target {column!r} has one class: all {counts.rows - counts.nulls} known values are {only!r}; "
            "a model needs two to tell apart: choose another column, or a table with both"
        )
    if kind.startswith("Date"):
        raise SourceError(f"target {column!r} holds dates; choose a number, a flag or a class")
    if counts.values is not None and len(counts.values) == 2:
        return _binary(counts.values)
    if _are_classes(kind, counts):
        return _multiclass(counts)
    if kind == "String":
        raise SourceError(
            f"target {column!r} has {counts.distinct.count} different texts, which are neither numbers nor at most "
            f"{MOST_CLASSES} classes; choose another column"
        )
    return Task(kind="regression", why=f"{counts.distinct.count} different numbers from {counts.low} to {counts.high}")


def _are_classes(kind: str, counts: Counts) -> bool:
    if counts.values is None:
        return False
    if kind == "String":
        return len(counts.values) <= MOST_CLASSES
    whole = all(float(value).is_integer() for value in counts.values)
    return whole and len(counts.values) <= _WHOLE_CLASSES


def _binary(values: dict[Any, int]) -> Task:
    rarer_last = sorted(values, key=lambda value: (-values[value], str(value)))
    said_yes = [value for value in values if class_name(value).lower() in _YES]
    positive = said_yes[0] if len(said_yes) == 1 else rarer_last[-1]
    negative = next(value for value in values if value != positive)
    how = "it says so" if len(said_yes) == 1 else "it is the rarer one"
    return Task(
        kind="binary",
        why=f"two values, {negative!r} and {positive!r}; {positive!r} is taken for the positive one because {how}",
        classes=(class_name(negative), class_name(positive)),
        values=(negative, positive),
    )


def _multiclass(counts: Counts) -> Task:
    values = tuple(sorted(counts.values or (), key=lambda value: (isinstance(value, str), value)))
    classes = tuple(class_name(value) for value in values)
    return Task(kind="multiclass", why=f"{len(values)} different values", classes=classes, values=values)


def class_name(value: Any) -> str:
    """Return a class as text: 3.0 is 3, True is true."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
