"""Several machines over shared services: as `local`, but what machines share is never a folder by default.

    MLFLOW_TRACKING_URI   the tracking server; required
    FACTORY_LAKE          the lake's object-store URL, or a folder that all machines mount; required
    FACTORY_LAKE_OPTIONS  the object store's options as delta-rs has them, a JSON object (default: its own variables)

The home, with the model repository, histories and keys, must be on a disk that whoever releases and whoever serves see.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factory.errors import EnvironmentRefused
from resources import local

REQUIRED = ("MLFLOW_TRACKING_URI", "FACTORY_LAKE", "FACTORY_HOME")


def bindings(root: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return every resource by its name; raises EnvironmentRefused where a variable is missing."""
    if missing := [name for name in REQUIRED if not environment.get(name)]:
        raise EnvironmentRefused(
            f"production needs the variables {', '.join(missing)}: set them, or FACTORY_ENVIRONMENT=local"
        )
    return local.bindings(root, environment)
