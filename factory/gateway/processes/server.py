"""The gateway's own server: one process, with its HTTP core in front of it."""

import asyncio
import gc
import logging
import signal
import threading
from contextlib import suppress
from pathlib import Path

import uvloop

from factory.gateway.http.connection import Connections
from factory.gateway.logs import set_up
from factory.gateway.models.feature_builders import SnapshotSource
from factory.gateway.processes.gateway_process import DRAIN_S, GatewayProcess, background
from factory.gateway.processes.ports import cannot_listen, host_and_port
from factory.gateway.processes.worker_config import Membership
from factory.gateway.settings import Settings

log = logging.getLogger(__name__)


def serve(models: Path, public_key: Path, settings: Settings, snapshots: SnapshotSource) -> None:
    """Serve every released model until SIGINT or SIGTERM; requests that are under way are answered before it ends.

    `snapshots` are what features of business rows are built on.

    Raises ModelRefused where there is no public key to check releases with, KeyRefused on a damaged key file,
    TlsRefused on a certificate or key that cannot be used, ProviderMissing where ONNX Runtime lacks what the models are
    to run on, and CannotListen where the port is taken.
    """
    set_up(as_json=settings.log_format == "json")
    run_frozen(Server(models, public_key, settings, snapshots))


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
        snapshots: SnapshotSource | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Raises what `serve` raises."""
        self._tls = settings.tls.context() if settings.tls else None
        self._settings = settings
        self._is_one_of_several = membership is not None
        self._process = GatewayProcess(models, public_key, settings, snapshots, membership)
        self._connections = Connections(self._process.door, settings.limits)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._stop_wanted = False
        self.started = threading.Event()
        self.port = 0

    @property
    def grpc_port(self) -> int:
        """Where gRPC is answered; 0 where it is not."""
        return self._process.grpc_port

    def run(self) -> None:
        """Serve until stopped."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._live())

    def stop(self) -> None:
        """Take no more requests, answer those that are under way, and end; told early, end when it would begin."""
        self._stop_wanted = True  # before the look at the loop: `_live` sets the loop before it looks here
        if self._loop:
            with suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def _live(self) -> None:
        """Listen once what is released is loaded, until stopped."""
        self._loop = asyncio.get_running_loop()
        self._stop_on_signals()
        async with self._process.running():
            listener = await self._listener()
            self.port = listener.sockets[0].getsockname()[1]
            async with background(self._connections.watch()):
                self._log_start()
                self.started.set()
                await self._stopped.wait()
                listener.close()
                await self._connections.drain(DRAIN_S)

    async def _listener(self) -> asyncio.Server:
        """Listen for HTTP; workers share the port."""
        host, port, shared = self._settings.host, self._settings.port, self._is_one_of_several
        within_s = self._settings.limits.request_s if self._tls else None
        try:
            return await asyncio.get_running_loop().create_server(
                self._connections.new,
                host,
                port,
                ssl=self._tls,
                ssl_handshake_timeout=within_s,
                backlog=2048,
                reuse_port=shared,
            )
        except OSError as error:
            raise cannot_listen(host, port, error) from error

    def _log_start(self) -> None:
        host = self._settings.host
        grpc = f", gRPC on port {self.grpc_port}" if self.grpc_port else ""
        scheme, on = "https" if self._tls else "http", self._settings.provider
        log.info("listening on %s://%s%s; models run on %s", scheme, host_and_port(host, self.port), grpc, on)
        if self._process.is_open and host not in ("127.0.0.1", "::1", "localhost"):
            log.warning("no API keys: whoever reaches %s may ask everything; `factory key add` makes one", host)

    def _stop_on_signals(self) -> None:
        """Stop when a signal says so, or at once where `stop` came before there was a loop to tell."""
        if self._stop_wanted:
            self._stopped.set()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self._stopped.set)
