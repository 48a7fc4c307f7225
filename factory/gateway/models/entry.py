"""One version of one model in service, and what may be on trial beside it: where a question goes."""

from collections.abc import Callable

from factory.gateway.metrics.telemetry import Series
from factory.gateway.models.batching import Batches
from factory.gateway.models.question import Predictions, Question
from factory.gateway.models.running_trial import RunningTrial
from factory.gateway.models.served_model import ServedModel
from factory.gateway.models.session_cache import SessionCache


class Entry:
    """The model, the questions to it, what is counted of them, and the trial beside it, None without one."""

    def __init__(self, model: ServedModel, series: Series, predictions: Predictions) -> None:
        self.model = model
        self.series = series
        self.batches = Batches(model, series, predictions)
        self.trial: RunningTrial | None = None
        self.trial_mark: str | None = None
        """Which state of its trial was looked at last."""
        series.waiting_rows = lambda: self.batches.waiting_rows

    def ask(self, question: Question) -> None:
        """Take a question for the model, or for what is on trial beside it. Raises RequestRefused (503) when full."""
        if self.trial is None:
            self.batches.ask(question)
        else:
            self.trial.ask(question)

    def asker(self, version: str | None) -> Callable[[Question], None]:
        """Return what takes a question: who names the version in service is answered by it, and by no trial."""
        return self.ask if version is None else self.batches.ask

    def retire(self, sessions: SessionCache) -> None:
        """Go out of service; questions under way are answered."""
        self.end_trial(sessions)
        sessions.forget(self.model)
        self.series.waiting_rows = int  # or the numbers, which stay, would keep the session

    def begin_trial(self, trial: RunningTrial, sessions: SessionCache) -> None:
        """Let the trial have its share of the questions from now on."""
        self.end_trial(sessions)
        self.trial = trial

    def end_trial(self, sessions: SessionCache) -> None:
        """Let the model have all questions again; those that the trial has are answered."""
        if self.trial is not None:
            self.trial.retire(sessions)
            self.trial = None
