"""Ctrl-C and SIGTERM for commands that run lines, whatever the process is doing.

The first signal asks the run to stop where it is, so that it is recorded as canceled. Another Ctrl-C kills the process,
unless it comes at once.
"""

import os
import signal
import socket
import threading
import time
from types import FrameType

from factory.cli.early_signals import KILLED, PATIENCE_S, SIGNALS, EarlySignals, write_error

STOPPING = b"\nstopping where it is; press Ctrl-C again to kill it\n"
MAX_LAG_S = 5.0
"""How long at most the thread that reads signals may lag on a busy machine."""


class Interrupts:
    """Knows every SIGINT and SIGTERM since it was entered, whoever handled them, and one just before.

    The orchestrator puts handlers of its own in place while a step runs, and Python runs handlers only between two of
    its instructions. So Python writes each signal's number to a socket of ours as it comes, and a thread reads there.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._first_at = 0.0
        self._has_come = threading.Event()
        self._has_raised = False

    def __enter__(self) -> "Interrupts":
        """Begin to listen; the first signal raises KeyboardInterrupt, also where the parent had them ignored.

        Raises KeyboardInterrupt at once where the command was interrupted before and went on all the same.
        """
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self._before = {number: signal.signal(number, self._raise_once) for number in SIGNALS}
        if any(_was_interrupted(handler) for handler in self._before.values()):
            self.__exit__(None)
            raise KeyboardInterrupt
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop listening; an interruption that nobody caught ends the command with the signal's code."""
        self._has_raised = True
        signal.set_wakeup_fd(self._wakeup)
        self._theirs.close()  # the thread has then read all there was
        self._thread.join()
        self._ours.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            raise SystemExit(128 + self.signal())

    def _raise_once(self, _number: int, _frame: FrameType | None) -> None:
        if not self._has_raised:
            self._has_raised = True
            raise KeyboardInterrupt

    def _listen(self) -> None:
        while came := self._ours.recv(64):
            for number in came:
                if number in SIGNALS:
                    self._take(number)

    def _take(self, number: int) -> None:
        self.received.append(number)
        self._has_come.set()
        if len(self.received) == 1:
            self._first_at = time.monotonic()
            write_error(STOPPING)
        elif number == signal.SIGINT and time.monotonic() - self._first_at > PATIENCE_S:
            write_error(KILLED)
            os._exit(128 + self.received[0])

    def obey(self) -> None:
        """Raise KeyboardInterrupt if the process was asked to stop, though the handler of that moment did not."""
        if self.received:
            raise KeyboardInterrupt

    def signal(self) -> int:
        """Return the signal by which the process was asked to stop first; SIGINT where none arrives."""
        self._has_come.wait(MAX_LAG_S)  # the thread that reads may be behind the handler that raised
        return self.received[0] if self.received else signal.SIGINT


def _was_interrupted(handler: object) -> bool:
    early = getattr(handler, "__self__", None)
    return isinstance(early, EarlySignals) and bool(early.received)
