"""Ctrl-C and SIGTERM of a command from its first moment to its last, whoever else handles them.

Loads nothing that costs time, for until its handlers are in place a signal ends the process without a word.
"""

import atexit
import os
import signal
import time
from contextlib import suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S = 1.0
"""A second Ctrl-C kills only after so long: `timeout` sends its signal twice, and so may a finger."""
STOPPED = b"stopped before anything was begun, or between two steps; nothing is half done\n"
KILLED = b"killed at once; the same command records that and goes on from here\n"


class EarlySignals:
    """Handles both signals from its making on, unless somebody else replaces the handlers.

    Until the command begins the process ends at once, for nothing is begun that could be left half done, and a raised
    KeyboardInterrupt might be swallowed by whatever is being imported. While it runs, the first signal raises
    KeyboardInterrupt, and no other does, so that none is raised where nobody can catch it. Once its exit code is known,
    a signal ends the process with that code.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._since = 0.0
        self._is_begun = False
        self._code: int | None = None
        for number in SIGNALS:
            signal.signal(number, self._handle)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(signal.SIGHUP, _end_with_the_terminal)
        # Registered first it runs last: after it Python takes every handler of ours away, and the default one kills.
        atexit.register(_ignore)

    def begin(self) -> None:
        """From here on a signal interrupts the command and does not end the process."""
        self._is_begun = True

    def end(self, code: int) -> None:
        """From here on there is nothing left to interrupt."""
        self._code = code

    @property
    def code(self) -> int:
        """The exit code of a command that a signal interrupted; SIGINT's where the signal is not known."""
        return 128 + (self.received or SIGNALS)[0]

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._code is not None:
            os._exit(self._code)
        self.received.append(number)
        if len(self.received) == 1:
            self._since = time.monotonic()
            write_error(STOPPED)
            if not self._is_begun:
                os._exit(self.code)
            raise KeyboardInterrupt
        if number == signal.SIGINT and time.monotonic() - self._since > PATIENCE_S:
            write_error(KILLED)
            os._exit(self.code)


def write_error(text: bytes) -> None:
    """Write to standard error, past whatever is buffered or redirected there."""
    with suppress(OSError):
        os.write(2, text)


def _end_with_the_terminal(_number: int, _frame: FrameType | None) -> None:
    """Take a terminal that closes for SIGTERM, so that whoever handles that one ends as it should."""
    signal.raise_signal(signal.SIGTERM)


def _ignore() -> None:
    for number in (*SIGNALS, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
