"""The trials of all models, followed as they begin and end in the model repository.

Whatever is wrong with a trial, what it would run beside goes on serving.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ModelRefused
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.entry import Entry
from factory.gateway.models.question import Predictions
from factory.gateway.models.running_trial import RunningTrial
from factory.gateway.models.served_model import ServedModel
from factory.release import Trial
from factory.release.protocols import ServedReleases

log = logging.getLogger(__name__)

Read = TypeVar("Read")


def read_whole(repository: ServedReleases, read: Callable[[], Read]) -> Read | None:
    """Return what `read` finds in a repository that is there before and after; None where it is away.

    One that goes away while it is looked through seems to have nothing in it.
    """
    if not repository.reachable():
        return None
    there = read()
    return there if repository.reachable() else None


class Trials:
    """What is on trial beside the models in service; a trial that is refused is looked at again when it changes."""

    def __init__(
        self, repository: ServedReleases, key: Ed25519PublicKey, telemetry: Telemetry, predictions: Predictions
    ) -> None:
        self.refused: dict[str, str] = {}
        self._repository = repository
        self._key = key
        self._telemetry = telemetry
        self._predictions = predictions

    async def follow(self, served: Mapping[str, Entry]) -> None:
        """Begin and end what the repository says has begun and ended; a folder that is away ends nothing."""
        marks = await asyncio.to_thread(self._marks)
        if marks is None:
            return
        for model in set(self.refused) - set(marks):
            del self.refused[model]
        for model, entry in served.items():
            if entry.trial_mark != marks.get(model):
                await self._changed(model, entry, marks.get(model))

    def _marks(self) -> Mapping[str, str] | None:
        return read_whole(self._repository, self._repository.trial_tokens)

    async def _changed(self, model: str, entry: Entry, mark: str | None) -> None:
        try:
            built = await asyncio.to_thread(self._built, entry) if mark else None
        except ModelRefused as error:
            self._end(entry)
            self._refuse(model, str(error))
        except OSError as error:  # a disk that is away for a moment: not looked at yet, so it is tried again
            log.warning("the trial of %s cannot be read now: %s", model, error)
            return
        else:
            self.refused.pop(model, None)
            self._begin(entry, *built) if built else self._end(entry)
        entry.trial_mark = mark

    def _built(self, entry: Entry) -> tuple[Trial, ServedModel] | None:
        """Return the trial beside this very release, and its model awake; None where it is over."""
        manifest = entry.model.manifest
        trial = self._repository.trial(manifest.model, self._key)
        if trial is None or trial.beside != manifest.sequence:
            return None
        released = self._repository.tried(trial, self._key)
        providers = self._predictions.providers
        model = ServedModel(released, lambda: self._repository.tried(trial, self._key), providers)
        model.wake(released)
        return trial, model

    def _begin(self, entry: Entry, trial: Trial, model: ServedModel) -> None:
        series = self._telemetry.of(model.manifest, trial.mode)
        sessions = self._predictions.sessions
        entry.begin_trial(RunningTrial(trial, model, series, entry.batches, self._predictions), sessions)
        sessions.used(model)
        log.info("%s: version %d is a %s now", trial.model, trial.version, trial.mode)

    def _end(self, entry: Entry) -> None:
        if entry.trial:
            trial = entry.trial.trial
            entry.end_trial(self._predictions.sessions)
            log.info("%s: version %d is a %s no longer", trial.model, trial.version, trial.mode)

    def _refuse(self, model: str, reason: str) -> None:
        self.refused[model] = reason
        self._telemetry.refused_trials[model] += 1
        log.error("trial refused, what %s serves goes on: %s", model, reason)
