"""All that commands print goes through here, so that every hint can be pasted as it stands.

A hint is a command in a sentence: `factory run LINE`. Where the home was named by `--home` or the environment, the
same home is put behind each hint, whoever wrote the sentence: rooms below know of no option.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import cast

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperGroup

from factory.storage.home import Home

console = Console()
_HINT = re.compile(r"(?<![\w./-])factory(?: (?!factory )[^\s`]+)+")
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


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: its heading, and whether it holds numbers."""

    heading: str
    right: bool = False


def show_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | Text]],
    *,
    title: str = "",
    heads: int = 1,
    to: Console | None = None,
) -> None:
    """Print a table; where the terminal is too narrow for it, each row as lines of its own. Nothing is cut.

    The first `heads` cells of a row then stand in its first line, the others below with their headings. A heading may
    have several lines; a cell is shown as it is, and nothing in it is taken for a style.
    """
    out = to or console
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    lines_of = [column.heading.split("\n") for column in columns]
    widths = [
        max([*map(cell_len, lines), *(row[number].cell_len for row in cells)]) for number, lines in enumerate(lines_of)
    ]
    if title:
        out.print(Text(title, "bold"), soft_wrap=True)
    if sum(widths) + len(widths) <= out.width:
        table = Table(box=None, padding=(0, 1, 0, 0))
        for column in columns:
            table.add_column(Text(column.heading), justify="right" if column.right else "left", no_wrap=True)
        for row in cells:
            table.add_row(*row)
        out.print(table)
        return
    headings = [" ".join(lines).replace("- ", "").strip() for lines in lines_of]
    for row in cells:
        if any(row[:heads]):
            out.print(Text("  ").join(row[:heads]), soft_wrap=True)
        pairs = [f"{heading} {cell.plain}" if cell else "" for heading, cell in zip(headings, row, strict=True)]
        for line in _filled(filter(None, pairs[heads:]), out.width):
            out.print(Text(line), soft_wrap=True)


def _filled(texts: Iterable[str], width: int) -> list[str]:
    """Return indented lines with the texts, several to a line where there is room, long ones over several."""
    lines: list[str] = []
    for text in texts:
        if lines and len(lines[-1]) + len(text) + 3 <= width:
            lines[-1] += f" · {text}"
        else:
            lines += wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    return lines


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
