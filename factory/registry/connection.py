"""One connection to MLflow: its clients, and the files beside runs and models, wherever MLflow keeps them.

Each call is a round trip to a database or a server, and every site makes them at every training: what never changes
is asked for once.
"""

import functools
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factory.storage.locks import Locks

MlflowClient = Any


class Connection:
    """MLflow at one address; where a run's files are and which experiment a line has is remembered.

    `runs` is MLflow's client of runs. `models` is its client of registered models, which `MlflowClient` wraps: before
    each tag and alias that one reads the whole model, to see that it is no prompt of a language model, and so makes
    two calls of every one (MLflow 3.17).
    """

    def __init__(self, tracking_uri: str, locks: Locks) -> None:
        from mlflow.tracking._model_registry.client import ModelRegistryClient  # public in all but its module's name

        self.runs = _prepared(tracking_uri, locks)
        self.models = ModelRegistryClient(tracking_uri, tracking_uri)
        self._locks = locks
        self._experiments: dict[str, str] = {}
        self._run_files: dict[str, str] = {}

    def experiment(self, line: str, files: str | None) -> str:
        """Return the id of the line's experiment, made on first use with its files in `files`, or as a server says."""
        if line not in self._experiments:
            with self._locks.hold("registry.experiments"):
                known = self.runs.get_experiment_by_name(line)
                self._experiments[line] = str(
                    known.experiment_id if known else self.runs.create_experiment(line, artifact_location=files)
                )
        return self._experiments[line]

    def create_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        """Open a run and return its id."""
        info = self.runs.create_run(experiment, run_name=name, tags=dict(tags)).info
        self._run_files[info.run_id] = info.artifact_uri
        return str(info.run_id)

    def run_text(self, run_id: str, file: str) -> str:
        """Return a text file of a run. Raises OSError if it cannot be read."""
        return self.file(f"{self._files_of(run_id)}/{file}").decode()

    def put_run_json(self, run_id: str, content: Mapping[str, Any], file: str) -> None:
        """Write a JSON file beside a run, whatever was there."""
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch, Path(file).name)
            place.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
            folder = str(Path(file).parent)
            self._store(self._files_of(run_id)).log_artifact(str(place), None if folder == "." else folder)

    def put_folder(self, uri: str, folder: Path) -> None:
        """Copy a folder's files to an address."""
        self._store(uri).log_artifacts(str(folder))

    def file(self, uri: str) -> bytes:
        """Return a file from its address. Raises OSError if it cannot be read."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            return Path(download_artifacts(artifact_uri=uri, tracking_uri=self.runs.tracking_uri)).read_bytes()
        except MlflowException as error:
            raise OSError(f"{uri}: {error.message}") from error

    def _files_of(self, run_id: str) -> str:
        if run_id not in self._run_files:
            self._run_files[run_id] = self.runs.get_run(run_id).info.artifact_uri
        return self._run_files[run_id]

    def _store(self, uri: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(uri, tracking_uri=self.runs.tracking_uri)


@functools.cache
def _prepared(tracking_uri: str, locks: Locks) -> MlflowClient:
    """Return a client of a database that is there and migrated; one process makes it while others wait."""
    from mlflow import MlflowClient as Client
    from sqlalchemy.exc import SADeprecationWarning

    with locks.hold("registry.database"), warnings.catch_warnings():
        # MLflow's own tables use a loader that SQLAlchemy deprecates; nothing a user of this factory could change.
        warnings.simplefilter("ignore", SADeprecationWarning)
        if tracking_uri.startswith("sqlite:///"):
            _prepare_sqlite(Path(tracking_uri.removeprefix("sqlite:///")))
        client = Client(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


def _prepare_sqlite(file: Path) -> None:
    """Let readers go on while one writes: the write-ahead log, a lasting property of the file."""
    import sqlite3
    from contextlib import closing

    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, timeout=20)) as database:
        database.execute("PRAGMA journal_mode=WAL")
