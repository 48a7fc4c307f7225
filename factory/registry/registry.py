"""The registry: MLflow keeps every candidate, its record, its verdict, and who was promoted by whom.

Registering is not promoting: a passing verdict gives the alias `challenger`, and only `promote` gives `champion`.
Everything goes through clients of our own, so that MLflow's process-wide state stays as the caller left it.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from factory.errors import RegistryError, ReleaseRefused
from factory.errors.masking import masked_values, without_secrets
from factory.model.candidate import Candidate
from factory.model.verdict import Verdict, digest_of
from factory.names import LINE_SITE, model_name, model_parts
from factory.registry.connection import Connection
from factory.registry.faults import SQLITE, registry_faults
from factory.registry.promotion import (
    Champion,
    checked_champion,
    digest_tag,
    promote,
    verified_file,
    why_not_whole,
)
from factory.registry.record import log_candidate, log_verdict, save_model_folder
from factory.registry.relocation import relocate
from factory.registry.site_record import SiteRecord
from factory.release.protocols import SiteHistories
from factory.release.signing import signing_key
from factory.storage.locks import Locks

log = logging.getLogger(__name__)
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
    history: SiteHistories
    key_folder: Path
    """The folder of the key that signs them."""
    ui_url: str = "http://127.0.0.1:5000"
    """Where people open the MLflow UI."""

    def remember(self, model: str, version: int) -> None:
        """Give no version of the model this number, or one below it: another part of the home knows that it was used.

        MLflow may have been brought back from an older backup. Raises HistoryError.
        """
        self.history.note_version(model, version)

    def register(self, candidate: Candidate) -> Registered:
        """Keep the candidate; the same digest again returns the version it already has, if that is whole.

        A new version has a number above all that the model's versions ever had: somebody may have deleted them. Raises
        RegistryError.
        """
        mlflow, model = self.connection, candidate.name
        experiment = mlflow.experiment(candidate.line, self._files_of(candidate.line))
        with self.locks.hold(f"registry.{model}"):
            version = _known(mlflow, candidate) or self._added(mlflow, experiment, candidate)
            self.history.note_version(model, int(version.version))
        return Registered(
            model=model, version=int(version.version), run_id=version.run_id, url=self._url(experiment, version.run_id)
        )

    def record_verdict(self, model: str, version: int, verdict: Verdict) -> None:
        """Keep the verdict beside the version it is about; one that passed makes a version `challenger`.

        Raises ReleaseRefused if it is about another model or another file, and RegistryError.
        """
        mlflow = self.connection
        with self.locks.hold(f"registry.{model}"):
            registered = _version(mlflow, model, version)
            kept = registered.tags.get("digest", "unknown")
            if (f"{verdict.line}.{verdict.site}", verdict.digest) != (model, kept):
                raise ReleaseRefused(
                    f"{model} version {version} is file {kept[:12]}; the verdict is on "
                    f"{verdict.line}.{verdict.site}, file {verdict.digest[:12]}: judge this file"
                )
            self._record().judged(model, version, verdict)
            log_verdict(mlflow, registered, verdict)
            _keep_challenger(mlflow, registered, may_replace=verdict.passed)

    def promote(
        self, model: str, version: int, verdict: Verdict | None, *, by: str, approval_required: bool = False
    ) -> None:
        """Make the version `champion`: the only function that does, and only with a passing verdict on its very file.

        The digest is computed from the registered file, whatever its tags say. No rollback may hold the site elsewhere,
        and with `approval_required` a person must have approved the file. Promoting the champion again under its
        present permission changes nothing. Promotions and refusals go into the site's history. Raises ReleaseRefused.
        """
        mlflow, record = self.connection, self._record()
        with self.locks.hold(f"registry.{model}"):
            registered = _version(mlflow, model, version)
            promote(mlflow, record, registered, verdict, by=by, approval_required=approval_required)

    def champion(self, model: str) -> Champion | None:
        """Return what the model's site serves, or None if nothing was promoted yet.

        Raises ModelRefused if the file is not the one registered, or the alias was moved by hand to a version that
        was never promoted.
        """
        registered = _champion(self.connection, model)
        return None if registered is None else checked_champion(self.connection, registered)

    def champions(self, line: str) -> dict[str, int]:
        """Return the version that each site's alias `champion` points to, whoever moved it there, in few calls."""
        versions, page = {}, None
        while True:
            models = self.connection.models.search_registered_models(
                f"name LIKE '{line}.%'", max_results=1000, page_token=page
            )
            for model in models:
                if model.name.startswith(f"{line}.") and "champion" in model.aliases:
                    versions[model_parts(model.name)[1]] = int(model.aliases["champion"])
            page = models.token
            if not page:
                return versions

    def onnx(self, model: str, version: int) -> bytes:
        """Return the version's ONNX file. Raises ModelRefused unless it is the very file that was registered."""
        return verified_file(self.connection, _version(self.connection, model, version))

    def file(self, model: str, version: int, file: str) -> bytes:
        """Return a file beside the version's ONNX file. Raises ModelRefused unless it is the very one registered."""
        return verified_file(self.connection, _version(self.connection, model, version), file)

    def lost(self, model: str, version: int, digest: str) -> str | None:
        """Return what happened to a version that is not there any more as it was registered; None where it is.

        Files are looked at where they are on a disk. Raises RegistryError.
        """
        registered = _version_if_there(self.connection, model, version)
        if registered is None:
            return _deleted(model, version)
        if registered.tags.get("digest") != digest:
            return f"somebody edited the tag `digest` of {model} version {version} in MLflow"
        return why_not_whole(self.connection, registered)

    def link(self, run_id: str) -> str:
        """Return where a person opens the run."""
        return self._url(self.connection.runs.get_run(run_id).info.experiment_id, run_id)

    def _added(self, mlflow: Connection, experiment: str, candidate: Candidate) -> ModelVersion:
        """Keep a new version under a number that none had before.

        MLflow begins again with 1 where somebody deleted the model, and numbers the releases by it.
        """
        version = _add(mlflow, experiment, candidate)
        used = self.history.highest_version(candidate.name)
        while int(version.version) <= used:
            mlflow.models.delete_model_version(candidate.name, version.version)
            version = _new_version(mlflow, candidate, version.source, version.run_id, version.model_id)
        return version

    def _url(self, experiment: str, run_id: str) -> str:
        served = without_secrets(self.tracking_uri) if self._has_server else self.ui_url
        # Without the last word the UI shows its menus for language models.
        return f"{served.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"

    @cached_property
    def connection(self) -> Connection:
        """MLflow, connected to on first use; its database then names this home's files where they are."""
        connection = Connection(self.tracking_uri, self.locks)
        if self.tracking_uri.startswith(SQLITE) and "://" not in self.artifact_root:
            with registry_faults(connection.address, "naming this home's folder in it"):
                moved = relocate(Path(self.tracking_uri.removeprefix(SQLITE)), Path(self.artifact_root).absolute())
            for experiment in moved:
                level = logging.INFO if experiment.is_default else logging.WARNING
                log.log(level, "MLflow's database named the files of experiment %s; put right", experiment)
        return connection

    @property
    def _has_server(self) -> bool:
        return self.tracking_uri.startswith(("http://", "https://"))

    def _record(self) -> SiteRecord:
        return SiteRecord(history=self.history, key=signing_key(self.key_folder))

    def _files_of(self, line: str) -> str | None:
        """Return where a line's files go, or None where a server decides. MLflow keeps it, so it must be absolute."""
        if self._has_server:
            return None
        root = self.artifact_root.rstrip("/")
        return f"{root}/{line}" if "://" in root else str(Path(root, line).absolute())


def _known(mlflow: Connection, candidate: Candidate) -> ModelVersion | None:
    """Return the version that has the candidate's files, or None; a registered model that is missing is created."""
    of_model = f"name='{candidate.name}'"
    newest = mlflow.models.search_model_versions(of_model, max_results=1, order_by=["version_number DESC"])
    if not newest:
        _create_model(mlflow, candidate)
        return None
    if newest[0].tags.get("digest") != candidate.digest:
        newest = mlflow.models.search_model_versions(f"{of_model} and tags.digest='{candidate.digest}'")
    return next(
        (version for version in newest if _has_all(version, candidate) and not why_not_whole(mlflow, version)), None
    )


def _has_all(version: ModelVersion, candidate: Candidate) -> bool:
    """Whether the version keeps every file of the candidate as it is: an earlier one may be without some of them."""
    return all(version.tags.get(digest_tag(name)) == digest_of(file) for name, file in candidate.files.items())


def _create_model(mlflow: Connection, candidate: Candidate) -> None:
    try:
        mlflow.runs.create_registered_model(candidate.name, tags={"line": candidate.line, "site": candidate.site})
    except RegistryError as error:
        if error.code != "RESOURCE_ALREADY_EXISTS":
            raise


def _add(mlflow: Connection, experiment: str, candidate: Candidate) -> ModelVersion:
    """Keep the candidate as a run, its files, and a new version; the version comes last, so a death leaves none."""
    with log_candidate(mlflow, experiment, candidate) as run_id:
        logged = mlflow.runs.create_logged_model(experiment, name="model", source_run_id=run_id)
        with save_model_folder(candidate, logged.model_id) as folder:
            mlflow.put_folder(logged.artifact_location, folder)
        mlflow.runs.finalize_logged_model(logged.model_id, "READY")
        # The source is the files' place, not `models:/<id>`: MLflow resolves that through its process-wide address.
        return _new_version(mlflow, candidate, logged.artifact_location, run_id, logged.model_id)


def _new_version(
    mlflow: Connection, candidate: Candidate, source: str, run_id: str, model_id: str | None
) -> ModelVersion:
    tags = {
        **candidate.provenance,
        **{digest_tag(name): digest_of(content) for name, content in candidate.files.items()},
        "fine_tuned": str(candidate.fine_tuned).lower(),
    }
    return mlflow.runs.create_model_version(
        candidate.name,
        source=source,
        run_id=run_id,
        model_id=model_id,
        description=candidate.why,
        tags=masked_values(tags),
    )


def _keep_challenger(mlflow: Connection, registered: ModelVersion, *, may_replace: bool) -> None:
    """Give the alias `challenger` to a version that may replace the champion, and take it from one that may not."""
    if may_replace and not {"champion", "challenger"} & set(registered.aliases):
        mlflow.models.set_registered_model_alias(registered.name, "challenger", str(registered.version))
    if not may_replace and "challenger" in registered.aliases:
        mlflow.models.delete_registered_model_alias(registered.name, "challenger")


def _champion(mlflow: Connection, model: str) -> ModelVersion | None:
    """Return the version that the alias `champion` points to; None where there is no such model, or no such alias."""
    try:
        return mlflow.models.get_model_version_by_alias(model, "champion")
    except RegistryError as error:
        if error.code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:  # no model, no alias
            raise
        return None


def _version(mlflow: Connection, model: str, version: int) -> ModelVersion:
    """Return the version with its aliases; raises ReleaseRefused where there is none."""
    registered = _version_if_there(mlflow, model, version)
    if registered is None:
        line, _ = model_parts(model)
        stage = "base_model" if model == model_name(line, LINE_SITE) else "site_model"
        raise ReleaseRefused(
            f"{_deleted(model, version)}; what is served goes on. Make it anew: factory run {line} --from {stage}"
        )
    return registered


def _version_if_there(mlflow: Connection, model: str, version: int) -> ModelVersion | None:
    try:
        return mlflow.models.get_model_version(model, str(version))
    except RegistryError as error:
        if error.code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _deleted(model: str, version: int) -> str:
    return f"{model} has no version {version} in the registry any more: somebody deleted it in MLflow"
