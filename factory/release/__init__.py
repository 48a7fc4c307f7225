"""The model repository: signed, immutable releases in Triton's layout, switched by one atomic rename.

`release` writes what a passing verdict allows, `load` reads what still has one; the gateway needs nothing else.
`try_out` releases beside what is served, without serving it: a trial.

releases.py     what lies there, read and checked
writer.py       the steps of a writer, each whole or not at all
repository.py   what is permitted: releases, rollbacks, trials; each on record first
"""

from factory.release.draft import Draft
from factory.release.guard import Guard
from factory.release.manifest import Manifest
from factory.release.releases import Released, Releases
from factory.release.repository import ModelRepository
from factory.release.trial import Mode, Terms, Trial

__all__ = ["Draft", "Guard", "Manifest", "Mode", "ModelRepository", "Released", "Releases", "Terms", "Trial"]
