"""WHERE: what binds the lines to an environment, one module each; `FACTORY_ENVIRONMENT` says which."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from factory.errors import EnvironmentRefused

ENVIRONMENTS = ("local", "production")


def bindings(root: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the resources of the environment that the variables name; raises EnvironmentRefused if there is none."""
    name = environment.get("FACTORY_ENVIRONMENT") or ENVIRONMENTS[0]
    if name not in ENVIRONMENTS:
        raise EnvironmentRefused(f"FACTORY_ENVIRONMENT is {name!r}; resources/ has {', '.join(ENVIRONMENTS)}")
    bound: dict[str, Any] = import_module(f"{__name__}.{name}").bindings(root, environment)
    return bound
