"""What went wrong while the lines' files were loaded, in words for a person: each mistake with file and line number.

The exception that the orchestrator's loader raised in, one LineError out.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError

from factory.errors import FactoryError, LineError
from factory.line.file import LineFile

COMPLETE = ("missing", "value_error")
"""Kinds of mistake whose message is complete without the value: nothing is there, or a section says what it refuses."""
_PLACE = re.compile(r"`?attributes\.?(?P<keys>.*) at (?P<file>.+):(?P<line>\d+)`?")
"""How the loader writes where a value stands."""


def line_mistake(error: Exception) -> FactoryError:
    """Return the error a person should read: the FactoryError behind it, or a LineError made of what is behind it."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, FactoryError):
            return cause
        if isinstance(cause, ValidationError):
            return LineError("; ".join(_mistakes(cause)))
        if isinstance(cause, yaml.YAMLError):
            return LineError(_unreadable(cause))
    last = chain[-1]
    return LineError(f"the lines cannot be loaded: {type(last).__name__}: {last}; see `dg check defs`")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _mistakes(error: ValidationError) -> list[str]:
    """Return one sentence a wrong value; the loader's errors about template text are left out."""
    mistakes = [(".".join(map(str, mistake["loc"])).strip("`"), mistake) for mistake in error.errors(include_url=False)]
    real = [pair for pair in mistakes if not re.search(r"\.str( at .*)?$", pair[0])] or mistakes
    return [
        _mistake(where, str(mistake["msg"]), "" if mistake["type"] in COMPLETE else f", found {mistake['input']!r}")
        for where, mistake in real
    ]


def _mistake(where: str, message: str, value: str) -> str:
    place = _PLACE.fullmatch(where)
    if place is None:
        return f"{where}: {message}"
    # The loader names the types it tried, such as Gates or tuple[Expectation,...], between the keys of the file.
    keys = [key for key in re.sub(r"[\w-]+\[.*?\]", "", place["keys"]).split(".") if key and not key[0].isupper()]
    at = LineFile(Path(place["file"])).place(*(int(key) if key.isdigit() else key for key in keys))
    name = ".".join(keys)
    return f"{at}: {name}: {message.removeprefix('Value error, ').removeprefix(f'{name}: ')}{value}"


def _unreadable(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"a line's file is no YAML: {error}"
    return f"{mark.name}:{mark.line + 1}: this is no YAML: {getattr(error, 'problem', error)}"
