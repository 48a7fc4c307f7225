"""The journal: what each stage last did for each site, kept in the lake beside the data.

An entry's fingerprint names everything its result depends on. A stage whose inputs give the fingerprint that is
already there has nothing to do, which is how a run over unchanged data changes nothing. The entry is written after
the data: a run that dies between the two does its last stage again, with the same result.

Entries are in the order of their moments, and each one's moment is after those of the entries before it: when the
clock goes back, the newest entry is still the one that was written last.

The table is not partitioned, for it is read by stage: a thousand partitions would cost seconds a look. What is newest
is kept in memory and read anew where somebody else wrote; figures are read when a stage is first asked for.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import polars as pl

from factory.storage.lake import SITE, Lake

TABLE = "journal"
BEGUN = "begun "
COMPACT_EVERY = 128
"""After so many commits the table's many small files are made one."""


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
    return now if newest is None else _after(newest, now)


def _after(newest: datetime, now: datetime) -> datetime:
    return now if newest < now else newest + timedelta(microseconds=1)


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
        """What the result is, whatever it was made from: where it stays the same, nothing after it is done again."""
        return str(self.figures.get("content") or self.fingerprint)


class _Newest(NamedTuple):
    """An entry without its figures."""

    at: datetime
    fingerprint: str
    run: str
    seconds: float


@dataclass(kw_only=True)
class _Known:
    """What is newest in one version of the table: by stage and site; figures as JSON, of the stages asked for."""

    version: int
    newest: dict[str, dict[str, _Newest]]
    figures: dict[str, dict[str, str]] = field(default_factory=dict)


class Journal:
    """Reads and writes the entries of one line."""

    def __init__(self, lake: Lake, clock: Callable[[], datetime] = utc_now) -> None:
        self.lake = lake
        self.clock = clock
        self._last: _Known | None = None

    def latest(self, stage: str, sites: Sequence[str] | None = None) -> dict[str, Entry]:
        """Return each site's newest entry of a stage; a site the stage never finished is absent."""
        known = self._known()
        if known is None or stage not in known.newest:
            return {}
        newest, figures = known.newest[stage], self._figures(known, stage)
        wanted = newest if sites is None else [site for site in sites if site in newest]
        return {
            site: Entry(stage=stage, site=site, figures=msgspec.json.decode(figures[site]), **newest[site]._asdict())
            for site in wanted
        }

    def fingerprints(self, stage: str, sites: Sequence[str]) -> dict[str, str]:
        """Return the fingerprint of each site's newest entry of a stage, for which no figures are read."""
        known = self._known()
        newest = known.newest.get(stage, {}) if known else {}
        return {site: newest[site].fingerprint for site in sites if site in newest}

    def begun(self, stage: str) -> set[str]:
        """Return the sites that a stage ever began with, whether or not it came to an end."""
        known = self._known()
        return set(known.newest.get(BEGUN + stage, {})) if known else set()

    def fresh(self, stage: str, wanted: Mapping[str, str]) -> set[str]:
        """Return the sites whose newest entry of the stage has the wanted fingerprint: nothing to do there."""
        known = self._known()
        ended = known.newest.get(stage, {}) if known else {}
        begun = known.newest.get(BEGUN + stage, {}) if known else {}
        return {
            site
            for site, mark in wanted.items()
            if site in ended
            and ended[site].fingerprint == mark
            and (site not in begun or begun[site].at <= ended[site].at)
        }

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
        if not figures:
            return
        known, share = self._known(), seconds / len(figures)
        at = self._next_moment(known, figures)
        texts = {site: json.dumps(dict(said), default=str) for site, said in figures.items()}
        rows = [
            {
                SITE: site,
                "stage": stage,
                "fingerprint": marks[site],
                "figures": texts[site],
                "at": at,
                "run": run,
                "seconds": share,
            }
            for site in figures
        ]
        frame = pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC")})
        version = self.lake.append(TABLE, frame, seen={}, partitioned=False)
        if known is not None and version == known.version + 1:  # nobody else wrote meanwhile
            new = {site: _Newest(at, marks[site], run, share) for site in figures}
            known.newest[stage] = {**known.newest.get(stage, {}), **new}
            if stage in known.figures or set(known.newest[stage]) == set(new):
                known.figures[stage] = {**known.figures.get(stage, {}), **texts}
            known.version = version
        if version % COMPACT_EVERY == 0:
            self.lake.compact(TABLE)

    def _next_moment(self, known: _Known | None, sites: Iterable[str]) -> datetime:
        now = self.clock()
        moments = [of[site].at for of in (known.newest.values() if known else ()) for site in sites if site in of]
        return _after(max(moments), now) if moments else now

    def _known(self) -> _Known | None:
        """Return what is newest; None before the first entry."""
        version = self.lake.version(TABLE)
        if version is None:
            return None
        if self._last is None or self._last.version != version:
            self._last = _Known(version=version, newest=self._read(version))
        return self._last

    def _read(self, version: int) -> dict[str, dict[str, _Newest]]:
        columns = ["stage", SITE, *_Newest._fields]
        rows = self.lake.scan(TABLE, version=version).select(columns).sort("at", maintain_order=True)
        newest: dict[str, dict[str, _Newest]] = {}
        for stage, site, *what in rows.unique(["stage", SITE], keep="last", maintain_order=True).collect().iter_rows():
            newest.setdefault(stage, {})[site] = _Newest(*what)
        return newest

    def _figures(self, known: _Known, stage: str) -> dict[str, str]:
        """Return the figures of a stage's newest entries, as JSON by site."""
        if stage not in known.figures:
            rows = self.lake.scan(TABLE, version=known.version).filter(pl.col("stage") == stage)
            newest = rows.select(SITE, "figures", "at").sort("at", maintain_order=True).unique(SITE, keep="last")
            known.figures[stage] = dict(newest.select(SITE, "figures").collect().iter_rows())
        return known.figures[stage]
