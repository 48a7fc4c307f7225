"""The model repository: signed, immutable releases in Triton's layout, switched by one atomic rename.

`release` writes what a passing verdict allows, `load` reads what still has one; the gateway needs nothing else.
"""

from factory.repository.draft import Draft
from factory.repository.guard import Guard
from factory.repository.manifest import Manifest
from factory.repository.releases import Released, Releases
from factory.repository.repository import ModelRepository
from factory.repository.trial import Mode, Terms, Trial

__all__ = ["Draft", "Guard", "Manifest", "Mode", "ModelRepository", "Released", "Releases", "Terms", "Trial"]
