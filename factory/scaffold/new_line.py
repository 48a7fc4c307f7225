"""`new_line`: a table and the names of its columns in, a folder `lines/NAME` that runs out; whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from factory.connectors.tables.place import place_of
from factory.scaffold.contract_file import contract_file
from factory.scaffold.line_file import line_file
from factory.scaffold.line_folder import free_folder, seen_from, write_folder
from factory.scaffold.plan import Plan, planned
from factory.scaffold.profiling.profiler import Asked, profiled
from factory.scaffold.python_files import clean_file, features_file
from factory.scaffold.readme_file import readme_file


@dataclass(frozen=True, kw_only=True)
class Written:
    """A line's new folder, and the plan it was written from."""

    folder: Path
    plan: Plan


def new_line(name: str, asked: Asked, root: Path, today: date) -> Written:
    """Write `lines/<name>` of the project at `root`; an existing folder stays as it is.

    Raises NameRefused, LineError where the folder exists, SourceError for whatever the table cannot give.
    """
    folder = free_folder(name, root)
    asked = replace(asked, at=seen_from(root, asked.at))
    plan = planned(name, place_of(asked.at, root), profiled(asked, root), today)
    write_folder(folder, files_of(plan), root)
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
