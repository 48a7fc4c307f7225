"""The command line: one module a group of commands, and what a person sees of them.

This module has the entry point and loads nothing: signals must be handled from the first moment on.
"""

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from factory.cli.early_signals import EarlySignals


def main() -> None:
    """Run the command line; a FactoryError is one line for the person, and exit code 2.

    A command that SIGINT or SIGTERM interrupts ends with 128 and the signal's number, and with a word.
    """
    from factory.cli.early_signals import EarlySignals

    early = EarlySignals()
    try:
        code = _exit_code(early)
        early.end(code)
    except KeyboardInterrupt:
        code = early.code
        early.end(code)
    sys.exit(code)


def _exit_code(early: "EarlySignals") -> int:
    from factory.cli.app import app
    from factory.errors import FactoryError
    from factory.errors.masking import masked
    from factory.storage.faults import storage_faults

    early.begin()
    try:
        with storage_faults(Path.cwd()):
            app()
    except FactoryError as error:
        behind = traceback.format_exception(error) if "--verbose" in sys.argv[1:] else []
        sys.stderr.write(f"{masked(''.join(behind))}{type(error).__name__}: {error}\n")
        return 2
    except SystemExit as ended:
        # Typer makes 130 of whatever raised KeyboardInterrupt, of SIGTERM too.
        return early.code if early.received else int(ended.code or 0)
    finally:
        sys.stdout.flush()
    return 0
