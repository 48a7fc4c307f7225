"""Dagster resources: the other rooms' objects, with the settings that people see and change in the UI.

Each makes the plain object that the stages work with, so that a stage is the same with or without Dagster. A program
binds others of the same promises (factory/pipeline/ports.py) as they are.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from dagster._config.pythonic_config import ConfigurableResourceFactory  # documented, but exported by no public name
from pydantic import Field, field_validator

from factory.compute.engine import Compute
from factory.connectors.outbox.store import OutboxStore
from factory.data.contract.data_docs import DataDocs
from factory.line.line import Line
from factory.monitoring.alerts import Alerts
from factory.registry.registry import Registry
from factory.release.history import History
from factory.release.store import ModelStore
from factory.reports.folder import Reports
from factory.storage.home import storage_options
from factory.storage.lake_store import LakeStore
from factory.storage.locks import FileLocks

Context = dg.InitResourceContext


class LakeResource(ConfigurableResourceFactory[LakeStore]):
    """Delta tables under one URL; a local folder by default, any object store that delta-rs knows."""

    url: str = Field(description="folder or object-store URL under which each line has a folder of its own")
    storage_options: str | None = Field(default=None, description="object-store options, as a JSON object; secrets")

    def create_resource(self, context: Context) -> LakeStore:  # noqa: ARG002  as Dagster asks
        """Return the lake."""
        return LakeStore(url=self.url, storage_options=storage_options(self.storage_options or ""))


class ComputeResource(ConfigurableResourceFactory[Compute]):
    """Where frames and tensors run."""

    engine: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="auto probes the device once")

    def create_resource(self, context: Context) -> Compute:  # noqa: ARG002
        """Return the switch."""
        return Compute(engine=self.engine)


class RegistryResource(ConfigurableResourceFactory[Registry]):
    """MLflow: every candidate, its verdict, and who was promoted by whom."""

    tracking_uri: str = Field(description="MLflow's database or server; may hold a password")
    artifact_root: str = Field(description="folder or URL of the models' files; a tracking server has its own")
    locks: str = Field(description="folder on a local disk for lock files")
    history: str = Field(description="folder on a local disk of the sites' histories")
    key_folder: str = Field(description="folder of the key that signs them")
    ui_url: str = Field(default="http://127.0.0.1:5000", description="where people open the MLflow UI")

    def create_resource(self, context: Context) -> Registry:  # noqa: ARG002
        """Return the registry."""
        return Registry(
            tracking_uri=self.tracking_uri,
            artifact_root=self.artifact_root,
            locks=FileLocks(Path(self.locks)),
            history=History(Path(self.history)),
            key_folder=Path(self.key_folder),
            ui_url=self.ui_url,
        )


class ModelStoreResource(ConfigurableResourceFactory[ModelStore]):
    """The releases that sites serve, and the key that signs them."""

    root: str = Field(description="folder of the model repository")
    key_folder: str = Field(description="folder of the release key; only the public half is for the gateway")
    history: str | None = Field(default=None, description="folder of the sites' histories; by default beside root")

    def create_resource(self, context: Context) -> ModelStore:  # noqa: ARG002
        """Return the store."""
        history = History(Path(self.history)) if self.history else None
        return ModelStore(root=Path(self.root), key_folder=Path(self.key_folder), history=history)


class AlertsResource(ConfigurableResourceFactory[Alerts]):
    """Where people are told that something happened."""

    webhook: str | None = Field(default=None, description="http or https address that takes alerts as JSON by POST")
    addresses: str | None = Field(
        default=None, description="addresses of mail, chat and other services as Apprise writes them, space-separated"
    )
    timeout_s: float = Field(default=10.0, description="how long the webhook may take, and each address")

    @field_validator("webhook", mode="before")
    @classmethod
    def _is_web(cls, address: Any) -> Any:
        """Refuse an invalid address while the project is loaded, without naming it."""
        Alerts(webhook=address.get_value() if isinstance(address, dg.EnvVar) else address)
        return address

    def create_resource(self, context: Context) -> Alerts:  # noqa: ARG002
        """Return the alerts."""
        return Alerts(webhook=self.webhook, addresses=self.addresses, timeout_s=self.timeout_s)


class DataDocsResource(ConfigurableResourceFactory[DataDocs]):
    """Where people read what contracts found."""

    root: str = Field(description="folder that holds the pages (`site/index.html`) and the stored results (`results`)")

    def create_resource(self, context: Context) -> DataDocs:  # noqa: ARG002
        """Return the Data Docs."""
        return DataDocs(root=Path(self.root))


class ReportsResource(ConfigurableResourceFactory[Reports]):
    """Pages of lines and sites."""

    root: str = Field(description="folder under which each line has its pages")

    def create_resource(self, context: Context) -> Reports:  # noqa: ARG002
        """Return the pages."""
        return Reports(root=Path(self.root))


class OutboxResource(ConfigurableResourceFactory[OutboxStore]):
    """Where messages to business systems wait, and where their receipts are kept."""

    root: str = Field(description="folder of the outboxes, a file a line, unless `url` is set; on a local disk")
    models: str = Field(description="folder of the model repository, where the feeds of screens lie")
    sends: bool = Field(default=True, description="whether anything is sent; otherwise every sink is tried dry")
    url: str | None = Field(default=None, description="PostgreSQL database that several machines share; a secret")

    def create_resource(self, context: Context) -> OutboxStore:  # noqa: ARG002
        """Return the outboxes."""
        return OutboxStore(root=Path(self.root), models=Path(self.models), sends=self.sends, url=self.url or "")


class FolderResource(ConfigurableResourceFactory[Path]):
    """A folder: the gateway's prediction log, or one for work in progress."""

    path: str = Field(description="the folder; it need not be there")

    def create_resource(self, context: Context) -> Path:  # noqa: ARG002
        """Return the folder."""
        return Path(self.path)


class Calendar(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """The as-of moment by which sensors and schedules look at the world."""

    as_of: str = Field(default="", description="date YYYY-MM-DD for all lines; empty: as each line's file says")

    def until(self, line: Line) -> datetime:
        """Return the moment before which a line looks, UTC and naive."""
        return datetime.fromisoformat(self.as_of) if self.as_of else line.default_until


def opened(resource: Any) -> Any:
    """Return what a bound resource is for the stages, outside a run."""
    return resource.process_config_and_initialize() if isinstance(resource, ConfigurableResourceFactory) else resource
