"""Figures of a stage as Dagster metadata, for people: numbers plot over time, lists and tables are Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from factory.masking import masked
from factory.pipeline.work import ROW_COUNT, Figures


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
