"""The folder of a new line: its name, its tables' places as its file writes them, its files whole or not at all."""

import keyword
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from factory.connectors.tables.files import MEMBER
from factory.errors import LineError, NameRefused
from factory.errors.masking import ENVIRONMENT
from factory.line.reference import write_schema
from factory.names import checked_name
from factory.storage.atomic_files import temporary_name

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def free_folder(name: str, root: Path) -> Path:
    """Return the folder of a line that is to be made; raises NameRefused, and LineError where it exists."""
    require_line_name(name)
    folder = root / "lines" / name
    if folder.exists():
        raise LineError(f"lines/{name} exists already; choose another name, or remove the folder first")
    return folder


def require_line_name(name: str) -> None:
    """Raise NameRefused unless the name can be that of a line and of its package."""
    checked_name(name, "line")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        near = near if near and not near[0].isdigit() and not keyword.iskeyword(near) else f"line_{near}"
        raise NameRefused(
            f"line name {name!r} is refused: its folder is a Python package, so it takes small letters, digits "
            f"and '_', the first a letter; how about {near!r}?"
        )


def seen_from(root: Path, at: str) -> str:
    """Return a table's place as the line's file writes it: a path as a person typed it becomes one from the project."""
    if "::" in at or "://" in at or at.startswith(ENVIRONMENT):
        return at
    path = Path(at).expanduser()
    whole = path if path.is_absolute() else Path.cwd() / path
    file = at.partition(MEMBER)[0]
    if not path.is_absolute() and not (Path.cwd() / file).exists() and (root / file).exists():
        whole = root / path
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else str(whole)


def write_folder(folder: Path, files: Mapping[str, str], root: Path) -> None:
    """Write the files beside `lines/`, where nobody looks for a line, and move them in at once."""
    beside = root / temporary_name(folder.name)
    try:
        for name, text in files.items():
            place = beside / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        beside.rename(folder)
    except OSError as error:
        raise LineError(f"lines/{folder.name} cannot be written: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    write_schema(root)
