"""One of several processes of a gateway, from its config to its end.

In: its config, as one line of JSON on standard input, which then stays open for as long as the supervisor lives. Out:
one line of JSON on standard output, once it answers or if it cannot; its log is standard error.
"""

import os
import sys
import threading
from collections.abc import Callable

import msgspec

from factory.errors import FactoryError
from factory.gateway.logs import set_up
from factory.gateway.models.feature_builders import SnapshotSource
from factory.gateway.processes.server import Server, run_frozen
from factory.gateway.processes.worker_config import Started, WorkerConfig


def work(snapshots: Callable[[WorkerConfig], SnapshotSource]) -> int:
    """Serve until told to end, or until there is no supervisor any more; return the exit code.

    `snapshots` gives what features of business rows are built on.
    """
    supervisor = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no message to the supervisor
    config = WorkerConfig.from_json(sys.stdin.buffer.readline())
    set_up(as_json=config.settings.log_format == "json", worker=config.membership.number)
    try:
        server = Server(config.models, config.public_key, config.settings, snapshots(config), config.membership)
        for watch in (_end_with_supervisor, _report_start):
            threading.Thread(target=watch, args=(server, supervisor), daemon=True).start()
        run_frozen(server)
    except FactoryError as error:
        _report(supervisor, Started(error=type(error).__name__, message=str(error)))
        return 2
    return 0


def _end_with_supervisor(server: Server, _: int) -> None:
    """Stop the server when its supervisor is gone, be it while it starts: else it would hold the port for ever."""
    try:
        while os.read(sys.stdin.fileno(), 4096):
            pass
    finally:
        server.stop()


def _report_start(server: Server, supervisor: int) -> None:
    """Tell that the server answers, and stop it where nobody is there to be told."""
    server.started.wait()
    if not _report(supervisor, Started()):
        server.stop()


def _report(supervisor: int, started: Started) -> bool:
    """Return whether the supervisor is still there to be told."""
    try:
        os.write(supervisor, msgspec.json.encode(started) + b"\n")
    except BrokenPipeError:
        return False
    return True
