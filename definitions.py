"""The composition root: loads `lines/` and binds them to this environment, which only this file reads.

    FACTORY_ENVIRONMENT  local or production: which module of `resources/` binds the rest (default: local)
    FACTORY_HOME         folder of everything the factory keeps (default: .factory beside this file)
    FACTORY_LAKE         folder or object-store URL of the lake (default: <home>/lake)
    FACTORY_DATA         folder that the lines' sources find their files in (default: what each line's file says)

What else an environment may say is told in `resources/`. `factory run`, the UI, CI and the daemon load this file.
"""

import functools
import os
import sys
from pathlib import Path

import dagster as dg

ROOT = Path(__file__).resolve().parent


@functools.cache
def loaded() -> dg.Definitions:
    """Return every line's definitions; cached, for the orchestrator asks several times a run."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from factory.orchestration.project_definitions import project_definitions
    from resources import bindings

    named = os.environ.get("FACTORY_DATA")
    folder = (ROOT / named).resolve() if named else None
    return project_definitions(ROOT, bindings(ROOT, os.environ), data_folder=folder)


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location."""
    return loaded()
