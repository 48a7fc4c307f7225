"""One model's answers to rows that all models are judged on."""

from dataclasses import dataclass

from factory.tasks.task import Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One model on the holdout: its answer to each row, [rows, answers], and the threshold that it decides by."""

    answer: Floats
    threshold: float
    digest: str | None = None
    """SHA-256 of the model file, where the model is one."""
