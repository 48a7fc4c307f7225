"""One connection to MLflow: its clients, and the files beside runs and models, wherever MLflow keeps them.

Each call is a round trip to a database or a server, and every site makes them at every training: what never changes
is asked for once.
"""

import functools
import json
import tempfile
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from factory.errors import RegistryError
from factory.errors.masking import keep_secret, masked, masked_cause, masked_values
from factory.registry.database import LOCK, prepare_database
from factory.registry.faults import SQLITE, Client, registry_faults
from factory.storage.locks import Locks

_GONE = "RESOURCE_DOES_NOT_EXIST"
"""What MLflow says of a run that was deleted for good."""
DEAD = "its process died; the next run of the line ended it"
"""The tag `ended` of a run that was left under way."""


class Connection:
    """MLflow at one address; where a run's files are and which experiment a line has is remembered.

    `runs` is MLflow's client of runs. `models` is its client of registered models, which `MlflowClient` wraps: before
    each tag and alias that one reads the whole model, to see that it is no prompt of a language model, and so makes
    two calls of every one (MLflow 3.17).
    """

    def __init__(self, tracking_uri: str, locks: Locks) -> None:
        keep_secret(tracking_uri)
        self.address = masked(tracking_uri)
        self.runs, self.models = (Client(client, tracking_uri) for client in _prepared(tracking_uri, locks))
        self._locks = locks
        self._experiments: dict[str, str] = {}
        self._run_files: dict[str, str] = {}

    def experiment(self, line: str, files: str | None) -> str:
        """Return the id of the line's experiment, made on first use with its files in `files`, or as a server says."""
        if line not in self._experiments:
            with self._locks.hold("registry.experiments"):
                known = self.runs.get_experiment_by_name(line)
                if known and known.lifecycle_stage != "active":
                    raise RegistryError(
                        f"line {line}: somebody deleted its experiment in MLflow at {self.address}; no model was kept, "
                        "and what is served goes on. Bring it back and run again: "
                        f"MLFLOW_TRACKING_URI={self.address} mlflow experiments restore -x {known.experiment_id}"
                    )
                experiment = (
                    known.experiment_id if known else self.runs.create_experiment(line, artifact_location=files)
                )
            self._end_dead_runs(line, str(experiment))
            self._experiments[line] = str(experiment)
        return self._experiments[line]

    def _end_dead_runs(self, line: str, experiment: str) -> None:
        """End the line's runs that are under way in no living process.

        Whoever makes such a run holds its model's lock meanwhile, and the lock is free when its holder is killed.
        """
        under_way = f"attributes.status = 'RUNNING' and tags.line = '{line}' and tags.digest != ''"
        for run in self.runs.search_runs([experiment], under_way):
            model = f"{line}.{run.data.tags.get('site', '')}"
            with self._locks.hold_if_free(f"registry.{model}") as is_free:
                if is_free and self.runs.get_run(run.info.run_id).info.status == "RUNNING":
                    self.runs.set_tag(run.info.run_id, "ended", DEAD)
                    self.runs.set_terminated(run.info.run_id, "KILLED")

    def create_run(self, experiment: str, name: str, tags: Mapping[str, str], began: datetime | None = None) -> str:
        """Open a run, begun now or when its work began, and return its id."""
        start = int(began.timestamp() * 1000) if began else None
        info = self.runs.create_run(experiment, start_time=start, run_name=name, tags=masked_values(tags)).info
        self._run_files[info.run_id] = info.artifact_uri
        return str(info.run_id)

    def record_text(self, registered: Any, file: str) -> str:
        """Return a text file of a version's record. Raises OSError if it cannot be read."""
        return self.file(f"{self._record_of(registered)}/{file}").decode()

    def put_record(self, registered: Any, content: Mapping[str, Any], file: str) -> None:
        """Write a JSON file of a version's record, whatever was there."""
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch, Path(file).name)
            place.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
            folder = str(Path(file).parent)
            store = self._store(self._record_of(registered))
            with registry_faults(self.address, f"keeping {file}"):
                store.log_artifact(str(place), None if folder == "." else folder)

    def is_active(self, run_id: str) -> bool:
        """Whether a run is there, and nobody has deleted it."""
        try:
            return bool(self.runs.get_run(run_id).info.lifecycle_stage == "active")
        except RegistryError as error:
            if error.code != _GONE:
                raise
            return False

    def put_folder(self, uri: str, folder: Path) -> None:
        """Copy a folder's files to an address."""
        store = self._store(uri)
        with registry_faults(self.address, f"keeping files at {uri}"):
            store.log_artifacts(str(folder))

    def file(self, uri: str) -> bytes:
        """Return a file from its address. Raises OSError if it cannot be read."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            return Path(download_artifacts(artifact_uri=uri, tracking_uri=self.runs.tracking_uri)).read_bytes()
        except MlflowException as error:
            raise OSError(masked(f"{uri}: {error.message}")) from masked_cause(error)

    @staticmethod
    def is_on_disk(uri: str | None) -> bool:
        """Whether an address is a path of this machine."""
        return bool(uri) and "://" not in str(uri) and not str(uri).startswith(("mlflow-artifacts:", "models:"))

    def _record_of(self, registered: Any) -> str:
        """Return where a version's record is: with its run, or beside the model where that was deleted for good."""
        run_id = registered.run_id
        if run_id not in self._run_files:
            try:
                self._run_files[run_id] = self.runs.get_run(run_id).info.artifact_uri
            except RegistryError as error:
                if error.code != _GONE:
                    raise
                return str(registered.source)
        return self._run_files[run_id]

    def _store(self, uri: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with registry_faults(self.address, f"looking for {uri}"):
            return get_artifact_repository(uri, tracking_uri=self.runs.tracking_uri)


@functools.cache
def _prepared(tracking_uri: str, locks: Locks) -> tuple[Any, Any]:
    """Return MLflow's two clients of a database that is there and migrated; one process makes it while others wait."""
    with registry_faults(masked(tracking_uri)), warnings.catch_warnings():
        from mlflow import MlflowClient
        from mlflow.tracking._model_registry.client import ModelRegistryClient  # public in all but its module's name
        from sqlalchemy.exc import SADeprecationWarning

        # MLflow's own tables use a loader that SQLAlchemy deprecates; nothing a user of this factory could change.
        warnings.simplefilter("ignore", SADeprecationWarning)
        if tracking_uri.startswith(SQLITE):
            prepare_database(Path(tracking_uri.removeprefix(SQLITE)), locks)
        with locks.hold(LOCK):
            runs = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            runs.search_experiments(max_results=1)
            runs.search_registered_models(max_results=1)
        return runs, ModelRegistryClient(tracking_uri, tracking_uri)
