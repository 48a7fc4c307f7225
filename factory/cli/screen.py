"""All that commands print goes through here, so that every hint can be pasted as it stands.

A hint is a command in a sentence: `factory run LINE`. Where the home was named by `--home` or the environment, the
same home is put into each hint, whoever wrote the sentence: rooms below know of no option.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from factory.storage.home import Home

console = Console()
_HINT = re.compile(r"(?<![\w./-])factory(?P<words>(?: [a-z][a-z-]*)+)(?P<has_home> --home)?")


class Hints:
    """What a hint needs to be right wherever it is pasted."""

    def __init__(self) -> None:
        self._option = ""
        self._commands: TyperCommand | TyperGroup | None = None

    def take(self, context: typer.Context, home: Path | None) -> None:
        """Remember the home that a command was given, and which commands there are."""
        is_default = home is None or Home.found({}, home).root == Home.found({}).root
        self._option = "" if is_default else f" --home {shlex.quote(os.path.abspath(str(home)))}"  # noqa: PTH100  links stay
        self._commands = cast(TyperGroup, context.find_root().command)

    def completed(self, text: str) -> str:
        """Return the text with the home in each of its commands that takes one."""
        return _HINT.sub(self._with_home, text) if self._option else text

    def _with_home(self, hint: re.Match[str]) -> str:
        words = hint["words"].split()
        taken = _words_of_command(self._commands, words)
        if not taken or hint["has_home"]:
            return hint[0]
        command, rest = " ".join(words[:taken]), "".join(f" {word}" for word in words[taken:])
        return f"factory {command}{self._option}{rest}"


hints = Hints()


def _words_of_command(commands: TyperCommand | TyperGroup | None, words: list[str]) -> int:
    """Return how many of the words name a command that takes a home; 0 for none."""
    command, taken = commands, 0
    while isinstance(command, TyperGroup):
        name = words[taken] if taken < len(words) else ""
        if name in command.commands:
            taken += 1
        elif (name := getattr(command, "default", "")) == "":
            return 0
        command = cast(TyperCommand, command.commands[name])
    takes_home = command is not None and any("--home" in option.opts for option in command.params)
    return taken if takes_home else 0


def say(text: str, style: str = "", to: Console | None = None) -> None:
    """Print a sentence; its hints are completed, and nothing in it is taken for a style or a command to the terminal.

    `to` is the console of a screen that draws; standard output where none is given.
    """
    plain = "".join(letter for letter in hints.completed(text) if letter.isprintable() or letter in "\n\t")
    if to is None and not style:
        typer.echo(plain)
    else:
        (to or console).print(plain, style=style or None, markup=False, highlight=False, emoji=False, soft_wrap=True)


def say_error(text: str) -> None:
    """Print a sentence on standard error; its hints are completed."""
    sys.stdout.flush()
    sys.stderr.write(f"{hints.completed(text)}\n")


def print_json(content: object) -> None:
    """Print data for a program, as it is."""
    typer.echo(json.dumps(content, indent=2, default=str))


@contextmanager
def own_console() -> Iterator[Console]:
    """Give a console on what standard output is now, though the orchestrator catches what its steps write there."""
    try:
        file = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    except (OSError, ValueError):  # there is no file below it, as in a test
        yield Console(file=sys.stdout)
        return
    with file:
        yield Console(file=file)
