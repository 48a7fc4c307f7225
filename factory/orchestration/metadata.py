"""What a stage has made as Dagster metadata, for people: figures that plot over time, columns, checks and links."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from factory.errors.masking import masked
from factory.names import LINE_SITE
from factory.pipeline.line_run import LineRun
from factory.pipeline.runner import StepResult
from factory.pipeline.stages import Step
from factory.pipeline.work import ROW_COUNT, Figures

MODELS = ("base_model", "site_model", "release")
"""The stages that make no table: their columns are what a model takes and answers."""


class RunMetadata:
    """The metadata of what one run makes; a table's columns are read once a run."""

    def __init__(self, run: LineRun) -> None:
        self.run = run
        self._columns: dict[str, dg.TableSchema | None] = {}

    def of(self, asset: str, result: StepResult) -> dict[str, Any]:
        """Return an asset's figures, its columns, its site's page, and its model's run in the registry."""
        if asset not in self._columns:
            self._columns[asset] = self._read_columns(asset, result.step)
        columns = self._columns[asset]
        checks = _checks(result.figures.get("verdict"))
        return {
            **({"dagster/column_schema": columns} if columns else {}),
            **({"checks": checks} if checks else {}),
            "page": dg.MetadataValue.path(self.run.reports.place(result.site)),
            **self._registry_link(result.site),
            **metadata(asset, result.figures),
        }

    def _read_columns(self, asset: str, step: Step) -> dg.TableSchema | None:
        """Return a table's columns as the lake has them, a model's as its signature has them; None of anything else."""
        line = self.run.line
        meanings = {column.name: column.meaning for column in step.stage.columns(line)}
        if step.stage.name in MODELS:
            columns = dict.fromkeys((*line.signature.features, *line.signature.answers), "Float32")
            meanings |= line.features.columns
        elif self.run.lake.has(asset):
            columns = {name: str(kind) for name, kind in self.run.lake.scan(asset).collect_schema().items()}
        else:
            return None
        return dg.TableSchema([dg.TableColumn(name, kind, meanings.get(name)) for name, kind in columns.items()])

    def _registry_link(self, site: str) -> dict[str, Any]:
        """Return where the registry shows the newest candidate of a site, or the base model; none before the first."""
        stage = "base_model" if site == LINE_SITE else "site_model"
        entry = self.run.journal.latest(stage, [site]).get(site)
        link = _link(entry.figures.get("registry")) if entry else None
        return {"registry": link} if link else {}


def _checks(verdict: Mapping[str, Any] | None) -> dg.MetadataValue[Any] | None:
    """Return a verdict's checks as a table, a row each; None where there is no verdict or it kept no checks."""
    checks: Sequence[Mapping[str, Any]] = (verdict or {}).get("checks", ())
    names = ("code", "figure", "found", "bound", "limit", "kept", "mode")
    rows = [dg.TableRecord({name: "" if check[name] is None else check[name] for name in names}) for check in checks]
    schema = dg.TableSchema([dg.TableColumn(name, "string") for name in names])
    return dg.MetadataValue.table(rows, schema=schema) if rows else None


def metadata(asset: str, figures: Figures) -> dict[str, Any]:
    """Return figures as a person reads them; addresses and files are something to open.

    What is known of nothing (None) is left out, and so is what only programs read: numbers in a row, nested tables.
    A stage that makes several assets counts the rows of each.
    """
    rows = figures.get(ROW_COUNT)
    count = rows.get(asset) if isinstance(rows, Mapping) else rows
    shown = {"dagster/row_count": count, **{name: value for name, value in figures.items() if name != ROW_COUNT}}
    values = {name: _link(value) or _value(value) for name, value in shown.items()}
    return {name: value for name, value in values.items() if value is not None}


def _link(value: Any) -> dg.MetadataValue[Any] | None:
    """Return an address or a file as something to open; None for what is neither."""
    if isinstance(value, Path):
        return dg.MetadataValue.path(value)
    is_address = isinstance(value, str) and value.startswith(("http://", "https://"))
    return dg.MetadataValue.url(value) if is_address else None


def _value(value: Any) -> Any:
    """Return a figure as a person reads it, texts without secrets; None for what is not shown."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case list() if all(isinstance(item, str) for item in value):
            return dg.MetadataValue.md(masked("\n".join(f"- {item}" for item in value)) or "none")
        case dict() if not any(isinstance(item, list | dict) for item in value.values()):
            rows = "".join(f"\n| {name} | {item} |" for name, item in value.items())
            return dg.MetadataValue.md(masked(f"| | |\n|---|---|{rows}") if rows else "none")
        case int():
            return value
        case str():
            return masked(value)
    return None
