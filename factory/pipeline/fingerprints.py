"""What a stage's result depends on beside its rows: sections of the line's file, the line's own Python, the library.

A section counts by its meaning and not by its wording: a comment, an owner, a purpose or the sentence about a feature
changes nothing, a gate's limit changes what the gates decide, a recipe what training makes.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

from factory.line.line import Line, Table
from factory.model.code import function_digest, library_digest
from factory.storage.journal import fingerprint

Section = Callable[[Line, Table | None], Any]


def _table(line: Line, table: Table | None) -> Any:
    """Return what decides which rows of a table are clean."""
    if table is None:
        raise ValueError(f"line {line.name}: only a stage of a table has the section `table`")
    contract = [[rule.type, dict(rule.kwargs), *([] if rule.critical else [rule.severity])] for rule in table.contract]
    said = [table.parse, table.site_names, contract, table.repair]
    log = table.changes.column if table.changes.known_by == "change_log" else ""
    versions = [[table.changes.deleted, log]] if table.changes.deleted or log else []
    return [dict(table.columns), table.key, table.site_column, *said, *versions]


SECTIONS: Mapping[str, Section] = {
    "table": _table,
    "features": lambda line, _: [
        line.features.build,
        line.features.key,
        line.features.entity,
        line.features.across_sites,
    ],
    "announced": lambda line, _: [[table.name, table.announced, table.known_at] for table in line.tables.values()],
    "feature names": lambda line, _: [list(line.features.columns), line.features.entity],
    "task": lambda line, _: line.task,
    "split": lambda line, _: line.split,
    "label": lambda line, _: [line.label.horizon, line.label.columns],  # an event of it is in `features: build`
    "known before": lambda line, _: line.label.known_before,
    "outcomes": lambda line, _: line.outcomes.acted_on,
    "recipe": lambda line, _: line.recipe,
    "gates": lambda line, _: line.gates,
    "value": lambda line, _: line.value,
    "costs": lambda line, _: [line.costs.compute_hour_eur, line.costs.horizon],
    "figures": lambda line, _: dict(line.figures),
    "online_snapshot": lambda line, _: line.online_snapshot,
}
"""The sections of a line's file that decide anything a stage makes, each as the part of it that counts."""


class LineCode:
    """The digests of one line's sections and code, each taken once."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._sections: dict[tuple[str, str], str] = {}

    def of(self, sections: tuple[str, ...], rooms: tuple[str, ...], table: Table | None = None) -> str:
        """Return one digest of some sections and of some of the library's rooms."""
        return fingerprint([self.section(name, table) for name in sections], library_digest(*rooms))

    def section(self, name: str, table: Table | None = None) -> str:
        """Return a section's digest."""
        place = (name, table.name if table else "")
        if place not in self._sections:
            self._sections[place] = fingerprint(plain(SECTIONS[name](self.line, table)))
        return self._sections[place]

    @cached_property
    def whole(self) -> str:
        """One digest of all sections, kept with every model so that people can tell two recipes apart."""
        tables = [self.section("table", table) for table in self.line.tables.values()]
        return fingerprint(tables, [self.section(name) for name in SECTIONS if name != "table"])


def plain(value: Any) -> Any:
    """Return a value as JSON types that change when what it says does; a function is its code's digest."""
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {field.name: plain(getattr(value, field.name)) for field in fields(value)}]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if callable(value):
        return function_digest(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
