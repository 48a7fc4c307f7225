"""The composition root: loads `lines/` and binds resources to this environment, which only it reads.

    FACTORY_HOME    folder of everything the factory keeps (default: .factory beside this file)
    FACTORY_LAKE    folder or object-store URL of the lake (default: <home>/lake)
    FACTORY_DATA    folder that the lines' sources find their files in (default: what each line's file says)
    FACTORY_ENGINE  auto, cpu or gpu (default: auto)
    FACTORY_ALERT_WEBHOOK  http(s) address that takes alerts as JSON (default: the log alone)
    FACTORY_ALERT_URLS     where else alerts go, as mail or chat: Apprise's addresses, space-separated
    MLFLOW_TRACKING_URI   a tracking server (default: SQLite in <home>)
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
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing calls home unless its user says so
    # A registry that is down is asked for some 15 s a call and not for MLflow's four minutes: each site asks anew.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    # Torch's threads wait for each other by spinning: on a busy machine an epoch then takes eight times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from factory.orchestration.failure_sensor import failure_sensor

    lines = dg.load_from_defs_folder(path_within_project=ROOT)
    bind_data_folder(lines)
    return dg.Definitions.merge(lines, dg.Definitions(resources=resources(), sensors=[failure_sensor()], executor=dg.in_process_executor))


def bind_data_folder(lines: dg.Definitions) -> None:
    """Give every line's source the environment's data folder, if the environment names one."""
    from factory.orchestration.line_source import line_sources

    if named := os.environ.get("FACTORY_DATA"):
        for source in line_sources(lines).values():
            source.bind((ROOT / named).resolve())


def home() -> Path:
    """Return the folder of everything the factory keeps."""
    return Path(os.environ.get("FACTORY_HOME") or ROOT / ".factory").resolve()


def secret(name: str) -> dg.EnvVar | None:
    """Return a variable's value by its name, so that the orchestrator neither stores nor shows it; None where unset."""
    return dg.EnvVar(name) if os.environ.get(name) else None


def resources() -> dict[str, dg.ConfigurableResource]:
    """Bind everything outside the process to this environment."""
    from factory.orchestration.resources.alerts import Alerts
    from factory.orchestration.resources.calendar import Calendar
    from factory.orchestration.resources.compute import Compute
    from factory.orchestration.resources.data_docs import DataDocs
    from factory.orchestration.resources.gateway_records import GatewayRecords
    from factory.orchestration.resources.lake import LakeStore
    from factory.orchestration.resources.model_store import ModelStore
    from factory.orchestration.resources.reports import Reports
    from factory.orchestration.resources.workbench import Workbench
    from factory.registry.registry import Registry

    here = home()
    return {
        "alerts": Alerts(webhook=secret("FACTORY_ALERT_WEBHOOK"), addresses=secret("FACTORY_ALERT_URLS")),
        "calendar": Calendar(),
        "lake": LakeStore(url=os.environ.get("FACTORY_LAKE") or str(here / "lake")),
        "compute": Compute(engine=os.environ.get("FACTORY_ENGINE") or "auto"),
        "registry": Registry(
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{here / 'mlflow.db'}",
            locks=str(here / "locks"),
            artifact_root=str(here / "artifacts"),  # a tracking server keeps its own
            history=str(here / "history"),
            key_folder=str(here / "keys"),
        ),
        "store": ModelStore(root=str(here / "models"), key_folder=str(here / "keys")),
        "records": GatewayRecords(folder=str(here / "predictions")),
        "docs": DataDocs(root=str(here / "docs")),
        "reports": Reports(root=str(here / "reports")),
        "workbench": Workbench(root=str(here / "work")),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location."""
    return loaded()

