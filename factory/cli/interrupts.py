"""Ctrl-C and SIGTERM for commands that run lines, from the first moment on and whatever the process is doing.

The first signal asks the run to stop where it is, so that it is recorded as canceled. Another Ctrl-C kills the process,
unless it comes at once: `timeout` sends its signal twice, and a person's finger does too.
"""

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S = 1.0
"""A second Ctrl-C later than this is meant."""
STOPPING = b"\nstopping where it is; press Ctrl-C again to kill it\n"
KILLED = b"killed at once; the same command records that and goes on from here\n"


class Interrupts:
    """Knows of every SIGINT and SIGTERM since it was entered, whoever handled them.

    The orchestrator puts handlers of its own in place while a step runs, and Python runs handlers only between two of
    its instructions. So Python writes each signal's number to a socket of ours as it comes, and a thread reads there.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._first_at = 0.0

    def __enter__(self) -> "Interrupts":
        """Begin to listen; both signals raise KeyboardInterrupt, also where the parent had them ignored."""
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
        self._wakeup = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        signal.set_wakeup_fd(self._wakeup)
        self._theirs.close()  # the thread has then read all there was
        self._thread.join()
        self._ours.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _listen(self) -> None:
        while came := self._ours.recv(64):
            for number in came:
                if number in SIGNALS:
                    self._take(number)

    def _take(self, number: int) -> None:
        self.received.append(number)
        if len(self.received) == 1:
            self._first_at = time.monotonic()
            _write(STOPPING)
        elif number == signal.SIGINT and time.monotonic() - self._first_at > PATIENCE_S:
            _write(KILLED)
            os._exit(128 + self.received[0])

    def obey(self) -> None:
        """Raise KeyboardInterrupt if the process was asked to stop, though the handler of that moment did not."""
        if self.received:
            raise KeyboardInterrupt

    def signal(self) -> int:
        """Return the signal by which the process was asked to stop first; SIGINT where none has arrived yet."""
        time.sleep(0)  # the thread that reads may be behind the handler that raised
        return self.received[0] if self.received else signal.SIGINT


def _write(text: bytes) -> None:
    with suppress(OSError):
        os.write(2, text)


class StartUp:
    """The signals of a command's first moments, before anything is known of what it does."""

    def __init__(self) -> None:
        self.number = 0
        for number in SIGNALS:
            signal.signal(number, self._raise)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or number
        raise KeyboardInterrupt
