"""What the gateway's records hold that a line has not read yet: segments and a cursor in, batches by site out.

A cursor says for each site how far each segment was read, by the segment's name without its ending, so that a segment
that grows and is completed is read on from there. A cursor only saves reading: rows that are read twice are already in
the lake and are left out, so that a cursor that is lost or behind costs nothing but time.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from factory.monitoring.prediction_log.files import COMPLETE, RecordedBatch, recorded, segments, unreadable_bytes
from factory.storage.columns import SITE
from factory.storage.lake import Lake

CURSORS = "served_cursors"
PORTION_BYTES = 256 * 1024**2
"""About how much of the records is in memory at once."""
_BATCH_BYTES = 2048
"""About what a batch takes besides its numbers."""
Places = Mapping[str, int]
BySite = dict[str, list[RecordedBatch]]


@dataclass(frozen=True, kw_only=True)
class LogReader:
    """Reads a folder's records of some sites of one line, each site from where it was last read to."""

    folder: Path
    line: str
    read: Mapping[str, Places]
    """For each site how far it was read in each segment."""
    reached: dict[str, int] = field(default_factory=dict)
    """How far each segment that is there is read by now, for all sites."""
    damaged: dict[Path, int] = field(default_factory=dict)
    """Complete segments, each with the bytes at its end that cannot be read."""

    def portions(self, at_most_bytes: int = PORTION_BYTES) -> Iterator[BySite]:
        """Yield batches by site, in portions of about so many bytes."""
        for portion in in_portions(self._batches(), at_most_bytes):
            by_site: BySite = {}
            for batch in portion:
                by_site.setdefault(batch.site, []).append(batch)
            yield by_site

    def _batches(self) -> Iterator[RecordedBatch]:
        for segment in segments(self.folder):
            starts = {site: places.get(segment.stem, 0) for site, places in self.read.items()}
            reached = min(starts.values())
            for batch, place in recorded(segment, reached):
                if batch.line == self.line and place > starts.get(batch.site, place):
                    yield batch
                reached = place
            self.reached[segment.stem] = reached
            if segment.suffix == COMPLETE and (lost := unreadable_bytes(segment, reached)):
                self.damaged[segment] = lost


def in_portions(batches: Iterable[RecordedBatch], at_most_bytes: int = PORTION_BYTES) -> Iterator[list[RecordedBatch]]:
    """Yield batches in lists that take about so many bytes; none is empty."""
    portion: list[RecordedBatch] = []
    size = 0
    for batch in batches:
        portion.append(batch)
        size += _BATCH_BYTES + len(batch.values) + len(batch.answers)
        if size >= at_most_bytes:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def cursors(lake: Lake, commits: Mapping[str, int]) -> dict[str, Places]:
    """Return each site's cursor; of a site without one, nothing is read yet.

    `commits` says how often each site was written in the table that the cursor is about. A cursor that counts more
    commits is about rows that are no longer there, and is ignored.
    """
    cursor_of: dict[str, Places] = {site: {} for site in commits}
    if lake.has(CURSORS):
        for row in lake.scan(CURSORS, list(commits)).collect().iter_rows(named=True):
            if row["commits"] <= commits[row[SITE]]:
                cursor_of[row[SITE]] = json.loads(row["read"])
    return cursor_of


def keep_cursors(lake: Lake, read: Mapping[str, Places], commits: Mapping[str, int]) -> None:
    """Keep how far each site was read, in one commit."""
    sites: Sequence[str] = list(read)
    rows = pl.DataFrame(
        {
            SITE: sites,
            "commits": [commits[site] for site in sites],
            "read": [json.dumps(dict(read[site]), sort_keys=True) for site in sites],
        }
    )
    lake.replace(CURSORS, rows, lake.site_versions(CURSORS, sites))
