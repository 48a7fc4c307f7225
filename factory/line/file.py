"""A line's file in, a `Line` out; whatever is wrong in it is reported with file and line number."""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from factory.errors import LineError
from factory.line.calendar import SiteThrough
from factory.line.expectation import Expectation
from factory.line.line import FeatureKeys, Features, Line, LineKeys, Table, TableKeys
from factory.line.mistakes import mistakes, numbers_as_text, unknown_key
from factory.line.other_tables import completed, site_column
from factory.line.python_error import LOADING, python_mistake
from factory.line.sections import LineSections, TableSection
from factory.line.suite import SuiteFile, with_parameters
from factory.line.yaml_file import YamlFile
from factory.names import checked_name
from factory.storage.columns import type_named

TODAY = "today"
DECLARED = "factory.features.declaration:declared_features"
"""What builds declared windows: named as a line's own code is, for it lies in a room above this one."""
TOP_LEVEL = ("type", "attributes", "requirements", "template_vars_module", "post_processing")
"""What a component's file may say beside what is ours; the orchestrator reads the last three."""


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what checks a section, made when it is first needed: that takes some 30 ms."""
    return TypeAdapter(kind)


class LineFile(YamlFile):
    """One `lines/<line>/defs.yaml`."""

    prefix = ("attributes",)

    @property
    def name(self) -> str:
        """The line's name: its folder's."""
        return self.path.parent.name

    @property
    def project(self) -> Path:
        """The folder that has `lines/`."""
        return self.path.resolve().parents[2]

    def attributes(self) -> dict[str, Any]:
        """Return what the file says under `attributes`, unchecked; raises LineError where it is no component's file."""
        content = self.content()
        if not isinstance(content, dict):
            raise LineError(f"{self.path}:1: the file must be a mapping with the keys `type` and `attributes`")
        if unknown := [key for key in content if key not in TOP_LEVEL]:
            raise LineError(f"{self._top(unknown[0])}: {unknown[0]}: {unknown_key(unknown[0], TOP_LEVEL)}")
        if not isinstance(content.get("type"), str):
            raise LineError(f"{self._top('type')}: the file must say `type: assets.ProductionLine`")
        attributes = content.get("attributes")
        if not isinstance(attributes, dict):
            raise LineError(f"{self._top('attributes')}: `attributes` must be a mapping with the line's sections")
        return attributes

    def has_templates(self) -> bool:
        """Return whether some of it is only known once the orchestrator has filled its templates in."""
        return "{{" in self.text

    def type_name(self) -> str:
        """Return the component that the file names; raises LineError."""
        self.attributes()
        return str(self.content()["type"])

    def _top(self, key: str) -> str:
        return YamlFile(self.path).place(key)

    def sections(self, attributes: Mapping[str, Any] | None = None) -> LineSections:
        """Return what the file says, checked; raises LineError with a sentence on each mistake.

        `attributes` is what stands there where the orchestrator has filled in its templates.
        """
        said = self.attributes() if attributes is None else attributes
        sections: LineSections = self._checked(LineSections, said)
        return sections

    def _checked(self, kind: Any, content: Any) -> Any:
        """Return content as a kind of section, by JSON's strict rules: the number 1 is neither true nor a text."""
        for _ in range(2):
            try:
                return _adapter(kind).validate_json(json.dumps(content), strict=True)
            except ValidationError as error:
                numbered = numbers_as_text(error, content)
                if numbered is None:
                    raise LineError("\n".join(mistakes(error, self.place))) from error
                content = numbered
            except ValueError as error:  # of json: an alias that holds itself
                raise LineError(f"{self.path}: it cannot be read: {error}") from error
        raise AssertionError("unreachable: numbers are numbers the second time")

    def line(self, sections: LineSections) -> Line:
        """Return the line that the file describes; raises LineError with file and line number."""
        checked_name(self.name, "line")
        tables = {name: self.table(name, sections.tables) for name in sections.tables}
        figures = {name: self.imported(dotted, "figures", name) for name, dotted in sections.figures.items()}
        self.decision_table(sections.decision_table, tables)
        said = {
            **_shared(sections, LineKeys),
            "name": self.name,
            "tables": tables,
            "features": self.features(sections, tables),
            "figures": figures,
            "as_of": self.moment(sections.as_of, "as_of"),
        }
        try:
            return Line(**said)
        except LineError as error:
            raise LineError(f"{self.place(*error.at)}: {error}") from error

    def features(self, sections: LineSections, tables: Mapping[str, Table]) -> Features:
        """Return the features; raises LineError where their function cannot be loaded, or a window cannot be made."""
        section, label = sections.features, sections.label
        columns = {**{name: window.sentence for name, window in section.windows.items()}, **section.columns}
        ordered = {name: columns[name] for name in (*section.columns, *columns)}
        said = {**_shared(section, FeatureKeys), "columns": ordered}
        own = self.imported(section.build, "features", "build") if section.build else None
        if not (section.windows or label.event):
            if own is None or not ordered:
                lacking = "columns" if own else "build"
                raise LineError(f"{self.place('features')}: features: it says neither `windows` nor `{lacking}`")
            return Features(**said, build=own)
        declared = self.imported(DECLARED, "features")
        try:
            build = declared(tables, sections.decision_table, section, list(ordered), label, own)
        except LineError as error:
            raise LineError(f"{self.place(*error.at)}: {'.'.join(map(str, error.at))}: {error}") from error
        return Features(**said, build=build)

    def table(self, name: str, sections: Mapping[str, TableSection]) -> Table:
        """Return one of the raw tables; raises LineError when its key, cursor or site is not among its columns."""
        try:
            section = completed(name, sections)
        except LineError as error:
            raise LineError(f"{self.place('tables', name, *error.at)}: {error}") from error
        self._require_columns(name, section)
        contract = self.contract(name, section)
        repair = self.imported(section.repair, "tables", name, "repair")
        try:
            return Table(
                **{**_shared(section, TableKeys), "columns": _without_dropped(section)},
                name=name,
                site_column=site_column(section),
                site_through=section.site if isinstance(section.site, SiteThrough) else None,
                contract=contract,
                repair=repair,
            )
        except LineError as error:
            raise LineError(f"{self.place('tables', name, *error.at)}: {error}") from error

    def _require_columns(self, name: str, section: TableSection) -> None:
        for key, named in (("key", section.key), ("cursor", (section.cursor,)), ("site", (site_column(section),))):
            if missing := [column for column in named if column and column not in section.columns]:
                raise LineError(
                    f"{self.place('tables', name, key)}: table {name}: {missing[0]!r} is not among its columns "
                    f"({', '.join(section.columns)})"
                )
        for column, kind in section.columns.items():
            try:
                type_named(kind)
            except ValueError as error:
                raise LineError(f"{self.place('tables', name, 'columns', column)}: table {name}: {error}") from error

    def imported(self, dotted: str, *keys: str | int) -> Any:
        """Return what `package.module:name` names; raises LineError with the places in this file and in the Python."""
        module, _, name = dotted.partition(":")
        refused = f"{self.place(*keys)}: {dotted!r} cannot be loaded"
        if not module.strip(".") or not name:
            raise LineError(f"{refused}; write it as package.module:name")
        try:
            loaded = importlib.import_module(module)
        except LOADING as error:
            if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
                raise LineError(f"{refused}: there is no module {error.name!r}") from error
            raise LineError(f"{refused}: {python_mistake(error)}") from error
        if not hasattr(loaded, name):
            raise LineError(f"{refused}: the module {module!r} has no {name!r}")
        return getattr(loaded, name)

    def contract(self, table: str, section: TableSection) -> tuple[Expectation, ...]:
        """Return a table's expectations, from this file or the suite's own, parameters filled in; raises LineError."""
        said, brought = section.contract, dict[str, Any]()
        if isinstance(said, str):
            suite = self.suite(table, said)
            said, brought = suite.expectations(), dict(suite.parameters())
        expectations, asked = with_parameters(said, {**brought, **section.contract_parameters})
        if unused := [name for name in section.contract_parameters if name not in asked]:
            known = f"they ask for {', '.join(sorted(asked))}" if asked else "they ask for none"
            raise LineError(
                f"{self.place('tables', table, 'contract_parameters', unused[0])}: table {table}: none of its "
                f"expectations has the parameter {unused[0]!r}; {known}"
            )
        return expectations

    def contract_places(self, table: str, section: tuple[Expectation, ...] | str) -> list[str]:
        """Return where each of a table's expectations is written, for errors about one of them."""
        if isinstance(section, str):
            suite = self.suite(table, section)
            return [suite.place("expectations", number) for number in range(len(suite.content()["expectations"]))]
        return [self.place("tables", table, "contract", number) for number in range(len(section))]

    def suite(self, table: str, name: str) -> SuiteFile:
        """Return a suite's file; raises LineError where it is not there, or outside the line's folder."""
        folder = self.path.parent.resolve()
        place = (folder / name).resolve()
        if not place.is_relative_to(folder):
            raise LineError(
                f"{self.place('tables', table, 'contract')}: the suite {name!r} lies outside the line's folder; put it "
                "beside defs.yaml"
            )
        if not place.is_file():
            raise LineError(f"{self.place('tables', table, 'contract')}: there is no file {name!r} in {folder}")
        return SuiteFile(place)

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


def _without_dropped(section: TableSection) -> dict[str, str]:
    """Return a table's columns without those that are dropped before anything is made of them."""
    return {name: kind for name, kind in section.columns.items() if section.personal.get(name) != "drop"}


def _shared(section: Any, keys: type) -> dict[str, Any]:
    """Return what a section says of the keys that the file and the line have in common."""
    return {key.name: getattr(section, key.name) for key in fields(keys)}
