"""What kind of answer a target asks for: two classes, several, or a number."""

from dataclasses import dataclass
from typing import Any, Literal

from factory.errors import SourceError
from factory.scaffold.profiling.counting import Counts

Kind = Literal["binary", "multiclass", "regression"]
KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")
MOST_CLASSES = 300
"""A model of more classes is no table's business any more: its trees alone are as many a round."""
MANY_CLASSES = 50
"""From so many classes on training is slow, and the line's README says what."""
_CLASS_ROWS = 5
_WHOLE_CLASSES = 10
"""A column of whole numbers with more different ones is a quantity."""
_RARE_COUNT = 0.25
"""Of a count the greatest value has at most this share of the rows of the commonest."""
_YES = frozenset(
    {"true", "yes", "y", "t", "1", "positive", "pos", "bad", "fail", "failed", "fraud", "spam", "churn", "ja", "oui"}
)
_NO_OF = {"1": ("0", "-1"), "y": ("n",), "t": ("f",)}
"""A single sign says yes only beside its no: the 1 of 1 and 2 does not."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """The kind of answer, why it was taken for that, and the classes as texts; of two the second is the positive."""

    kind: Kind
    why: str
    classes: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    """The classes as the column holds them."""
    unsure: str = ""
    """What was taken for granted though the data do not say it, as a sentence with the option that says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The column to be told, and what a person said of it; empty where nothing was said."""

    column: str
    task: str = ""
    positive: str = ""

    def __post_init__(self) -> None:
        """Raise SourceError on a kind of task that there is not."""
        if self.task and self.task not in KINDS:
            raise SourceError(f"--task {self.task!r}: there are {', '.join(KINDS)}")
        if self.positive and self.task in ("multiclass", "regression"):
            raise SourceError(f"--positive names the yes of two values; a {self.task} line has none: leave one out")


def task_of(target: Target, kind: str, counts: Counts) -> Task:
    """Return a target's task: as it was asked for, or as type and values propose.

    `kind` is the column's Polars type. Raises SourceError where the values are of no use for it.
    """
    _require_values(target, kind, counts)
    proposed = target.task or ("binary" if target.positive else _proposed(target, kind, counts))
    if proposed == "binary":
        return _binary(target, counts)
    if proposed == "multiclass":
        return _multiclass(target, kind, counts)
    return _regression(target, kind, counts)


def _require_values(target: Target, kind: str, counts: Counts) -> None:
    if counts.rows == counts.nulls:
        raise SourceError(f"target {target.column!r} has no value in any of {counts.rows} rows; choose another column")
    if counts.values is not None and len(counts.values) == 1:
        only = next(iter(counts.values))
        raise SourceError(
            f"target {target.column!r} has one class: all {counts.rows - counts.nulls} known values are {only!r}; "
            "a model needs two to tell apart: choose another column, or a table with both"
        )
    if kind.startswith("Date"):
        raise SourceError(f"target {target.column!r} holds dates; choose a number, a flag or a class")


def _proposed(target: Target, kind: str, counts: Counts) -> Kind:
    """Return what type and values propose where nobody said it."""
    if counts.values is not None and len(counts.values) == 2:
        return "binary"
    if kind == "String":
        if not _are_few(counts):
            raise SourceError(
                f"target {target.column!r} has {counts.distinct.count} different texts in {counts.rows} rows, neither "
                f"numbers nor at most {MOST_CLASSES} classes of some rows each; choose another column, or group its "
                "values first"
            )
        return "multiclass"
    are_classes = _few_whole_numbers(counts) and not _are_a_count(counts)
    return "multiclass" if are_classes else "regression"


def _are_few(counts: Counts) -> bool:
    """Return whether texts are few enough to be classes: names of persons or places come once or twice each."""
    classes, known = len(counts.values or ()), counts.rows - counts.nulls
    return 0 < classes <= MOST_CLASSES and (classes <= MANY_CLASSES or known >= _CLASS_ROWS * classes)


def _few_whole_numbers(counts: Counts) -> bool:
    values = counts.values
    return values is not None and len(values) <= _WHOLE_CLASSES and all(float(value).is_integer() for value in values)


def _are_a_count(counts: Counts) -> bool:
    """Return whether whole numbers look counted: from 0 on, none left out, rising to one peak and falling off after."""
    rows = [rows for _, rows in sorted((counts.values or {}).items())]
    if len(rows) < 4 or sorted(counts.values or {}) != list(range(len(rows))):
        return False
    peak = rows.index(max(rows))
    rises, falls = rows[: peak + 1], rows[peak:]
    return rises == sorted(rises) and falls == sorted(falls, reverse=True) and rows[-1] <= _RARE_COUNT * rows[peak]


def _binary(target: Target, counts: Counts) -> Task:
    values = counts.values or {}
    if len(values) != 2:
        raise SourceError(
            f"target {target.column!r} has {counts.distinct.count} different values, and a binary line tells two "
            "apart; ask for --task multiclass or regression, or make a column of two values first"
        )
    positive, how, sure = _positive(target, values)
    negative = next(value for value in values if value != positive)
    shown = f"two values, {negative!r} and {positive!r}"
    unsure = (
        f"neither {negative!r} nor {positive!r} of {target.column!r} says which one is the yes; {positive!r}, the "
        f"rarer, was taken for it. If it is the other, make the line again with --positive {class_name(negative)}"
    )
    return Task(
        kind="binary",
        why=f"{shown}; {positive!r} is taken for the positive one because {how}",
        classes=(class_name(negative), class_name(positive)),
        values=(negative, positive),
        unsure="" if sure else unsure,
    )


def _positive(target: Target, values: dict[Any, int]) -> tuple[Any, str, bool]:
    """Return the positive value, why it is taken for that, and whether that is sure."""
    names = {class_name(value): value for value in values}
    if target.positive:
        if target.positive not in names:
            raise SourceError(
                f"--positive: target {target.column!r} has no value {target.positive!r}; it has "
                f"{' and '.join(map(repr, sorted(names)))}"
            )
        return names[target.positive], "--positive says so", True
    says_yes = [name for name in names if name.lower() in _YES]
    if len(says_yes) == 1 and _is_clear(says_yes[0].lower(), [name.lower() for name in names]):
        return names[says_yes[0]], "it says so", True
    rarer = min(sorted(values, key=str, reverse=True), key=lambda value: values[value])
    return rarer, "it is the rarer one, and neither says which one is the yes", False


def _is_clear(yes: str, names: list[str]) -> bool:
    return yes not in _NO_OF or any(no in names for no in _NO_OF[yes])


def _multiclass(target: Target, kind: str, counts: Counts) -> Task:
    if counts.values is None or len(counts.values) > MOST_CLASSES:
        raise SourceError(
            f"target {target.column!r} has {counts.distinct.count} different values, and at most {MOST_CLASSES} "
            "classes can be told apart; group them first, or ask for --task regression where they are numbers"
        )
    values = tuple(sorted(counts.values, key=lambda value: (isinstance(value, str), value)))
    why, unsure = f"{len(values)} different values", ""
    if kind != "String" and not target.task:
        why = f"{len(values)} different whole numbers from {values[0]:g} to {values[-1]:g}, which are taken for classes"
        unsure = (
            f"the {len(values)} whole numbers of {target.column!r} were taken for names of classes. If they are "
            "amounts, make the line again with --task regression"
        )
    return Task(kind="multiclass", why=why, classes=tuple(map(class_name, values)), values=values, unsure=unsure)


def _regression(target: Target, kind: str, counts: Counts) -> Task:
    if kind in ("String", "Boolean"):
        raise SourceError(
            f"target {target.column!r} is {kind}, and a regression line estimates a number; choose another task or "
            "column"
        )
    why = f"{counts.distinct.count} different numbers from {counts.low} to {counts.high}"
    counted = not target.task and _few_whole_numbers(counts)
    unsure = (
        f"{target.column!r} looks like a count and is estimated as a number. If its values are names of classes, make "
        "the line again with --task multiclass"
    )
    return Task(
        kind="regression", why=f"{why}, which look like a count" if counted else why, unsure=unsure if counted else ""
    )


def class_name(value: Any) -> str:
    """Return a class as text: 3.0 is 3, True is true."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
