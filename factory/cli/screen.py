"""All that commands print goes through here, so that every hint can be pasted as it stands.

A hint is a command in a sentence: `factory run LINE`. Where the home was named by `--home` or the environment, the
same home is put behind each hint, whoever wrote the sentence: rooms below know of no option.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import typer
from rich.console import Console
from typer.core import TyperArgument, TyperCommand, TyperGroup

from factory.storage.home import Home

console = Console()
_HINT = re.compile(r"(?<![\w./-])factory(?: [^\s`]+)+")
_END_OF_WORD = re.compile(r"[,;:.)]*$")


class Hints:
    """What a hint needs to be right wherever it is pasted."""

    def __init__(self) -> None:
        self._option = ""
        self._commands: TyperGroup | None = None

    def take(self, context: typer.Context, home: Path | None) -> None:
        """Remember, for as long as a command runs, the home that it was given and which commands there are."""
        is_default = home is None or Home.found({}, home).root == Home.found({}).root
        self._option = "" if is_default else f" --home {shlex.quote(os.path.abspath(str(home)))}"  # noqa: PTH100  links stay
        self._commands = cast(TyperGroup, context.find_root().command)
        context.find_root().call_on_close(self._forget)

    def completed(self, text: str) -> str:
        """Return the text with the home at the end of each of its commands that takes one."""
        return _HINT.sub(self._with_home, text) if self._option else text

    def _forget(self) -> None:
        self._option = ""

    def _with_home(self, hint: re.Match[str]) -> str:
        words = hint[0].split(" ")[1:]
        length = _length(self._commands, words)
        if not length or "--home" in words:
            return hint[0]
        last = words[length - 1]
        end = len(" ".join(["factory", *words[:length]])) - len(last) + len(_bare(last))
        return f"{hint[0][:end]}{self._option}{hint[0][end:]}"


hints = Hints()


def _length(commands: TyperGroup | None, words: Sequence[str]) -> int:
    """Return how many of the words are a command and what it is given; 0 where they are none that takes a home."""
    command: TyperCommand | TyperGroup | None = commands
    taken = 0
    while isinstance(command, TyperGroup):
        name = _bare(words[taken]) if taken < len(words) else ""
        if name in command.commands:
            taken += 1
        elif not taken or not (name := getattr(command, "default", "")):
            return 0
        command = cast(TyperCommand, command.commands[name])
    if command is None or not any("--home" in option.opts for option in command.params):
        return 0
    return taken + _length_given(command, words[taken - 1 :])


def _length_given(command: TyperCommand, words: Sequence[str]) -> int:
    """Return how many words after the first, the command's name, are arguments and options that it takes."""
    options = {name: option for option in command.params for name in option.opts if name.startswith("-")}
    arguments = sum(isinstance(one, TyperArgument) for one in command.params)
    taken = 1
    while taken < len(words) and _bare(words[taken - 1]) == words[taken - 1]:  # a sign ends the sentence, and the hint
        if (option := options.get(_bare(words[taken]))) is not None:
            has_value = not getattr(option, "is_flag", False) and _bare(words[taken]) == words[taken]
            taken += 1 + has_value
        elif arguments and not words[taken].startswith("-"):
            arguments, taken = arguments - 1, taken + 1
        else:
            break
    return min(taken, len(words)) - 1


def _bare(word: str) -> str:
    """Return a word without the signs of its sentence."""
    return _END_OF_WORD.sub("", word)


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
