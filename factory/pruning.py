"""Which segments of the gateway's records may go: records, lakes and trials in, why each one stays out.

A segment holds predictions of any line. It may go once every row of it is in the lake of its line, and once no trial
that runs is judged by it: `factory trial show` reads the records alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from factory.contract.columns import SITE
from factory.gateway.record_file import COMPLETE, RecordedBatch, recorded, segments, unreadable_bytes
from factory.lake import Lake
from factory.names import model_name
from factory.served import not_served, served_rows


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A complete segment that is old enough to go."""

    segment: Path
    size: int
    kept: tuple[str, ...]
    """Why it stays; empty where it may go."""


def judged(
    folder: Path, before: float, lake_of: Callable[[str], Lake], trials: Mapping[str, float]
) -> Iterator[Judged]:
    """Judge each complete segment that nobody wrote to since a Unix time, oldest first.

    `trials` says for each model with a trial that runs since when it does, as Unix time.
    """
    for segment in segments(folder):
        found = segment.stat() if segment.suffix == COMPLETE else None
        if found and found.st_mtime < before:
            reasons = _reasons(segment, lake_of, {model: at for model, at in trials.items() if at <= found.st_mtime})
            yield Judged(segment=segment, size=found.st_size, kept=tuple(reasons))


def _reasons(segment: Path, lake_of: Callable[[str], Lake], trials: Mapping[str, float]) -> Iterator[str]:
    """Yield every reason to keep a segment; `trials` are those that began before it ended."""
    by_line: dict[str, list[RecordedBatch]] = {}
    whole = list(recorded(segment))
    for batch, _ in whole:
        by_line.setdefault(batch.line, []).append(batch)
    if lost := unreadable_bytes(segment, whole[-1][1] if whole else 0):
        yield f"its last {lost} bytes cannot be read: it is damaged, and goes by hand alone"
    for line, batches in by_line.items():
        for model in sorted({model_name(line, batch.site) for batch in batches} & set(trials)):
            yield f"the trial of {model} is judged by what was recorded since {_day(trials[model])}"
        yield from _missing(lake_of(line), batches)


def _missing(lake: Lake, batches: list[RecordedBatch]) -> Iterator[str]:
    """Yield, for each site with rows that the lake has not, how many these are and how they come in."""
    rows = served_rows(batches, [], {})
    asked, missing = rows[SITE].value_counts(), not_served(rows, lake)[SITE].value_counts()
    of_site = dict(asked.iter_rows())
    for site, count in sorted(missing.iter_rows()):
        yield (
            f"{count} of its {of_site[site]} rows of site {site} are not in the lake of line {lake.line}; "
            f"bring them in with: factory operate {lake.line} --sites {site}"
        )


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
