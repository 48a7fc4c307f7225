"""Runs one process of the gateway: one event loop, one folder of released models and one public key."""

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from os import cpu_count
from pathlib import Path
from typing import Any

import uvloop

from factory.gateway.access.keys import Access
from factory.gateway.access.quota import OwnSpending, shared_book
from factory.gateway.endpoints.routes import Gateway
from factory.gateway.endpoints.service import Service
from factory.gateway.http.connection import Connections
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.catalogue import Catalogue
from factory.gateway.models.feature_builders import ContextSource, NoContexts, RowBuilders
from factory.gateway.models.prediction_writer import RecordWriter
from factory.gateway.models.question import Predictions
from factory.gateway.models.residency import Residents
from factory.gateway.processes.all_workers import Alone, Together
from factory.gateway.processes.messages import Membership
from factory.gateway.processes.ports import cannot_listen, host_and_port
from factory.gateway.settings import Settings
from factory.model.provider import installed_providers
from factory.release import ModelRepository
from factory.release.signing import public_key as loaded_public_key

log = logging.getLogger(__name__)

DRAIN_S = 10.0


def serve(models: Path, public_key: Path, settings: Settings, contexts: ContextSource) -> None:
    """Serve every released model until SIGINT or SIGTERM; requests that are under way are answered before it ends.

    `contexts` are what features of business rows are built on.

    Raises ModelRefused where there is no public key to check releases with, KeyRefused on a damaged key file,
    TlsRefused on a certificate or key that cannot be used, ProviderMissing where ONNX Runtime lacks what the models are
    to run on, and CannotListen where the port is taken.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run_frozen(Server(models, public_key, settings, contexts))


def run_frozen(server: "Server") -> None:
    """Run it in a process that does nothing else."""
    gc.freeze()  # what was imported stays; to look through it again and again held up requests for 70 ms
    server.run()


class Server:
    """One gateway process, alone or one of several workers. `run` blocks; `stop` may be called from any thread."""

    def __init__(
        self,
        models: Path,
        public_key: Path,
        settings: Settings,
        contexts: ContextSource | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Raises what `serve` raises."""
        self._tls = settings.tls.context() if settings.tls else None
        self._settings = settings
        self._membership = membership
        providers = installed_providers(settings.provider)
        self._telemetry = Telemetry()
        threads = (cpu_count() or 1) // (membership.workers if membership else 1)
        self._workers = ThreadPoolExecutor(max(1, threads), thread_name_prefix="model")
        self._access = Access(settings.keys, shared_book(membership) if membership else OwnSpending)
        key = loaded_public_key(public_key)
        self._records = RecordWriter(settings.records, settings.record_limits) if settings.records else None
        self._telemetry.records = self._records
        predictions = Predictions(self._workers, self._records, Residents(settings.max_awake), providers)
        self._telemetry.awake = lambda: predictions.residents.count
        self._predictions = predictions
        self._catalogue = Catalogue(ModelRepository(models), key, self._telemetry, predictions)
        alone = Alone(self._catalogue, self._telemetry)
        self._crew = Together(alone, membership) if membership else alone
        self._service = Service(self._catalogue, self._crew)
        self._builders = RowBuilders(contexts or NoContexts(), self._telemetry)
        gateway = Gateway(self._service, self._access, self._telemetry, self._builders, settings.cpu_hour_eur)
        self._connections = Connections(gateway, settings.limits)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._stop_wanted = False
        self.started = threading.Event()
        self.port = self.grpc_port = 0

    def run(self) -> None:
        """Serve until stopped."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._live())
        self._workers.shutdown(wait=False)
        if self._records:
            self._records.close()

    def stop(self) -> None:
        """Take no more requests, answer those that are under way, and end; told early, end when it would begin."""
        self._stop_wanted = True  # before the look at the loop: `_live` sets the loop before it looks here
        if self._loop:
            with suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def _live(self) -> None:
        """Load what is released before the first request, and follow the repository until the end."""
        self._loop = asyncio.get_running_loop()
        self._heed_signals()
        every_s = self._settings.refresh_every_s
        async with self._crew.joined():
            await self._catalogue.refresh()
            listener = await self._listener()
            self.port = listener.sockets[0].getsockname()[1]
            followed = (self._catalogue, self._access, self._builders)
            watching = (self._connections.watch(), *(one.watch(every_s) for one in followed))
            async with _running(*watching), self._grpc() as self.grpc_port:
                self._tell()
                self.started.set()
                await self._stopped.wait()
                listener.close()
                await self._connections.drain(DRAIN_S)
        await self._builders.end()
        self._catalogue.end_trials()
        await self._predictions.end()

    async def _listener(self) -> asyncio.Server:
        """Open the HTTP door; workers share its port."""
        host, port, shared = self._settings.host, self._settings.port, self._membership is not None
        try:
            return await asyncio.get_running_loop().create_server(
                self._connections.new, host, port, ssl=self._tls, backlog=2048, reuse_port=shared
            )
        except OSError as error:
            raise cannot_listen(host, port, error) from error

    @asynccontextmanager
    async def _grpc(self) -> AsyncIterator[int]:
        """Open the gRPC door, if it is wanted, and yield its port."""
        if self._settings.grpc_port is None:
            yield 0
            return
        from factory.gateway.endpoints.grpc.listener import listening
        from factory.gateway.endpoints.grpc.servicer import GrpcDoor

        door = GrpcDoor(self._service, self._access, self._telemetry)
        tls = self._settings.tls.pair() if self._settings.tls else None
        address = host_and_port(self._settings.host, self._settings.grpc_port)
        max_bytes, shared = self._settings.limits.max_body_bytes, self._membership is not None
        async with listening(door, address, tls, max_bytes=max_bytes, drain_s=DRAIN_S, shared=shared) as port:
            yield port

    def _tell(self) -> None:
        host = self._settings.host
        grpc = f", gRPC on port {self.grpc_port}" if self.grpc_port else ""
        scheme, on = "https" if self._tls else "http", self._settings.provider
        log.info("listening on %s://%s%s; models run on %s", scheme, host_and_port(host, self.port), grpc, on)
        if self._access.is_open and host not in ("127.0.0.1", "::1", "localhost"):
            log.warning("no API keys: whoever reaches %s may ask everything; `factory key add` makes one", host)

    def _heed_signals(self) -> None:
        """Stop when a signal says so, or at once where `stop` came before there was a loop to tell."""
        if self._stop_wanted:
            self._stopped.set()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self._stopped.set)


@asynccontextmanager
async def _running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside the body, and cancel them after it."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
