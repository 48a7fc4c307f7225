"""A project's `lines/` in, the definitions of each of its folders out, each loaded apart from the others.

One line with a mistake stops that line alone: whatever its file, its contract or its Python raises, its definitions are
those of a broken line (factory/orchestration/broken_line.py), which say what is wrong wherever people look.
"""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._utils.warnings import suppress_dagster_warnings

from factory.errors import FactoryError, LineError
from factory.line.file import LineFile
from factory.line.python_error import LOADING, python_mistake
from factory.names import checked_name, require_line
from factory.orchestration.broken_line import broken_line
from factory.orchestration.line_source import line_sources
from factory.orchestration.production_line import FILE, ProductionLine

ROOM = "lines"
_OTHER_FILES = ("defs.yml", "component.yaml")
"""Names that the orchestrator takes for a component's file, too."""


@suppress_dagster_warnings  # as its own loader does: what is beta in Dagster is nothing its user must act on
def lines_definitions(root: Path) -> dg.Definitions:
    """Return the definitions of everything in `<root>/lines`; a line that cannot be loaded is there as a broken one."""
    return dg.Definitions.merge(*(_definitions_or_mistake(folder, root) for folder in folders(root)))


def folders(root: Path) -> list[Path]:
    """Return what in a project's `lines/` may define something, in the order of the names."""
    inside = sorted((root / ROOM).iterdir())
    return [place for place in inside if place.name[0] not in "._" and (place.suffix == ".py" or _is_code(place))]


def _is_code(folder: Path) -> bool:
    return any(any(folder.rglob(name)) for name in (FILE, *_OTHER_FILES, "*.py"))


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The names of a project's lines without a mistake, and an error for each of the others."""

    sound: list[str]
    mistakes: list[FactoryError]


@suppress_dagster_warnings
def checked(root: Path, only: str = "") -> Checked:
    """Look for mistakes in each of a project's lines, or in one; what only a line's first run would meet is among them.

    Raises LineError where there is no such line.
    """
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    by_name = {folder.stem: folder for folder in folders(root)}
    if only and only not in by_name:
        require_line(only, by_name)
    checked = Checked(sound=[], mistakes=[])
    for folder in [by_name[only]] if only else by_name.values():
        try:
            for source in line_sources(_definitions(folder, root)).values():
                source.require_arguments()
            checked.sound.append(folder.stem)
        except LOADING as error:
            checked.mistakes.append(line_mistake(folder, error))
    return checked


def _definitions_or_mistake(folder: Path, root: Path) -> dg.Definitions:
    try:
        return _definitions(folder, root)
    except LOADING as error:
        return broken_line(folder.stem, line_mistake(folder, error))


def _definitions(folder: Path, root: Path) -> dg.Definitions:
    """Return what one folder or Python file in `lines/` defines; raises whatever is wrong with it."""
    if folder.suffix == ".py":
        return dg.load_definitions_from_module(importlib.import_module(f"{ROOM}.{folder.stem}"))
    file = LineFile(folder / FILE)
    if file.path.exists():
        _require_sound(file)
    module = importlib.import_module(f"{ROOM}.{folder.name}")
    return dg.ComponentTree.from_module(module, root).build_defs(folder)


def _require_sound(file: LineFile) -> None:
    """Raise LineError on what is wrong with a file's form, which the orchestrator would raise in its own words."""
    if file.type_name().rpartition(".")[2] == ProductionLine.__name__:
        checked_name(file.name, "line")


def line_mistake(folder: Path, error: BaseException) -> FactoryError:
    """Return the error a person should read: the FactoryError behind it, or a LineError made of what is behind it."""
    chain = list(_chain(error))
    known = next((cause for cause in chain if isinstance(cause, FactoryError)), None)
    return known or LineError(f"{folder}: cannot be loaded: {python_mistake(chain[-1])}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
