"""A server of somebody else's in the foreground: it ends with the command, and so does everything that it started.

A server such as `dagster dev` starts a web server, a daemon and a code server, each of which starts more. They are in
one process group of their own, so that a signal reaches all of them, whoever among them forgets to hand it on.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 20.0
"""For the server to end in its own way; then its whole group is killed."""
POLL_S = 0.05


def run_until_stopped(command: Sequence[str], folder: Path, *, grace_s: float = GRACE_S) -> int:
    """Run a server until it ends or a signal ends it; return 0 where a signal did, else the server's exit code.

    Whichever it was, no process that the server started is left. A server that a signal asked to end has `grace_s` to
    do so, what it left behind has half of that. A second signal kills all of them at once.
    """
    server = _Server(grace_s)
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()  # as `nohup` has it
    before = {number: signal.signal(number, server.stop) for number in SIGNALS if number not in ignored}
    try:
        return server.run(command, folder)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server:
    """One process group, and the signals that came for it."""

    def __init__(self, grace_s: float) -> None:
        self._group = 0
        self._signals = 0
        self._grace_s = grace_s
        self._killer = threading.Timer(grace_s, self._send, [signal.SIGKILL])

    def run(self, command: Sequence[str], folder: Path) -> int:
        server = subprocess.Popen(command, cwd=folder, process_group=0)
        self._group = server.pid
        if self._signals:  # one that came before there was a group to hand it to
            self._end()
        code = server.wait()
        self._clear()
        return 0 if self._signals else code

    def stop(self, _number: int, _frame: object) -> None:
        self._signals += 1
        if self._signals > 1:
            self._send(signal.SIGKILL)
        elif self._group:
            self._end()

    def _end(self) -> None:
        """Ask the group to end as Ctrl-C would, which every server knows; kill it where that takes too long."""
        self._killer.daemon = True
        self._killer.start()
        self._send(signal.SIGINT)

    def _clear(self) -> None:
        """End what the server left behind, and return once there is nothing any more."""
        self._killer.cancel()
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._send(number)
            end = time.monotonic() + self._grace_s / 2
            while time.monotonic() < end:
                if not self._lives():
                    return
                time.sleep(POLL_S)

    def _lives(self) -> bool:
        try:
            os.killpg(self._group, 0)
        except ProcessLookupError:
            return False
        return True

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._group, number)
