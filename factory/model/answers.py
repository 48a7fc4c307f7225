"""How an answer of each kind of task is read: what is decided on it, and which of its numbers is the one decided by.

A table light enough for the gateway to import; training and gates use the task itself, `factory.tasks`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Decision = bool | str | float | None


@dataclass(frozen=True, kw_only=True)
class AnswerKind:
    """How answers of one kind of task are read."""

    decision: Callable[[Numbers, float, Sequence[str]], Decision]
    """One row's answer `[answers]`, the threshold and the answers' names in; what the line does with it out."""
    leading: Callable[[Numbers], npt.NDArray[np.intp]]
    """Answers `[rows, answers]` in; the column that each row is decided by, `[rows]`, out."""
    decides_among_few: bool
    """Whether equal decisions can be counted; decisions that are numbers are hardly ever equal."""


def _act(answer: Numbers, threshold: float, names: Sequence[str]) -> bool:
    """Return whether to act."""
    del names
    return bool(answer[0] >= threshold)


def _class_or_person(answer: Numbers, threshold: float, names: Sequence[str]) -> str | None:
    """Return the class, or None for a person to decide."""
    best = int(answer.argmax())
    return names[best] if answer[best] >= threshold else None


def _number_to_act_on(answer: Numbers, threshold: float, names: Sequence[str]) -> float:
    """Return the estimate less the margin that the line's money chose."""
    del names
    return float(answer[0]) - threshold


def _first(answers: Numbers) -> npt.NDArray[np.intp]:
    return np.zeros(len(answers), np.intp)


def _likeliest(answers: Numbers) -> npt.NDArray[np.intp]:
    column: npt.NDArray[np.intp] = answers.argmax(axis=1)
    return column


ANSWER_KINDS: Mapping[str, AnswerKind] = {
    "binary": AnswerKind(decision=_act, leading=_first, decides_among_few=True),
    "multiclass": AnswerKind(decision=_class_or_person, leading=_likeliest, decides_among_few=True),
    "regression": AnswerKind(decision=_number_to_act_on, leading=_first, decides_among_few=False),
}
"""By the word of a line's file for its task."""


def answer_kind(task: str) -> AnswerKind:
    """Return how the answers of a task are read; raises ValueError on a task that this version does not know."""
    try:
        return ANSWER_KINDS[task]
    except KeyError:
        raise ValueError(
            f"task {task!r} is none of {', '.join(ANSWER_KINDS)}; another version of the factory wrote it"
        ) from None
