"""Keeps several processes of one gateway: starts them on one port, starts anew what dies, and ends them all together.

It holds no model and answers nobody. A worker reads its config from standard input, says on standard output that it
answers or why it cannot, and ends when the supervisor is gone, however that went.
"""

import asyncio
import fcntl
import logging
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from factory.errors import FactoryError
from factory.gateway.logs import set_up
from factory.gateway.processes.ports import held_port, host_and_port
from factory.gateway.processes.worker_config import Membership, Started, WorkerConfig
from factory.gateway.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
WORKER = "factory.cli.serving"
"""The module that is a worker when it is run; it knows more than a gateway may import."""
SOUND_S = 5.0
"""A worker that answered so long did not die of how it began: the next one comes at once again."""
GRACE_S = 30.0
"""For a worker that was told to end; each of its doors gives its clients up to a third of it."""


LONGEST_FOLDER = 90
"""A Unix socket's path has 107 bytes at most."""


class _Ended(NamedTuple):
    """Why a worker ended, and how long it had answered."""

    error: FactoryError
    answered_s: float


class Supervisor:
    """One gateway of several workers."""

    def __init__(self, models: Path, public_key: Path, settings: Settings, workers: int) -> None:
        self._models = models
        self._public_key = public_key
        self._settings = settings
        self._numbers = range(1, workers + 1)
        self._running: dict[int, Process] = {}
        self._answering: dict[int, float] = {}
        """Since when, by the monotonic clock."""
        self._stopping = asyncio.Event()
        self._began = False
        self._refused: FactoryError | None = None
        self._ended_well = True

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM, and return the exit code: 0, or 1 if a worker could not end as it should.

        Raises what the first worker raised that could not begin, as `factory.gateway.processes.server.serve` would, and
        CannotListen where a port is taken.
        """
        set_up(as_json=self._settings.log_format == "json")
        with ExitStack() as held:
            host, port, grpc_port = self._settings.host, self._settings.port, self._settings.grpc_port
            port = held.enter_context(held_port(host, port))
            if grpc_port is not None:
                grpc_port = held.enter_context(held_port(host, grpc_port))
            self._settings = replace(self._settings, port=port, grpc_port=grpc_port)
            asyncio.run(self._live(held.enter_context(_private_folder())))
        if self._refused:
            raise self._refused
        return 0 if self._ended_well else 1

    async def _live(self, folder: Path) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        memberships = (Membership(number=one, workers=len(self._numbers), folder=folder) for one in self._numbers)
        await asyncio.gather(self._stop_all(), *(self._kept(one) for one in memberships))

    async def _kept(self, membership: Membership) -> None:
        """Run a worker, and another in its place whenever it ends, until the gateway ends."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            ended = await self._lived(membership)
            if self._stopping.is_set():
                return
            if not self._began:  # what keeps a worker from beginning is for the person who started the gateway
                self._refused = ended.error
                self._stopping.set()
                return
            pause_s = FIRST_PAUSE_S if ended.answered_s > SOUND_S else pause_s
            message = "worker %d ended, it answered for %.1f s; the next one starts in %g s: %s"
            log.error(message, membership.number, ended.answered_s, pause_s, ended.error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _lived(self, membership: Membership) -> _Ended:
        """Run one worker to its end, and return how that came; the system may have no room for it even to begin."""
        number = membership.number
        try:
            process = await self._started(membership)
        except (OSError, RuntimeError) as error:  # RuntimeError: asyncio got no thread to wait for its end with
            return _Ended(FactoryError(f"worker {number} could not be started: {error}"), 0.0)
        self._running[number] = process
        if self._stopping.is_set():
            _end(process)
        assert process.stdout  # noqa: S101  for the type checker: it is a pipe
        line = await process.stdout.readline()
        started = msgspec.json.decode(line, type=Started) if line else None
        if started and not started.error:
            self._answers(number)
        code = await process.wait()
        del self._running[number]
        since = self._answering.pop(number, None)
        self._ended_well &= not self._stopping.is_set() or code in (0, -signal.SIGTERM)
        answered_s = time.monotonic() - since if since else 0.0
        return _Ended(_reason(number, code, started), answered_s)

    async def _started(self, membership: Membership) -> Process:
        """Return a new process, which was sent its config."""
        words = [sys.executable, "-P", "-m", WORKER]
        # A group of its own, so that Ctrl-C reaches the supervisor alone, which passes it on once.
        process = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, process_group=0)
        config = WorkerConfig(
            models=self._models, public_key=self._public_key, settings=self._settings, membership=membership
        )
        assert process.stdin  # noqa: S101  for the type checker: it is a pipe
        process.stdin.write(config.to_json() + b"\n")
        with suppress(ConnectionError):  # it died already; its end is met where ends are met
            await process.stdin.drain()
        return process

    def _answers(self, number: int) -> None:
        self._answering[number] = time.monotonic()
        if self._began:
            log.info("worker %d answers, with process %d", number, self._running[number].pid)
        elif len(self._answering) == len(self._numbers):
            self._began = True
            scheme = "https" if self._settings.tls else "http"
            grpc = f", gRPC on port {self._settings.grpc_port}" if self._settings.grpc_port else ""
            address = host_and_port(self._settings.host, self._settings.port)
            log.info("%d workers answer on %s://%s%s", len(self._numbers), scheme, address, grpc)

    async def _stop_all(self) -> None:
        """Once the gateway is to end, tell every worker so; one that has not ended after a while is killed."""
        await self._stopping.wait()
        for process in self._running.values():
            _end(process)
        end = time.monotonic() + GRACE_S
        while self._running and time.monotonic() < end:
            await asyncio.sleep(0.02)
        for number, process in self._running.items():
            log.error("worker %d did not end within %g s, and is killed", number, GRACE_S)
            process.kill()


def _end(process: Process) -> None:
    """Tell a worker to end, unless it has just done so."""
    with suppress(ProcessLookupError):
        process.terminate()


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a new folder for its owner alone; raises FactoryError where a socket's path would be too long."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        if len(name) > LONGEST_FOLDER:
            raise FactoryError(f"{name} is too long a path for sockets; name a shorter folder in TMPDIR")
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)  # what tidies folders of temporary files leaves those alone that are locked
        try:
            yield Path(name)
        finally:
            os.close(handle)


def _reason(number: int, code: int, started: Started | None) -> FactoryError:
    """Return why a worker ended: what it said itself, or else what the system says."""
    if started and started.error:
        kinds = {kind.__name__: kind for kind in FactoryError.__subclasses__()}
        return kinds.get(started.error, FactoryError)(started.message)
    if code < 0:
        return FactoryError(f"worker {number} was killed by {signal.Signals(-code).name}")
    return FactoryError(f"worker {number} ended with exit code {code}; the log above says why")
