"""`new_line_of_tables`: places of several tables in, a folder `lines/NAME` that runs out; whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from factory.scaffold.contract_file import Contracted, contract_of
from factory.scaffold.line_folder import free_folder, seen_from, write_folder
from factory.scaffold.profiling.profiler import Asked, table_profiled
from factory.scaffold.several.asked import Ask, AskedOfTables, nobody
from factory.scaffold.several.line_file import tables_line_file, tables_readme
from factory.scaffold.several.plan import TablePlan, TablesPlan, planned_of_tables
from factory.scaffold.several.windows import windows_of


@dataclass(frozen=True, kw_only=True)
class WrittenOfTables:
    """A line's new folder, and the plan it was written from."""

    folder: Path
    plan: TablesPlan


def new_line_of_tables(name: str, asked: AskedOfTables, root: Path, today: date, ask: Ask = nobody) -> WrittenOfTables:
    """Write `lines/<name>` of the project at `root` from several tables; an existing folder stays as it is.

    Raises NameRefused, LineError where the folder exists or the tables do not say what `ask` is not told either,
    SourceError for whatever a table cannot give.
    """
    folder = free_folder(name, root)
    profiles = {
        table: table_profiled(
            Asked(at=seen_from(root, at), time=asked.times.get(table, ""), source=asked.source.get(table, {})), root
        )
        for table, at in asked.tables.items()
    }
    plan = planned_of_tables(name, asked, profiles, today, ask)
    plan = replace(plan, windows=windows_of(plan))
    write_folder(folder, files_of_tables(plan), root)
    return WrittenOfTables(folder=folder, plan=plan)


def files_of_tables(plan: TablesPlan) -> Mapping[str, str]:
    """Return the line's files by their path in its folder."""
    return {
        "__init__.py": "",
        "defs.yaml": tables_line_file(plan),
        "README.md": tables_readme(plan),
        **{f"contracts/{name}.yaml": contract_of(_contracted(plan, table)) for name, table in plan.tables.items()},
    }


def _contracted(plan: TablesPlan, table: TablePlan) -> Contracted:
    needed = dict.fromkeys([table.join.column] if table.join else [plan.site], "what a row is about")
    needed |= dict.fromkeys(filter(None, [table.cursor]), "the time") | dict.fromkeys(table.key, "part of the key")
    return Contracted(
        table=table.name,
        made=plan.made,
        rows=table.profile.rows,
        columns=list(table.kept.values()),
        needed=needed,
        free=[table.join.column if table.join else plan.site, *table.key],
    )
