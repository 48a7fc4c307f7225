"""Runs the gateway: one process, one event loop, one folder of released models and one public key."""

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import Any

import uvloop

from factory.gateway.access import Access
from factory.gateway.app import Gateway
from factory.gateway.catalogue import Catalogue
from factory.gateway.connection import Connections
from factory.gateway.limits import DEFAULT_LIMITS, Limits
from factory.gateway.question import Predictions
from factory.gateway.records import DEFAULT_RECORD_LIMITS, RecordLimits, RecordWriter
from factory.gateway.residents import DEFAULT_RESIDENTS, Residents
from factory.gateway.row_builders import ContextSource, NoContexts, RowBuilders
from factory.gateway.service import Service
from factory.gateway.telemetry import Telemetry
from factory.gateway.tls import Tls
from factory.repository import ModelRepository
from factory.signing import public_key as loaded_public_key

log = logging.getLogger(__name__)

DRAIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the gateway listens, and what it takes."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one."""
    grpc_port: int | None = None
    """None for no gRPC, 0 takes a free port."""
    refresh_every_s: float = 0.5
    keys: Path | None = None
    """The file of API keys; where there is none, everybody may ask everything."""
    tls: Tls | None = None
    """None speaks in the clear: on the loopback, or behind a proxy that has the certificate."""
    records: Path | None = None
    """The folder that predictions are recorded in; None to record none."""
    limits: Limits = DEFAULT_LIMITS
    max_awake: int = DEFAULT_RESIDENTS
    """So many models at most are in memory whole; the others are woken, in milliseconds, when they are asked."""
    record_limits: RecordLimits = DEFAULT_RECORD_LIMITS
    cpu_hour_eur: float = 0.0
    """What an hour of one processor costs here; at 0 no metric says what predictions cost."""


def serve(models: Path, public_key: Path, settings: Settings, contexts: ContextSource) -> None:
    """Serve every released model until SIGINT or SIGTERM; requests that are under way are answered before it ends.

    `contexts` are what features of business rows are built on.

    Raises ModelRefused where there is no public key to check releases with, KeyRefused on a damaged key file, and
    TlsRefused on a certificate or key that cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server = Server(models, public_key, settings, contexts)
    gc.freeze()  # what was imported stays; to look through it again and again held up requests for 70 ms
    server.run()


class Server:
    """One gateway process. `run` blocks; `stop` may be called from any thread."""

    def __init__(
        self, models: Path, public_key: Path, settings: Settings, contexts: ContextSource | None = None
    ) -> None:
        """Raises what `serve` raises."""
        self._tls = settings.tls.context() if settings.tls else None
        self._settings = settings
        self._telemetry = Telemetry(settings.cpu_hour_eur)
        self._workers = ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="model")
        self._access = Access(settings.keys)
        key = loaded_public_key(public_key)
        self._records = RecordWriter(settings.records, settings.record_limits) if settings.records else None
        self._telemetry.records = self._records
        predictions = Predictions(self._workers, self._records, Residents(settings.max_awake))
        self._telemetry.awake = lambda: predictions.residents.count
        self._predictions = predictions
        self._catalogue = Catalogue(ModelRepository(models), key, self._telemetry, predictions)
        self._service = Service(self._catalogue)
        self._builders = RowBuilders(contexts or NoContexts())
        gateway = Gateway(self._service, self._access, self._telemetry, self._builders)
        self._connections = Connections(gateway, settings.limits)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
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
        """Take no more requests, answer those that are under way, and end."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _live(self) -> None:
        """Load what is released before the first request, and follow the repository until the end."""
        self._loop = asyncio.get_running_loop()
        self._heed_signals()
        await self._catalogue.refresh()
        listener = await self._loop.create_server(
            self._connections.new, self._settings.host, self._settings.port, ssl=self._tls, backlog=2048
        )
        self.port = listener.sockets[0].getsockname()[1]
        every_s = self._settings.refresh_every_s
        watching = _running(
            self._catalogue.watch(every_s),
            self._access.watch(every_s),
            self._builders.watch(every_s),
            self._connections.watch(),
        )
        async with watching, self._grpc() as self.grpc_port:
            self._tell()
            self.started.set()
            await self._stopped.wait()
            listener.close()
            await self._connections.drain(DRAIN_S)
        await self._builders.end()
        self._catalogue.end_trials()
        await self._predictions.end()

    @asynccontextmanager
    async def _grpc(self) -> AsyncIterator[int]:
        """Open the gRPC door, if it is wanted, and yield its port."""
        if self._settings.grpc_port is None:
            yield 0
            return
        from factory.gateway.grpc.door import GrpcDoor
        from factory.gateway.grpc.listener import listening

        door = GrpcDoor(self._service, self._access, self._telemetry)
        tls = self._settings.tls.pair() if self._settings.tls else None
        address = f"{self._settings.host}:{self._settings.grpc_port}"
        max_bytes = self._settings.limits.max_body_bytes
        async with listening(door, address, tls, max_bytes=max_bytes, drain_s=DRAIN_S) as port:
            yield port

    def _tell(self) -> None:
        host = self._settings.host
        log.info("listening on %s://%s:%d", "https" if self._tls else "http", host, self.port)
        if self._access.is_open and host not in ("127.0.0.1", "::1", "localhost"):
            log.warning("no API keys: whoever reaches %s may ask everything; `factory key add` makes one", host)

    def _heed_signals(self) -> None:
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
