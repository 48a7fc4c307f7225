"""What the gateway can do, whichever door a request comes through: find a model, list, load and unload them."""

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, Protocol, TypedDict

from factory.gateway.metrics.counts import Counted
from factory.gateway.models.catalogue import Catalogue
from factory.gateway.models.entry import Entry
from factory.gateway.models.feature_builders import RowBuilders
from factory.gateway.models.served_model import ServedModel
from factory.gateway.refusal import RequestRefused, shown

NAME = "ai-factory"


class Indexed(TypedDict):
    """One model in the repository's index."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class AllProcesses(Protocol):
    """All processes of the gateway, of which this is one."""

    async def counted(self) -> Counted:
        """Return what all of them have counted."""

    async def load(self, model: str) -> str | None:
        """Have all of them serve the model's newest release, and return why not if it was refused."""

    async def unload(self, model: str) -> None:
        """Have none of them serve the model until it is loaded by hand."""


class Service:
    """The gateway, asked in the words of the protocol; what cannot be done raises RequestRefused.

    Questions are for the catalogue of this process; what is counted, loaded and unloaded is so for all processes.
    """

    def __init__(self, catalogue: Catalogue, processes: AllProcesses, builders: RowBuilders) -> None:
        self._catalogue = catalogue
        self._processes = processes
        self._builders = builders

    async def counted(self) -> Counted:
        """Return what the gateway has counted."""
        return await self._processes.counted()

    def entry(self, name: str, wanted: str | None = None) -> Entry:
        """Return the model; raises RequestRefused with 404 if there is none such, 503 if there should be."""
        entry = self._catalogue.served.get(name)
        if entry is None:
            raise self._missing(name)
        serving = str(entry.model.manifest.version)
        if wanted not in (None, serving):
            raise RequestRefused(404, f"model {name!r} serves version {serving}, not {shown(str(wanted))}")
        return entry

    def _missing(self, name: str) -> RequestRefused:
        if name in self._catalogue.refused:
            return RequestRefused(503, f"model {name!r} is not served: its release was refused, see the log")
        if name in self._catalogue.unloaded:
            return RequestRefused(503, f"model {name!r} was unloaded; POST /v2/repository/models/{name}/load")
        if not self._catalogue.served:
            return RequestRefused(503, self.unready)
        return RequestRefused(404, f"no model {shown(name)}; POST /v2/repository/index lists those there are")

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is in service, by name."""
        return self._catalogue.served

    @property
    def models(self) -> dict[str, ServedModel]:
        """The models in service, by name."""
        return {name: entry.model for name, entry in self._catalogue.served.items()}

    @property
    def refused(self) -> dict[str, str]:
        """The models whose newest release was refused, and why."""
        return self._catalogue.refused

    @property
    def refused_trials(self) -> dict[str, str]:
        """The models whose trial was refused, and why."""
        return self._catalogue.trials.refused

    @property
    def unready(self) -> str:
        """Why nobody should send requests here yet; empty where they can be answered.

        One refused release or snapshot must not take the others down, so what is served is enough. It is announced once
        it can be asked in every way: models and snapshots were looked at.
        """
        if not self._catalogue.served:
            return "no model is served: nothing has been released, or all of it was refused"
        if not self._builders.settled:
            return "the snapshots, on which features of business rows are built, are being loaded"
        return ""

    def index(self, opens: Callable[[str], bool], *, only_ready: bool) -> list[Indexed]:
        """Return all models that are open to who asks, or only those of them that answer."""
        models = {name: model for name, model in self.models.items() if opens(name)}
        index = [
            Indexed(name=name, version=str(models[name].manifest.version), state="READY", reason="")
            for name in sorted(models)
        ]
        if only_ready:
            return index
        reasons = dict.fromkeys(self._catalogue.unloaded, "it was unloaded")
        reasons |= dict.fromkeys(self._catalogue.refused, "its release was refused")
        return index + [
            Indexed(name=name, version="", state="UNAVAILABLE", reason=reasons[name])
            for name in sorted(set(reasons) - set(models))
            if opens(name)
        ]

    async def load(self, name: str) -> None:
        """Serve the model's newest release, also after `unload`."""
        self._require_known(name)
        reason = await self._processes.load(name)
        if reason is not None:
            raise RequestRefused(400, f"model {shown(name)} cannot be loaded, the log says why: run its line again")

    async def unload(self, name: str) -> None:
        """Serve the model no longer, until `load` or a restart; requests under way are answered."""
        self._require_known(name)
        await self._processes.unload(name)

    def _require_known(self, name: str) -> None:
        if not self._catalogue.knows(name):
            raise RequestRefused(400, f"no model {shown(name)} is released; run its line first")


def own_version() -> str:
    """Return the installed version, or `0` where it is not installed."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "0"
