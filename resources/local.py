"""One machine: everything in the home, no server to start.

MLFLOW_TRACKING_URI     a tracking server (default: SQLite in <home>)
FACTORY_ENGINE          auto, cpu or gpu (default: auto)
FACTORY_ALERT_WEBHOOK   http(s) address that takes alerts as JSON (default: the log alone)
FACTORY_ALERT_URLS      where else alerts go, as mail or chat: Apprise's addresses, space-separated
FACTORY_OUTBOX_URL      PostgreSQL database that several machines deliver from (default: SQLite in <home>)
FACTORY_DELIVERIES      dry_run: no sink of any line sends anything, each writes files into the home
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from factory.connectors.sinks.kinds import sends_decisions
from factory.orchestration.resources import (
    AlertsResource,
    Calendar,
    ComputeResource,
    DataDocsResource,
    FolderResource,
    LakeResource,
    ModelStoreResource,
    OutboxResource,
    RegistryResource,
    ReportsResource,
)
from factory.storage.home import FOLDER, Home


def bindings(root: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return every resource by its name; the home is beside `definitions.py` unless the environment names one."""
    home = Home.found(environment, None if environment.get("FACTORY_HOME") else root / FOLDER)
    return {
        "alerts": AlertsResource(
            webhook=_secret(environment, "FACTORY_ALERT_WEBHOOK"), addresses=_secret(environment, "FACTORY_ALERT_URLS")
        ),
        "calendar": Calendar(),
        "lake": LakeResource(url=home.lake, storage_options=_secret(environment, "FACTORY_LAKE_OPTIONS")),
        "compute": ComputeResource.model_validate({"engine": environment.get("FACTORY_ENGINE") or "auto"}),
        "registry": RegistryResource(
            tracking_uri=_secret(environment, "MLFLOW_TRACKING_URI") or home.tracking_uri,
            locks=str(home.locks),
            artifact_root=str(home.artifacts),  # a tracking server keeps its own
            history=str(home.history),
            key_folder=str(home.keys),
        ),
        "store": ModelStoreResource(root=str(home.models), key_folder=str(home.keys), history=str(home.history)),
        "prediction_log": FolderResource(path=str(home.prediction_log)),
        "outbox": OutboxResource(
            root=str(home.outbox),
            models=str(home.models),
            sends=sends_decisions(environment),
            url=_secret(environment, "FACTORY_OUTBOX_URL"),
        ),
        "docs": DataDocsResource(root=str(home.data_docs)),
        "reports": ReportsResource(root=str(home.reports)),
        "scratch": FolderResource(path=str(home.scratch)),
    }


def _secret(environment: Mapping[str, str], name: str) -> dg.EnvVar | None:
    """Return a variable's value by its name, so that the orchestrator neither stores nor shows it; None where unset."""
    return dg.EnvVar(name) if environment.get(name) else None
