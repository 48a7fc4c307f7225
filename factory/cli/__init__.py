"""The command line: one module a group of commands, and what a person sees of them.

This module has the entry point and loads nothing: a signal must find somebody who hears it from the first moment on.
"""

import sys


def main() -> None:
    """Run the command line; a FactoryError is one line for the person, and exit code 2."""
    from factory.cli.interrupts import StartUp

    start = StartUp()
    try:
        from factory.cli.app import app
        from factory.errors import FactoryError

        try:
            app()
        except FactoryError as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            raise SystemExit(2) from error
    except KeyboardInterrupt:
        sys.stderr.write("stopped before anything was begun, or between two steps; nothing is half done\n")
        raise SystemExit(128 + (start.number or 2)) from None
