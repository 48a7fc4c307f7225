"""What the lake's tables hold, site by site, and what they held when this line last left them.

Whether rows are the same is a question of what is in them. Compacting, vacuuming, a checkpoint, a restore, or another
engine that writes the same rows anew moves a table's version and changes nothing; a DELETE by hand changes rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from factory.data.content import Content, contents
from factory.storage.journal import Journal, fingerprint
from factory.storage.lake import Lake

_MOVES_NO_ROW = ("OPTIMIZE", "VACUUM START", "VACUUM END", "CREATE TABLE", "SET TBLPROPERTIES")


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
        return {
            site: fingerprint([content.digest for content in held]) for site, held in self._now(tables, sites).items()
        }

    def changed_by_others(self, tables: Sequence[str], sites: Iterable[str]) -> dict[str, str]:
        """Return what happened to the sites whose rows are others than this line left there, and remember the new ones.

        Where this line has written a site since, as a run does that dies before it remembers, nobody else is blamed.
        """
        known = self._known(tables, list(sites))
        files = self._files(tables, list(known))
        moved = [site for site, entry in known.items() if entry["files"] != files[site]]
        if not moved:
            return {}
        writes = self._writes(tables, moved)
        now = self._now(tables, moved)
        return {
            site: what
            for site in moved
            if writes[site] <= known[site]["writes"]
            and (what := self._difference(tables, known[site], [list(content) for content in now[site]]))
        }

    def _difference(self, tables: Sequence[str], known: Mapping[str, Any], now: Sequence[Any]) -> str:
        """Return what is different in the first table that is, in words; empty where none is."""
        for table, version, before, after in zip(tables, known["versions"], known["contents"], now, strict=True):
            if before != after:
                rows = (
                    f"{before[1]} rows became {after[1]}" if before[1] != after[1] else f"its {after[1]} rows changed"
                )
                return f"{table} was changed by another program: {rows}{self._deeds(table, version)}"
        return ""

    def _deeds(self, table: str, since: int) -> str:
        """Return which commits of others may have done it, as far as the table's log still says so."""
        deeds = [deed for deed in self.lake.commits_of_others(table, since) if deed.operation not in _MOVES_NO_ROW]
        told = [
            f"{deed.operation} at {datetime.fromtimestamp(deed.at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC by {deed.by}"
            for deed in deeds[:3]
        ]
        return f" ({'; '.join(told)})" if told else ""

    def _now(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, list[Content]]:
        known, files = self._known(tables, sites), self._files(tables, sites)
        same = {site for site in sites if site in known and known[site]["files"] == files[site]}
        held = {site: [Content(*content) for content in known[site]["contents"]] for site in same}
        if other := [site for site in sites if site not in same]:
            held |= self._computed(tables, other)
        return held

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
                "files": [files[site] for _, files in snapshots],
                "versions": [version or 0 for version, _ in snapshots],
                "writes": writes[site],
                "contents": held[site],
            }
            for site in sites
        }
        marks = {site: fingerprint(entry["files"]) for site, entry in entries.items()}
        self.journal.record(_stage(tables), entries, marks, run=self.run, seconds=0.0)
        return held

    def _known(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return {site: entry.figures for site, entry in self.journal.latest(_stage(tables), sites).items()}

    def _files(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, list[str]]:
        by_table = [self.lake.files(table, sites)[1] for table in tables]
        return {site: [files[site] for files in by_table] for site in sites}

    def _writes(self, tables: Sequence[str], sites: Sequence[str]) -> dict[str, list[int]]:
        by_table = [self.lake.site_versions(table, sites) for table in tables]
        return {site: [versions[site] for versions in by_table] for site in sites}


def _stage(tables: Sequence[str]) -> str:
    """Return the name by which the journal knows what some tables hold."""
    return f"content of {tables[0]}"
