"""Lines written into a project of a test's own, and loaded from there as the orchestrator loads them."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

import lines
from factory.connectors.tables import TableSource
from factory.data.cleaning import Cleaned, clean
from factory.data.content import with_surrogate_key
from factory.data.contract.compiler import compile_contract
from factory.line.file import LineFile
from factory.line.line import Line
from factory.scaffold.new_line import Written, new_line
from factory.scaffold.profiling.profiler import Asked
from factory.storage.lake import SITE

TODAY = date(2026, 11, 24)


class Here:
    """Collects plans on the CPU."""

    def collect(self, plan: pl.LazyFrame) -> pl.DataFrame:
        return plan.collect()


def project(folder: Path) -> Path:
    """Return an empty project."""
    (folder / "lines").mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text("")
    return folder


def written(root: Path, name: str, table: Path | str, target: str, **named: Any) -> Written:
    return new_line(name, Asked(at=str(table), target=target, **named), root, TODAY)


@contextmanager
def importable(root: Path) -> Iterator[None]:
    """For the block, `lines.<name>` is found in this project too."""
    before = list(lines.__path__)
    lines.__path__.append(str(root / "lines"))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        lines.__path__[:] = before
        for name in [name for name in sys.modules if name.startswith("lines.")]:
            if str(root) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def loaded(root: Path, name: str) -> tuple[Line, TableSource]:
    """Return a line and its source as its file says."""
    file = LineFile(root / "lines" / name / "defs.yaml")
    said = file.sections()
    return file.line(said), TableSource(**said.source.arguments, root=str(root))


def cleaned(line: Line, source: TableSource, until: datetime | None = None) -> Cleaned:
    """Return what the line's contract and repair make of all rows of all sites."""
    table, moment = line.decisions, until or line.default_until
    delivered = table.delivered
    batches = [
        with_surrogate_key(batch, table).with_columns(pl.lit(site).alias(SITE))
        for site in source.sites(delivered, moment)
        for batch in source.read(delivered, site=site, after=None, until=moment)
    ]
    raw = pl.concat(batches).with_columns(_load=pl.lit(1, pl.Int64), _row=pl.int_range(pl.len(), dtype=pl.Int64))
    contract = compile_contract(table.contract, columns=table.columns, place="contract")
    return clean(raw.lazy(), table, contract, Here())


def features(line: Line, found: Cleaned) -> pl.DataFrame:
    return line.features.build({line.decision_table: found.accepted.lazy()}).collect()
