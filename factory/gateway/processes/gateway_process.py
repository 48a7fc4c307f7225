"""All of one process of the gateway but the listener for HTTP: what answers, and what keeps it up to date.

The gateway's own server (`server`) and an application for another one (`application`) each put their HTTP in front.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from os import cpu_count
from pathlib import Path
from typing import Any

from factory.gateway.access.keys import Access
from factory.gateway.access.quota import OwnSpending, shared_spending
from factory.gateway.endpoints.routes import Gateway
from factory.gateway.endpoints.service import Service
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.catalogue import Catalogue
from factory.gateway.models.feature_builders import NoSnapshots, RowBuilders, SnapshotSource
from factory.gateway.models.prediction_writer import RecordWriter
from factory.gateway.models.question import Predictions
from factory.gateway.models.session_cache import SessionCache
from factory.gateway.processes.all_workers import PeerProcess, SingleProcess
from factory.gateway.processes.ports import host_and_port
from factory.gateway.processes.worker_config import Membership
from factory.gateway.settings import Settings
from factory.model.provider import installed_providers
from factory.release import ModelRepository
from factory.release.screen_feed import ScreenFeeds
from factory.release.signing import public_key as loaded_public_key

log = logging.getLogger(__name__)

DRAIN_S = 10.0


class GatewayProcess:
    """One process of the gateway, alone or one of several workers; it lives once, on the event loop of `running`."""

    def __init__(
        self,
        models: Path,
        public_key: Path,
        settings: Settings,
        snapshots: SnapshotSource | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Raises ModelRefused without a public key, KeyRefused on a damaged key file, ProviderMissing."""
        self._settings = settings
        self._membership = membership
        providers = installed_providers(settings.provider)
        self._telemetry = telemetry = Telemetry()
        self._access = Access(settings.keys, _spending(membership))
        key = loaded_public_key(public_key)
        threads = (cpu_count() or 1) // (membership.workers if membership else 1)
        self._threads = ThreadPoolExecutor(max(1, threads), thread_name_prefix="model")
        self._records = RecordWriter(settings.records, settings.record_limits) if settings.records else None
        telemetry.records = self._records
        self._predictions = Predictions(self._threads, self._records, SessionCache(settings.max_awake), providers)
        telemetry.awake = lambda: self._predictions.sessions.count
        self._catalogue = Catalogue(ModelRepository(models), key, telemetry, self._predictions)
        single = SingleProcess(self._catalogue, telemetry)
        self._processes = PeerProcess(single, membership) if membership else single
        self._builders = RowBuilders(snapshots or NoSnapshots(), telemetry)
        self._service = Service(self._catalogue, self._processes, self._builders)
        self.door = Gateway(
            self._service, self._access, telemetry, self._builders, ScreenFeeds(models=models), settings
        )
        """Answers requests, while the process runs."""
        self.grpc_port = 0

    @property
    def is_open(self) -> bool:
        """Whether there are no API keys, so that everybody may ask everything."""
        return self._access.is_open

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load what is released before the body, follow the repository and answer gRPC during it, and end after it."""
        every_s = self._settings.refresh_every_s
        try:
            async with self._processes.joined():
                await self._catalogue.refresh()
                followed = (self._catalogue, self._access, self._builders)
                async with background(*(one.watch(every_s) for one in followed)), self._grpc() as self.grpc_port:
                    yield
            await self._builders.end()
            self._catalogue.end_trials()
            await self._predictions.end()
        finally:
            self._threads.shutdown(wait=False)
            if self._records:
                await asyncio.to_thread(self._records.close)

    @asynccontextmanager
    async def _grpc(self) -> AsyncIterator[int]:
        """Answer gRPC, if it is wanted, and yield the port."""
        if self._settings.grpc_port is None:
            yield 0
            return
        from factory.gateway.endpoints.grpc.servicer import GrpcDoor, listening

        limits = self._settings.limits
        door = GrpcDoor(self._service, self._access, self._telemetry, limits)
        tls = self._settings.tls.pair() if self._settings.tls else None
        address = host_and_port(self._settings.host, self._settings.grpc_port)
        shared = self._membership is not None
        async with listening(door, address, tls, limits, drain_s=DRAIN_S, shared=shared) as port:
            yield port


def _spending(membership: Membership | None) -> Any:
    """Return where each key's rows are counted: here, or together with the other workers."""
    if membership is None:
        return OwnSpending
    return shared_spending(membership.folder, membership.number, membership.workers)


@asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside the body, and cancel them after it."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
