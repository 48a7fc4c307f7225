"""`new_line`: a table and the names of its columns in, a folder `lines/NAME` that runs out; whole or not at all."""

import keyword
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from factory.connectors.tables.files import MEMBER
from factory.connectors.tables.place import ENVIRONMENT, place_of
from factory.errors import LineError, NameRefused
from factory.line.reference import write_schema
from factory.names import checked_name
from factory.scaffold.contract_file import contract_file
from factory.scaffold.line_file import line_file
from factory.scaffold.plan import Plan, planned
from factory.scaffold.profiling.profiler import Asked, profiled
from factory.scaffold.python_files import clean_file, features_file
from factory.scaffold.readme_file import readme_file
from factory.storage.atomic_files import temporary_name

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Written:
    """A line's new folder, and the plan it was written from."""

    folder: Path
    plan: Plan


def new_line(name: str, asked: Asked, root: Path, today: date) -> Written:
    """Write `lines/<name>` of the project at `root`; an existing folder stays as it is.

    Raises NameRefused, LineError where the folder exists, SourceError for whatever the table cannot give.
    """
    _require_name(name)
    folder = root / "lines" / name
    if folder.exists():
        raise LineError(f"lines/{name} exists already; choose another name, or remove the folder first")
    asked = replace(asked, at=_seen_from(root, asked.at))
    plan = planned(name, place_of(asked.at, root), profiled(asked, root), today)
    _write(folder, files_of(plan), root)
    write_schema(root)
    return Written(folder=folder, plan=plan)


def files_of(plan: Plan) -> Mapping[str, str]:
    """Return the line's files by their path in its folder."""
    return {
        "__init__.py": "",
        "defs.yaml": line_file(plan),
        f"contracts/{plan.table}.yaml": contract_file(plan),
        "clean.py": clean_file(plan),
        "features.py": features_file(plan),
        "README.md": readme_file(plan),
    }


def _require_name(name: str) -> None:
    checked_name(name, "line")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        near = near if near and not near[0].isdigit() and not keyword.iskeyword(near) else f"line_{near}"
        raise NameRefused(
            f"line name {name!r} is refused: its folder is a Python package, so it takes small letters, digits "
            f"and '_', the first a letter; how about {near!r}?"
        )


def _seen_from(root: Path, at: str) -> str:
    """Return a table's place as the line's file writes it: a path as a person typed it becomes one from the project."""
    if "::" in at or "://" in at or at.startswith(ENVIRONMENT):
        return at
    path = Path(at).expanduser()
    whole = path if path.is_absolute() else Path.cwd() / path
    file = at.partition(MEMBER)[0]
    if not path.is_absolute() and not (Path.cwd() / file).exists() and (root / file).exists():
        whole = root / path
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else str(whole)


def _write(folder: Path, files: Mapping[str, str], root: Path) -> None:
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
