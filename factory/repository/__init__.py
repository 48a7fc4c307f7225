"""The model repository: signed, immutable releases in Triton's layout, switched by one atomic rename.

`release` writes what a passing verdict allows, `load` reads what still has one; the gateway needs nothing else.
"""

from factory.repository.guard import Guard
from factory.repository.manifest import Manifest
from factory.repository.repository import ModelRepository, Released

__all__ = ["Guard", "Manifest", "ModelRepository", "Released"]
