"""Which segments of the gateway's records may go: records, lakes and trials in, reasons to keep each one out.

A segment holds predictions of any line. It may go once every row of it is in the lake of its line, and once no trial
that runs is judged by it: `factory trial show` reads the records alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from factory.monitoring.prediction_log.files import COMPLETE, recorded, segments, unreadable_bytes
from factory.monitoring.prediction_log.reading import in_portions
from factory.monitoring.prediction_log.rows import not_served, served_rows
from factory.names import model_name
from factory.storage.columns import SITE
from factory.storage.lake import Lake

Site = tuple[str, str]
"""A line and one of its sites."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A complete segment that is old enough to go."""

    segment: Path
    size: int
    reasons_to_keep: tuple[str, ...]
    """Empty where it may go."""


def judged(
    folder: Path, before: float, lake_of: Callable[[str], Lake], trials: Mapping[str, float]
) -> Iterator[Judged]:
    """Judge each complete segment that nobody wrote to since a Unix time, oldest first.

    `trials` has for each model with a running trial since when it runs, as Unix time.
    """
    for segment in segments(folder):
        status = segment.stat() if segment.suffix == COMPLETE else None
        if status and status.st_mtime < before:
            reasons = _reasons(segment, lake_of, {model: at for model, at in trials.items() if at <= status.st_mtime})
            yield Judged(segment=segment, size=status.st_size, reasons_to_keep=tuple(reasons))


def _reasons(segment: Path, lake_of: Callable[[str], Lake], trials: Mapping[str, float]) -> Iterator[str]:
    """Yield every reason to keep a segment; `trials` are those that began before it ended."""
    asked, missing = Counter[Site](), Counter[Site]()
    for portion in in_portions(batch for batch, _ in recorded(segment)):
        for line in sorted({batch.line for batch in portion}):
            rows = served_rows([batch for batch in portion if batch.line == line], [], {})
            asked.update(_by_site(line, rows))
            missing.update(_by_site(line, not_served(rows, lake_of(line))))
    if lost := unreadable_bytes(segment, max((place for _, place in recorded(segment)), default=0)):
        yield f"its last {lost} bytes cannot be read: it is damaged, and only a person may remove it"
    for model in sorted({model_name(*of) for of in asked} & set(trials)):
        yield f"the trial of {model} is judged by what was recorded since {_day(trials[model])}"
    for (line, site), count in sorted(missing.items()):
        yield (
            f"{count} of its {asked[line, site]} rows of site {site} are not in the lake of line {line}; "
            f"bring them in with: factory operate {line} --sites {site}"
        )


def _by_site(line: str, rows: pl.DataFrame) -> dict[Site, int]:
    return {(line, site): count for site, count in rows[SITE].value_counts().iter_rows()}


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
