"""Launches the toy line in this process as `Project.launch` launches a project's: words in, events and a code out."""

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from factory.orchestration.command import main
from tests.toy.line import ToyFactory


class Heard(io.TextIOBase):
    """Standard output that hands on each line as the event it is."""

    def __init__(self, show: Callable[[Mapping[str, Any]], None]) -> None:
        self.show = show
        self.rest = ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.show(json.loads(line))
        return len(text)


def launcher(toy: ToyFactory) -> Callable[[Sequence[str], Callable[[Mapping[str, Any]], None]], int]:
    """Return what launches the toy line."""

    def launch(words: Sequence[str], show: Callable[[Mapping[str, Any]], None]) -> int:
        with contextlib.redirect_stdout(Heard(show)):
            return main(words, toy.definitions, toy.home)

    return launch
