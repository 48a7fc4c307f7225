"""Whether the parts of a home fit together: lake, registry, releases, histories. Nothing is changed.

After a restore from a backup one of them may be older than the others. None of that harms what is served: what is
missing is made anew, and no number is given twice. Here it is said which part is behind, and of what.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from factory.errors import FactoryError
from factory.names import LINE_SITE, model_name, model_parts
from factory.registry.database import versions_of
from factory.release import ModelRepository
from factory.release.manifest import Manifest
from factory.storage.home import Home
from factory.storage.journal import Entry
from factory.storage.lake_store import LakeStore

UNREADABLE = (FactoryError, OSError, sqlite3.Error)
"""What a part that cannot be read raises."""
Versions = Mapping[int, str]
"""A registered model's versions, each with its file's digest."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the parts of a home say of one line's models."""

    line: str
    made: Mapping[str, Entry]
    """By model: what the lake's journal says was made last."""
    registered: Mapping[str, Versions] | None
    """By model; None where the registry is not in the home."""
    served: Mapping[str, Manifest]
    repository: ModelRepository

    def gaps(self) -> Iterator[str]:
        """Yield a sentence for each thing that one part speaks of and another lacks."""
        for model, entry in sorted(self.made.items()):
            number, digest = int(entry.figures["version"]), entry.figures["digest"]
            if self._lacks(model, number, digest):
                yield f"MLflow lacks {model} version {number}, which the lake says was made: the next run makes it anew"
        for model, manifest in sorted(self.served.items()):
            if self._lacks(model, manifest.version, manifest.digest):
                yield (
                    f"MLflow lacks version {manifest.version}, which {model} serves as release {manifest.sequence}: it "
                    "goes on, and a rollback to it moves no alias"
                )
            if model not in self.made:
                yield f"the lake says nothing of a model of {model}, which serves: the next run makes one"
        for model in self.repository.site_history.models():
            if model_parts(model)[0] == self.line:
                yield from self._behind(model)

    def _lacks(self, model: str, version: int, digest: str) -> bool:
        return self.registered is not None and self.registered.get(model, {}).get(version) != digest

    def _behind(self, model: str) -> Iterator[str]:
        """Yield whether releases that are on record do not lie in the repository, or the other way round."""
        records = self.repository.site_history.read(model).records()
        recorded = {record.release for record in records if record.kind in ("release", "trial") and record.release}
        lying = set(self.repository.sequences(model))
        if missing := sorted(release for release in recorded - lying if release > max(lying, default=0)):
            yield f"releases lack {_numbers(missing)} of {model}, on record in its history: the next run releases anew"
        if unrecorded := sorted(lying - recorded):
            yield (
                f"the history of {model} lacks {_numbers(unrecorded)}: `factory history verify` says more, and nothing "
                "is released there until `factory allow`"
            )


def unfit(home: Home) -> dict[str, list[str]]:
    """Return, for each line with a lake, what does not fit together; raises FactoryError and sqlite3.Error."""
    store, repository = LakeStore.at(home), ModelRepository.at(home)
    registered = versions_of(home.registry_database) if home.registry_database.is_file() else None
    gaps = {}
    for line in store.lines() or ():
        journal = store.journal(line)
        made = {
            model_name(line, site): entry
            for stage in ("base_model", "site_model")
            for site, entry in journal.latest(stage).items()
            if (site == LINE_SITE) == (stage == "base_model")
        }
        models = [model for model in repository.models() if model_parts(model)[0] == line]
        served = {model: manifest for model in models if (manifest := repository.readable(model))}
        parts = Parts(line=line, made=made, registered=registered, served=served, repository=repository)
        gaps[line] = list(parts.gaps())
    return gaps


def _numbers(releases: list[int]) -> str:
    return f"release{'s' if len(releases) > 1 else ''} {', '.join(map(str, releases))}"
