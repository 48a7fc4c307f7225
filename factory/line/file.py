"""A line's file in, a `Line` out; whatever is wrong in it is reported with file and line number."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import TypeAdapter

from factory.errors import LineError
from factory.line.announced import Announced
from factory.line.expectation import Expectation
from factory.line.line import Table

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # where the C loader was built, it is ten times as fast
TODAY = "today"
_SUITE = TypeAdapter(list[Expectation])
_GX_ADDS = {"id", "rendered_content", "severity", "description", "notes"}
"""What Great Expectations writes beside type, kwargs and meta when it exports a suite."""


@dataclass(frozen=True, kw_only=True)
class SourceSection:
    """Where raw rows come from: a class that keeps factory.connectors.source.Source, and its arguments."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    use: str
    data_folder: str = ".factory/data"
    """For a source that reads files: the folder they lie in, from the project's; the environment may name another."""
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
    contract: tuple[Expectation, ...] | str = ()
    """Expectations, or the file in the line's folder that has them: a Great Expectations suite, YAML or JSON."""
    announced: Announced | None = None
    known_at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FeaturesSection:
    """The features as the file writes them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    build: str
    key: tuple[str, ...]
    entity: tuple[str, ...] = ()
    across_sites: tuple[str, ...] = ()
    columns: Mapping[str, str]


class LineFile:
    """One `lines/<line>/defs.yaml`: knows on which line of it each setting is."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The line's name: its folder's."""
        return self.path.parent.name

    @property
    def project(self) -> Path:
        """The folder that has `lines/`."""
        return self.path.resolve().parents[2]

    def place(self, *keys: str | int) -> str:
        """Return `<file>:<line number>` of a setting under `attributes`, or of the nearest one above it."""
        written, node = None, self._tree
        for key in ("attributes", *keys):
            child = _child(node, key)
            if child is None:
                break
            written, node = child
        return f"{self.path}:{written.start_mark.line + 1}" if written is not None else str(self.path)

    @cached_property
    def _tree(self) -> Any:
        return yaml.compose(self.path.read_text(encoding="utf-8"), Loader=_LOADER)

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
        contract = self.contract(name, section.contract)
        repair = self.imported(section.repair, "tables", name, "repair")
        try:
            return Table(
                name=name,
                columns=section.columns,
                key=section.key,
                cursor=section.cursor,
                site_column=section.site,
                contract=contract,
                repair=repair,
                announced=section.announced,
                known_at=section.known_at,
            )
        except LineError as error:
            raise LineError(f"{self.place('tables', name)}: {error}") from error

    def contract(self, table: str, section: tuple[Expectation, ...] | str) -> tuple[Expectation, ...]:
        """Return a table's expectations, from this file or from the suite's own; raises LineError."""
        if not isinstance(section, str):
            return section
        try:
            suite = yaml.load(self.suite(section).read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  a safe loader
            entries = [
                {name: value for name, value in entry.items() if name not in _GX_ADDS}
                for entry in suite["expectations"]
            ]
            return tuple(_SUITE.validate_python(entries))
        except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
            raise LineError(
                f"{self.place('tables', table, 'contract')}: the suite {section!r} cannot be read: {error}; it must be "
                "a file in the line's folder with a list `expectations` of type and kwargs"
            ) from error

    def contract_place(self, table: str, section: tuple[Expectation, ...] | str) -> str:
        """Return where a table's expectations are written, for errors about one of them."""
        if isinstance(section, str):
            return str(self.suite(section))
        return self.place("tables", table, "contract")

    def suite(self, name: str) -> Path:
        """Return a suite's file; raises LineError where it would lie outside the line's folder."""
        folder = self.path.parent.resolve()
        place = (folder / name).resolve()
        if not place.is_relative_to(folder):
            raise LineError(f"{self.path}: the suite {name!r} lies outside the line's folder; put it beside defs.yaml")
        return place

    def decision_table(self, name: str, tables: Mapping[str, Table]) -> str:
        """Return the name of the table with one row a decision; raises LineError unless it is a site's."""
        if name not in tables or tables[name].site_column is None:
            raise LineError(
                f"{self.place('decision_table')}: {name!r} must be one of the tables with a site column "
                f"({', '.join(sorted(tables))})"
            )
        return name

    def moment(self, text: str, *keys: str | int) -> datetime | None:
        """Return a date written as YYYY-MM-DD, None for `today`; raises LineError."""
        if text == TODAY:
            return None
        try:
            return datetime.fromisoformat(text)
        except ValueError as error:
            raise LineError(
                f"{self.place(*keys)}: {text!r} is not a date; write it as YYYY-MM-DD, or `{TODAY}`"
            ) from error

    def sources(self) -> Sequence[Path]:
        """Return every file that decides what the line makes: all YAML, JSON and Python in its folder."""
        files = (file for pattern in ("*.py", "*.yaml", "*.json") for file in self.path.parent.rglob(pattern))
        return sorted(files)


def _child(node: Any, key: str | int) -> tuple[Any, Any] | None:
    """Return where the file writes a key or an item, and what it holds; None if it is not there."""
    if isinstance(node, yaml.MappingNode):
        return next(((name, value) for name, value in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None
