"""What the gateway serves: the model repository as it is on the disk, kept up to date without a failed request."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ModelRefused
from factory.gateway.metrics.counts import Labels
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.entry import Entry
from factory.gateway.models.question import Predictions
from factory.gateway.models.served_model import ServedModel
from factory.gateway.models.trials import Trials, read_whole
from factory.gateway.refusal import come_again
from factory.release.protocols import ServedReleases

log = logging.getLogger(__name__)


class Catalogue:
    """The served models by name; a request that holds one goes on with it after it was replaced.

    A release that is refused leaves the one before it in service; it is looked at again only when the model's link
    changes.
    """

    def __init__(
        self, repository: ServedReleases, key: Ed25519PublicKey, telemetry: Telemetry, predictions: Predictions
    ) -> None:
        self.served: dict[str, Entry] = {}
        self.refused: dict[str, str] = {}
        self.unloaded: set[str] = set()
        """Models that somebody took out of service by hand."""
        self.trials = Trials(repository, key, telemetry, predictions)
        self._seen: dict[str, str] = {}
        self._repository = repository
        self._key = key
        self._telemetry = telemetry
        self._predictions = predictions
        self._one_at_a_time = asyncio.Lock()

    async def watch(self, every_s: float) -> None:
        """Follow the repository until cancelled; whatever goes wrong is logged, and looked at again."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.refresh()
            except Exception:  # the task must outlive a disk that is away for a moment
                log.exception("the model repository could not be read; what is served stays")

    async def refresh(self) -> None:
        """Load what is new, drop what is gone. Files are read and sessions built in a thread, not on the event loop."""
        async with self._one_at_a_time:
            await self._follow(await asyncio.to_thread(self._markers), self.unloaded)
            await self.trials.follow(self.served)

    async def _follow(self, markers: Mapping[str, str] | None, but_not: Collection[str]) -> None:
        if markers is None:
            return
        for model in {*self._seen, *self.refused} - set(markers):
            self._drop(model)
        for model, marker in markers.items():
            if self._seen.get(model) != marker and model not in but_not:
                await self._load(model, marker)

    @property
    def shares(self) -> dict[Labels, float]:
        """The share of each trial that runs, by the labels of its numbers."""
        trials = [entry.trial for entry in self.served.values() if entry.trial]
        return {one.series.labels: one.trial.share for one in trials}

    def knows(self, model: str) -> bool:
        """Whether the model is released, as far as was seen."""
        return model in self.served or model in self.refused or model in self.unloaded

    async def load(self, model: str) -> str | None:
        """Serve the model's newest release, and return why not if it was refused.

        Raises RequestRefused (503) where the repository is away.
        """
        async with self._one_at_a_time:
            if (markers := await asyncio.to_thread(self._markers)) is None:
                raise come_again(503, f"{self._repository.place} is away; what is served stays", 1)
            self._seen.pop(model, None)
            await self._follow(markers, self.unloaded - {model})
            self.unloaded.discard(model)  # not before: until it is served, who asks is told to come again
            await self.trials.follow(self.served)
            if model not in self.served and model not in self.refused:
                log.error("%s cannot be loaded: it is released no longer", model)
                return "it is released no longer"
            return self.refused.get(model)

    async def unload(self, model: str) -> None:
        """Serve the model no longer until it is loaded by hand; requests that hold it go on with it."""
        async with self._one_at_a_time:
            self._drop(model)
            self.unloaded.add(model)

    def end_trials(self) -> None:
        """Let the served models have all questions, for the process is about to end."""
        for entry in self.served.values():
            entry.end_trial(self._predictions.sessions)

    def _markers(self) -> Mapping[str, str] | None:
        """Return each released model's marker; None where the whole folder is away: that retires no model."""

        def read() -> dict[str, str]:
            markers = {model: self._repository.marker(model) for model in self._repository.models()}
            return {model: marker for model, marker in markers.items() if marker is not None}

        return read_whole(self._repository, read)

    async def _load(self, model: str, marker: str) -> None:
        try:
            served = await asyncio.to_thread(self._built, model)
        except ModelRefused as error:
            self._seen[model] = marker
            self._refuse(model, str(error))
        except OSError as error:  # a disk that is away for a moment: not seen yet, so it is tried again
            if self.refused.get(model) != str(error):
                self._refuse(model, str(error))
        else:
            self._forget(model)
            if served.awake:
                self._predictions.sessions.used(served)
            self.served[model] = Entry(served, self._telemetry.of(served.manifest), self._predictions)
            self.refused.pop(model, None)
            self._seen[model] = served.marker
            log.info("%s serves version %d, %s", model, served.manifest.version, served.manifest.digest[:12])

    def _built(self, model: str) -> ServedModel:
        """Return the model awake; or asleep, its file checked all the same, where enough are awake already."""
        released = self._repository.load(model, self._key)
        again = partial(self._repository.released, model, released.manifest.sequence, self._key)
        served = ServedModel(released, again, self._predictions.providers)
        if not self._predictions.sessions.full:
            served.wake(released)
        return served

    def _refuse(self, model: str, reason: str) -> None:
        self.refused[model] = reason
        self._telemetry.refused_releases[model] += 1
        old = self.served.get(model)
        stays = f"version {old.model.manifest.version} goes on serving" if old else "nothing is served for it"
        log.error("release refused, %s: %s", stays, reason)

    def _drop(self, model: str) -> None:
        self._seen.pop(model, None)
        self.refused.pop(model, None)
        if model in self.served:
            self._forget(model)
            del self.served[model]
            log.info("%s is served no longer", model)

    def _forget(self, model: str) -> None:
        if model in self.served:
            self.served[model].retire(self._predictions.sessions)
