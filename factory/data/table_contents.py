"""What the lake's tables hold, site by site, and what they held when this line last left them.

Whether rows are the same is a question of what is in them. Compacting, vacuuming, a checkpoint, a restore, or another
engine that writes the same rows anew moves a table's version and changes nothing; a DELETE by hand changes rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from factory.data.content import Content, contents
from factory.storage.journal import Journal, fingerprint
from factory.storage.lake import Lake

_MOVES_NO_ROW = ("OPTIMIZE", "VACUUM START", "VACUUM END", "CREATE TABLE", "SET TBLPROPERTIES")


class _Mark(NamedTuple):
    """What the journal has as the fingerprint of a site's tables: of the files, and of the rows in them."""

    files: str
    content: str


class TableContents:
    """What some tables of a line's lake hold, site by site.

    It is remembered in the journal together with the files that the rows were in: where those are the same, no row is
    read.
    """

    def __init__(self, lake: Lake, journal: Journal, run: str) -> None:
        self.lake = lake
        self.journal = journal
        self.run = run

    def digests(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, str]:
        """Return one digest of what each site has in the tables now, and remember it as what this line left there."""
        files, marks = self._files(tables, sites), self._marks(tables, sites)
        digests = {site: mark.content for site, mark in marks.items() if mark.files == files[site]}
        if other := [site for site in sites if site not in digests]:
            digests |= {site: _digest(held) for site, held in self._computed(tables, other).items()}
        return digests

    def changed_by_others(self, tables: Sequence[str], sites: Iterable[str]) -> dict[str, str]:
        """Return what happened to the sites whose rows are others than this line left there, and remember the new ones.

        Where this line has written a site since, as a run does that dies before it remembers, nobody else is blamed.
        """
        marks = self._marks(tables, list(sites))
        files = self._files(tables, list(marks))
        moved = [site for site, mark in marks.items() if mark.files != files[site]]
        if not moved:
            return {}
        known = {site: entry.figures for site, entry in self.journal.latest(_stage(tables), moved).items()}
        writes, now = self._writes(tables, moved), self._computed(tables, moved)
        return {
            site: self._difference(tables, known[site], now[site])
            for site in moved
            if _digest(now[site]) != marks[site].content
            and all(count <= before for count, before in zip(writes[site], known[site]["writes"], strict=True))
        }

    def _difference(self, tables: Sequence[str], known: Mapping[str, Any], now: Sequence[Content]) -> str:
        """Return what is different in the first table that is, in words."""
        each = zip(tables, known["versions"], known["contents"], now, strict=True)
        table, version, before, after = next(one for one in each if Content(*one[2]) != one[3])
        rows = f"{before[1]} rows became {after.rows}" if before[1] != after.rows else f"its {after.rows} rows changed"
        return f"{table} was changed by another program: {rows}{self._deeds(table, version)}"

    def _deeds(self, table: str, since: int) -> str:
        """Return which commits of others may have done it, as far as the table's log still says so."""
        deeds = [deed for deed in self.lake.commits_of_others(table, since) if deed.operation not in _MOVES_NO_ROW]
        told = [
            f"{deed.operation} at {datetime.fromtimestamp(deed.at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC by {deed.by}"
            for deed in deeds[:3]
        ]
        return f" ({'; '.join(told)})" if told else ""

    def _computed(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, list[Content]]:
        """Read the sites' rows, and remember what they are and in which files they were."""
        writes, snapshots = self._writes(tables, sites), [self.lake.files(table, sites) for table in tables]
        by_table = [
            contents(self.lake.scan(table, sites, version=version), sites)
            if version is not None
            else dict.fromkeys(sites, Content(digest="", rows=0))
            for table, (version, _) in zip(tables, snapshots, strict=True)
        ]
        held = {site: [content[site] for content in by_table] for site in sites}
        entries = {
            site: {
                "versions": [version or 0 for version, _ in snapshots],
                "writes": writes[site],
                "contents": held[site],
            }
            for site in sites
        }
        files = {site: fingerprint([by_site[site] for _, by_site in snapshots]) for site in sites}
        marks = {site: f"{files[site]} {_digest(held[site])}" for site in sites}
        self.journal.record(_stage(tables), entries, marks, run=self.run, seconds=0.0)
        return held

    def _marks(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, _Mark]:
        """Return what is remembered of each site, without its figures, whose reading costs more than all the rest."""
        marks = self.journal.fingerprints(_stage(tables), sites)
        return {site: _Mark(*mark.split(" ")) for site, mark in marks.items()}

    def _files(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, str]:
        by_table = [self.lake.files(table, sites)[1] for table in tables]
        return {site: fingerprint([files[site] for files in by_table]) for site in sites}

    def _writes(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, list[int]]:
        by_table = [self.lake.site_versions(table, sites) for table in tables]
        return {site: [versions[site] for versions in by_table] for site in sites}


def _digest(held: Sequence[Content]) -> str:
    return fingerprint([content.digest for content in held])


def _stage(tables: Sequence[str]) -> str:
    """Return the name by which the journal knows what some tables hold."""
    return f"content of {tables[0]}"
