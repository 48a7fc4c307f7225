"""A line's file in, a `Line` out; whatever is wrong in it is reported with file and line number."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import yaml

from factory.contract.expectation import Expectation
from factory.errors import LineError
from factory.line import Table


@dataclass(frozen=True, kw_only=True)
class SourceSection:
    """Where raw rows come from: a class that keeps factory.sources.Source, and its arguments."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    use: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TableSection:
    """One raw table as the file writes it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    columns: Mapping[str, str]
    key: tuple[str, ...]
    cursor: str = ""
    site: str | None = None
    repair: str
    contract: tuple[Expectation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FeaturesSection:
    """The features as the file writes them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    build: str
    key: tuple[str, ...]
    columns: Mapping[str, str]


class LineFile:
    """One `lines/<line>/defs.yaml`: knows where in the file each thing stands."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The line's name: its folder's."""
        return self.path.parent.name

    def place(self, *keys: str | int) -> str:
        """Return `<file>:<line number>` of a thing under `attributes`, or of the nearest thing above it."""
        node = yaml.compose(self.path.read_text(encoding="utf-8"))
        for key in ("attributes", *keys):
            child = _child(node, key)
            if child is None:
                break
            node = child
        return f"{self.path}:{node.start_mark.line + 1}" if node is not None else str(self.path)

    def imported(self, dotted: str, *keys: str | int) -> Any:
        """Return what `package.module:name` names; raises LineError at the place in the file that says so."""
        module, _, name = dotted.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise LineError(
                f"{self.place(*keys)}: {dotted!r} cannot be loaded ({error}); write it as package.module:name"
            ) from error

    def table(self, name: str, section: TableSection) -> Table:
        """Return one raw table; raises LineError when its key, cursor or site is not among its columns."""
        named = [*section.key, *filter(None, [section.cursor, section.site])]
        missing = [column for column in named if column not in section.columns]
        if missing:
            raise LineError(
                f"{self.place('tables', name)}: table {name}: {missing[0]!r} is not among its columns "
                f"({', '.join(section.columns)})"
            )
        return Table(
            name=name,
            columns=section.columns,
            key=section.key,
            cursor=section.cursor,
            site_column=section.site,
            contract=section.contract,
            repair=self.imported(section.repair, "tables", name, "repair"),
        )

    def decision_table(self, name: str, tables: Mapping[str, Table]) -> str:
        """Return the name of the table with one row a decision; raises LineError unless it is a site's."""
        if name not in tables or tables[name].site_column is None:
            raise LineError(
                f"{self.place('decision_table')}: {name!r} must be one of the tables with a site column "
                f"({', '.join(sorted(tables))})"
            )
        return name

    def date(self, text: str, *keys: str | int) -> datetime:
        """Return a date written as YYYY-MM-DD; raises LineError."""
        try:
            return datetime.fromisoformat(text)
        except ValueError as error:
            raise LineError(f"{self.place(*keys)}: {text!r} is not a date; write it as YYYY-MM-DD") from error

    def sources(self) -> Sequence[Path]:
        """Return every file that decides what the line makes: this one and the folder's Python."""
        return [self.path, *self.path.parent.glob("*.py")]


def _child(node: Any, key: str | int) -> Any:
    if isinstance(key, int):
        return node.value[key] if isinstance(node, yaml.SequenceNode) and key < len(node.value) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)
