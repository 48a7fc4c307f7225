"""The registry: MLflow keeps every candidate, its record, its verdict, and who was promoted by whom.

Registering is not promoting: `register` gives the alias `challenger`, and only `promote` gives `champion`. Everything
goes through an MlflowClient of our own, so that MLflow's process-wide state stays as the caller left it.
"""

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import ReleaseRefused
from factory.model.candidate import Candidate
from factory.model.verdict import Verdict, digest_of
from factory.registry.promotion import (
    Champion,
    checked_champion,
    registered_file,
    verified_file,
    verified_weights,
    write_promotion,
)
from factory.registry.record import log_candidate, log_verdict, save_model_folder
from factory.registry.site_record import SiteRecord
from factory.release.history import History
from factory.release.signing import signing_key
from factory.storage.locks import Locks

MlflowClient = Any
ModelVersion = Any


@dataclass(frozen=True, kw_only=True)
class Registered:
    """Where a candidate is in the registry."""

    model: str
    version: int
    run_id: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Registry:
    """MLflow models `<line>.<site>` with aliases `challenger` and `champion`.

    Writers of one model exclude one another through `locks`; MLflow's own aliases are last-writer-wins.
    """

    tracking_uri: str
    """MLflow's database or server, such as sqlite:////folder/mlflow.db."""
    artifact_root: str
    """Folder or URL of the models' files; a tracking server by URL has its own."""
    locks: Locks
    history: Path
    """The folder of the sites' histories, on a local disk."""
    key_folder: Path
    """The folder of the key that signs them."""
    ui_url: str = "http://127.0.0.1:5000"
    """Where people open the MLflow UI."""

    def register(self, candidate: Candidate) -> Registered:
        """Keep the candidate and make it `challenger`; the same digest again gives the version it already has.

        A version that is `champion` already does not become its own challenger.
        """
        client, model = self._client(), candidate.name
        experiment = self._experiment(client, candidate.line)
        with self._alone(model):
            version = _with_digest(client, model, candidate.digest) or _add(client, experiment, candidate)
            if _alias(client, model, "champion") != int(version.version):
                client.set_registered_model_alias(model, "challenger", version.version)
        return Registered(
            model=model, version=int(version.version), run_id=version.run_id, url=self._url(experiment, version.run_id)
        )

    def record_verdict(self, model: str, version: int, verdict: Verdict) -> None:
        """Keep the verdict beside the version it is about, whether or not it passed.

        Raises ReleaseRefused if it is about another model or another file.
        """
        client = self._client()
        with self._alone(model):
            kept = _version(client, model, version)
            if (f"{verdict.line}.{verdict.site}", verdict.digest) != (model, kept.tags["digest"]):
                raise ReleaseRefused(
                    f"{model} version {version} is file {kept.tags['digest'][:12]}; the verdict is on "
                    f"{verdict.line}.{verdict.site}, file {verdict.digest[:12]}: judge this file"
                )
            self._record().judged(model, version, verdict)
            log_verdict(client, kept, verdict)

    def promote(
        self, model: str, version: int, verdict: Verdict | None, *, by: str, approval_required: bool = False
    ) -> None:
        """Make the version `champion`: the only function that does, and only with a passing verdict on its very file.

        The digest is computed from the registered file, whatever its tags say. No rollback may hold the site elsewhere,
        and with `approval_required` a person must have approved the file. Promoting the champion again under its
        present permission changes nothing. Promotions and refusals go into the site's history. Raises ReleaseRefused.
        """
        client, record = self._client(), self._record()
        with self._alone(model):
            kept = _version(client, model, version)
            digest = digest_of(registered_file(client, kept))
            approval = record.permission(model, version, digest, verdict, by=by, approval_required=approval_required)
            if _alias(client, model, "champion") != version or "promotion" not in kept.tags:
                record.promoted(model, version, verdict, by=by)
                write_promotion(client, kept, verdict, by, approval)
                client.set_registered_model_alias(model, "champion", str(version))
            if _alias(client, model, "challenger") == version:
                client.delete_registered_model_alias(model, "challenger")

    def champion(self, model: str) -> Champion | None:
        """Return what the model's site serves, or None if nothing was promoted yet.

        Raises ModelRefused if the file is not the one registered, or the alias was moved by hand to a version that
        was never promoted.
        """
        client = self._client()
        version = _alias(client, model, "champion")
        return None if version is None else checked_champion(client, _version(client, model, version))

    def champions(self, line: str) -> dict[str, int]:
        """Return the version that each site's alias `champion` points to, whoever moved it there, in few calls."""
        client, found, page = self._client(), {}, None
        while True:
            models = client.search_registered_models(f"name LIKE '{line}.%'", max_results=1000, page_token=page)
            for model in models:
                if model.name.startswith(f"{line}.") and "champion" in model.aliases:
                    found[model.name.partition(".")[2]] = int(model.aliases["champion"])
            page = models.token
            if not page:
                return found

    def onnx(self, model: str, version: int) -> bytes:
        """Return the version's ONNX file. Raises ModelRefused unless it is the very file that was registered."""
        client = self._client()
        return verified_file(client, _version(client, model, version))

    def weights(self, model: str, version: int) -> bytes:
        """Return the version's safetensors file. Raises ModelRefused unless it is the very file that was registered."""
        client = self._client()
        return verified_weights(client, _version(client, model, version))

    def link(self, run_id: str) -> str:
        """Return where a person opens the run."""
        return self._url(self._client().get_run(run_id).info.experiment_id, run_id)

    def _url(self, experiment: str, run_id: str) -> str:
        served = self.tracking_uri if self._has_server else self.ui_url
        # Without the last word the UI shows its menus for language models.
        return f"{served.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"

    def _client(self) -> MlflowClient:
        return _client(self.tracking_uri, self.locks)

    @property
    def _has_server(self) -> bool:
        return self.tracking_uri.startswith(("http://", "https://"))

    def _record(self) -> SiteRecord:
        return SiteRecord(history=History(self.history), key=signing_key(self.key_folder))

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        with self.locks.hold(what):
            yield

    def _experiment(self, client: MlflowClient, line: str) -> str:
        """Return the id of the line's experiment, made on first use."""
        with self._alone("experiments"):
            found = client.get_experiment_by_name(line)
            if found:
                return str(found.experiment_id)
            return str(client.create_experiment(line, artifact_location=self._files_of(line)))

    def _files_of(self, line: str) -> str | None:
        """Return where a line's files go, or None where a server decides. MLflow keeps it, so it must be absolute."""
        if self._has_server:
            return None
        root = self.artifact_root.rstrip("/")
        return f"{root}/{line}" if "://" in root else str(Path(root, line).absolute())


@functools.cache
def _client(tracking_uri: str, locks: Locks) -> MlflowClient:
    """Return a client of a database that is there and migrated; one process makes it while others wait."""
    from mlflow import MlflowClient as Client
    from sqlalchemy.exc import SADeprecationWarning

    with locks.hold("database"), warnings.catch_warnings():
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


def _add(client: MlflowClient, experiment: str, candidate: Candidate) -> ModelVersion:
    """Keep the candidate as a run, its files, and a new version; the version comes last, so a death leaves none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(candidate.name, tags={"line": candidate.line, "site": candidate.site})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    with log_candidate(client, experiment, candidate) as run_id:
        logged = client.create_logged_model(experiment, name="model", source_run_id=run_id)
        with save_model_folder(candidate, logged.model_id) as folder:
            client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        # The source is the files' place, not `models:/<id>`: MLflow resolves that through its process-wide address.
        return client.create_model_version(
            candidate.name,
            source=logged.artifact_location,
            run_id=run_id,
            model_id=logged.model_id,
            description=candidate.why,
            tags={
                **candidate.provenance,
                "digest": candidate.digest,
                "weights_digest": digest_of(candidate.safetensors),
                "fine_tuned": str(candidate.fine_tuned).lower(),
            },
        )


def _with_digest(client: MlflowClient, model: str, digest: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name='{model}' and tags.digest='{digest}'")
    return found[0] if found else None


def _alias(client: MlflowClient, model: str, alias: str) -> int | None:
    """Return the version that the alias points to, or None where model or alias do not exist."""
    found = client.search_registered_models(f"name='{model}'")
    version = found[0].aliases.get(alias) if found else None
    return None if version is None else int(version)


def _version(client: MlflowClient, model: str, version: int) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model, str(version))
    except MlflowException as error:
        raise ReleaseRefused(f"{model} has no version {version} in the registry: {error.message}") from error
