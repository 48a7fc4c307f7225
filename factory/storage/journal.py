"""The journal: what each stage last did for each site, kept in the lake beside the data.

An entry's fingerprint names everything its result depends on. A stage whose inputs give the fingerprint that is
already there has nothing to do, which is how a run over unchanged data changes nothing. The entry is written after
the data: a run that dies between the two does its last stage again, with the same result.

Entries are in the order of their moments, and each one's moment is after those of the entries before it: when the
clock goes back, the newest entry is still the one that was written last.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from factory.storage.lake import SITE, Lake

TABLE = "journal"
BEGUN = "begun "


def fingerprint(*parts: Any) -> str:
    """Return 16 hexadecimal digits that change when any part does; parts are JSON types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def utc_now() -> datetime:
    """Return what the clock says."""
    return datetime.now(UTC)


def next_moment(lake: Lake, table: str, sites: Iterable[str], now: datetime) -> datetime:
    """Return now, or the moment after the sites' newest row in the table, `at`, where that one is not before now."""
    if not lake.has(table):
        return now
    newest = lake.scan(table, list(sites)).select(pl.col("at").max()).collect().item()
    return now if newest is None or newest < now else newest + timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stage's last word on one site."""

    stage: str
    site: str
    fingerprint: str
    figures: Mapping[str, Any]
    at: datetime
    run: str
    seconds: float

    @property
    def content(self) -> str:
        """What the result is, whatever it was made from."""
        return str(self.figures.get("content") or self.figures.get("digest") or self.fingerprint)


class Journal:
    """Reads and writes the entries of one line."""

    def __init__(self, lake: Lake, clock: Callable[[], datetime] = utc_now) -> None:
        self.lake = lake
        self.clock = clock

    def latest(self, stage: str, sites: Sequence[str] | None = None) -> dict[str, Entry]:
        """Return each site's newest entry of a stage; a site the stage never finished is absent."""
        if not self.lake.has(TABLE):
            return {}
        rows = self.lake.scan(TABLE, sites).filter(pl.col("stage") == stage).sort("at", maintain_order=True)
        newest = rows.unique(SITE, keep="last", maintain_order=True).collect()
        return {row[SITE]: _entry(row) for row in newest.iter_rows(named=True)}

    def fresh(self, stage: str, wanted: Mapping[str, str]) -> set[str]:
        """Return the sites whose newest entry of the stage has the wanted fingerprint: nothing to do there."""
        latest, begun = self.latest(stage, list(wanted)), self.latest(BEGUN + stage, list(wanted))
        ended = {site: entry for site, entry in latest.items() if site not in begun or begun[site].at <= entry.at}
        return {site for site, mark in wanted.items() if site in ended and ended[site].fingerprint == mark}

    def begin(self, stage: str, sites: Sequence[str], *, run: str) -> None:
        """Note that a stage begins: what a run that dies leaves half done is then taken for fresh by nobody."""
        self.record(BEGUN + stage, {site: {} for site in sites}, dict.fromkeys(sites, ""), run=run, seconds=0.0)

    def record(
        self,
        stage: str,
        figures: Mapping[str, Mapping[str, Any]],
        marks: Mapping[str, str],
        *,
        run: str,
        seconds: float,
    ) -> None:
        """Add one entry for each site in `figures`, in one commit; `seconds` is shared evenly among them."""
        at = next_moment(self.lake, TABLE, figures, self.clock())
        share = seconds / max(1, len(figures))
        rows = [
            {
                SITE: site,
                "stage": stage,
                "fingerprint": marks[site],
                "figures": json.dumps(dict(found), default=str),
                "at": at,
                "run": run,
                "seconds": share,
            }
            for site, found in figures.items()
        ]
        if rows:
            self.lake.append(TABLE, pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC")}), seen={})


def _entry(row: Mapping[str, Any]) -> Entry:
    fields = ("stage", "fingerprint", "at", "run", "seconds")
    return Entry(site=row[SITE], figures=json.loads(row["figures"]), **{name: row[name] for name in fields})
