"""The lake: Delta tables under one URL, one per line and name, partitioned by site.

Rows come in as Polars frames with a `site` column and go out as lazy scans. Every write is one commit, and every
commit names the sites it wrote as Delta application transactions: when two runs write the same site at once, the
second one to commit gets SiteBusy and has written nothing, on a local disk and on an object store alike.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from factory.errors import FactoryError, LakeError, LineError, SiteBusy, TableMissing
from factory.errors.masking import masked_cause
from factory.names import checked_name
from factory.storage.columns import SITE
from factory.storage.faults import storage_error, why_unusable

__all__ = ["SITE", "Lake"]

_DELTA = (DeltaError, OSError)
"""What delta-rs raises; on an object store, OSErrors of the network."""
_WRITER, _OURS = "writer", "ai-factory"
"""By which entry of its log a commit is known as one of this library's."""
_AT_ONCE, _BY_ITSELF = "interval 0 seconds", ("interval 30 days", "interval 1 week")
"""For how long a log and deleted files are kept: while a table is purged, and by Delta's own rule."""
TRIES = 20
"""How often a write is tried while others commit to the same table."""


class Commit(NamedTuple):
    """What a table's log says of a commit: what was done, when, and by which program."""

    operation: str
    at_ms: int
    by: str


class _Snapshot(DeltaTable):
    """A table in one version, whose files' largest moments are not below those of the rows.

    Delta's log keeps moments in milliseconds, cut off; Polars takes them for exact, and would pass over a file whose
    newest row is of the microseconds after.
    """

    def get_add_actions(self, flatten: bool = False) -> Any:
        """Return what the log says of each file, the largest moments raised to the end of their millisecond."""
        actions = pl.DataFrame(super().get_add_actions(flatten=flatten))
        if flatten or not isinstance(actions.schema.get("max"), pl.Struct):
            return actions
        whole = actions["max"].struct.unnest()
        raised = whole.with_columns(pl.selectors.datetime() + pl.duration(microseconds=999))
        return actions.with_columns(raised.to_struct("max"))


class Lake:
    """The Delta tables of one line."""

    def __init__(self, root: str | Path, line: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.line = checked_name(line, "line")
        self.root = f"{str(root).rstrip('/')}/{self.line}"
        self.storage_options = dict(storage_options or {})
        self._opened: dict[str, DeltaTable] = {}
        self._files: dict[str, tuple[int, str, dict[str, str]]] = {}

    def uri(self, table: str) -> str:
        """Return the place of a table."""
        return f"{self.root}/{table}"

    def version(self, table: str) -> int | None:
        """Return the table's version, the data version recorded with every model; None before its first commit."""
        delta = self._open(table)
        return None if delta is None else delta.version()

    def site_versions(self, table: str, sites: Iterable[str]) -> dict[str, int]:
        """Return how many commits have written each site; a site never written has 0."""
        delta = self._open(table)
        return {site: 0 if delta is None else delta.transaction_version(site) or 0 for site in sites}

    def files(self, table: str, sites: Iterable[str]) -> tuple[int | None, dict[str, str]]:
        """Return the table's version, and a word for each site that changes when the files with its rows do.

        No file is read. Where the table is not partitioned by site, a site's rows may be in any file; where a file's
        rows may be deleted without it, the word changes with each commit. A table that is not there has no version.
        """
        delta = self._open(table)
        if delta is None:
            return None, dict.fromkeys(sites, "")
        version = delta.version()
        if self._files.get(table, (None,))[0] != version:
            self._files[table] = (version, *_files(delta))
        _, every, by_site = self._files[table]
        return version, {site: every or by_site.get(site, "") for site in sites}

    def commits_of_others(self, table: str, since: int) -> list[Commit]:
        """Return the commits since a version that this library did not make, newest first, as far as the log goes."""
        delta = self._open(table)
        if delta is None:
            return []
        try:
            history = delta.history(max(delta.version() - since, 1))
        except _DELTA:
            return []
        return [
            Commit(operation=str(one.get("operation")), at_ms=int(one.get("timestamp", 0)), by=_program(one))
            for one in history
            if one["version"] > since and one.get(_WRITER) != _OURS
        ]

    def has(self, table: str) -> bool:
        """Whether the table exists."""
        return self._open(table) is not None

    def scan(self, table: str, sites: Sequence[str] | None = None, *, version: int | None = None) -> pl.LazyFrame:
        """Return the rows of some sites, or of all; raises TableMissing."""
        # Opened for this scan alone: one that is shared would move on to what others write before it is collected.
        delta = self._open(table, version) if version is not None else self._snapshot(table)
        if delta is None:
            raise self._missing(table)
        rows = pl.scan_delta(delta)
        return rows if sites is None else rows.filter(pl.col(SITE).is_in(list(sites)))

    def append(
        self,
        table: str,
        rows: pl.DataFrame,
        seen: Mapping[str, int],
        *,
        widen: bool = False,
        partitioned: bool = True,
    ) -> int:
        """Add rows in one commit and return the table's version.

        `seen` maps each written site to its `site_versions` before its rows were decided on. With `widen` a column that
        the table lacks is added to it, and is null in the rows that are there; LakeError is raised where a value would
        be kept otherwise than it is, for a column has another type. A table that has few rows a site is made without
        partitions: opening a thousand of them costs a quarter of a second.
        """
        delta = self._open(table) or self._created(table, rows, partitioned=partitioned)
        if widen:
            self._require_types(delta, table, rows)
        return self._write(delta, table, rows, seen, mode="append", schema_mode="merge" if widen else None)

    def replace(self, table: str, rows: pl.DataFrame, seen: Mapping[str, int], *, partitioned: bool = True) -> int:
        """Put rows in the place of all rows of the sites in `seen`, in one commit; return the table's version.

        A column that is new is added to the table, and is null in the rows of other sites; one that is gone is null in
        these rows. Raises LakeError where a value would be kept otherwise than it is, for a column has another type.
        """
        places = ", ".join(f"'{site}'" for site in seen)  # names were checked: no quote can be in them
        delta = self._open(table) or self._created(table, rows, partitioned=partitioned)
        self._require_types(delta, table, rows)
        return self._write(
            delta, table, rows, seen, mode="overwrite", predicate=f"{SITE} IN ({places})", schema_mode="merge"
        )

    def _require_types(self, delta: DeltaTable, table: str, rows: pl.DataFrame) -> None:
        """Raise LakeError where Delta, which casts to the type that a column has, would change a value."""
        kept = pl.scan_delta(delta).collect_schema()
        for name, written in rows.schema.items():
            if written == kept.get(name, written):
                continue
            back = rows[name].cast(kept[name], strict=False).cast(written, strict=False)
            if not back.equals(rows[name]):
                raise LakeError(
                    f"line {self.line}: column {name!r} of the lake's table {table!r} is {kept[name]} so far, and "
                    f"{written} now; nothing was written. Give the column another name, or move {self.uri(table)} away "
                    "and run the line for all its sites, which makes the table anew"
                )

    def tables(self) -> list[str]:
        """Return the names of all tables; raises LakeError for an object store, which is not looked through."""
        if "://" in self.root:
            raise LakeError(f"line {self.line}: the tables at {self.root} cannot be listed, for it is an object store")
        root = Path(self.root)
        return sorted(str(log.parent.relative_to(root)) for log in root.rglob("_delta_log"))

    def overwrite(self, table: str, rows: pl.DataFrame, sites: Iterable[str]) -> None:
        """Put rows in the place of all rows of a table, in one commit that names these sites; raises SiteBusy."""
        delta = self._open(table)
        if delta is None:
            raise self._missing(table)
        self._write(delta, table, rows, self.site_versions(table, sites), mode="overwrite")

    def purge(self, table: str) -> None:
        """Remove each file without a present row, and the log of all that was: no older version can be read again.

        What a log keeps of a row that is gone (predicates, least and greatest values) goes with it. A call that was
        killed is made again.
        """
        delta = self._open(table)
        if delta is None:
            return
        properties = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
        kept = delta.metadata().configuration
        with self.faults():
            delta.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)
            delta.update_incremental()
            for spans in (dict.fromkeys(properties, _AT_ONCE), _spans(kept, properties)):
                delta.alter.set_table_properties(spans, commit_properties=_commit())
                delta.update_incremental()
                if spans[properties[0]] == _AT_ONCE:
                    delta.create_checkpoint()
                    delta.cleanup_metadata()
        del self._opened[table]

    def compact(self, table: str) -> None:
        """Make one file of many small ones; a writer who comes in between goes first, and another time will do.

        Delta's own compaction tries again over what others committed meanwhile, and two at once leave rows there twice.
        An overwrite without retries compares and swaps.
        """
        delta = self._open(table)
        if delta is not None:
            with suppress(CommitFailedError):
                write_deltalake(
                    delta,
                    pl.scan_delta(delta).collect(),
                    mode="overwrite",
                    commit_properties=_commit(max_commit_retries=0),
                )

    def _open(self, table: str, version: int | None = None) -> DeltaTable | None:
        """Return a table as it is now, or as it was; the log of one that was opened before is read from there on."""
        if version is None and table in self._opened:
            try:
                self._opened[table].update_incremental()
                if self._is_in_its_log(self._opened[table]):
                    return self._opened[table]
            except _DELTA:
                pass
            del self._opened[table]  # another program made the table anew, or tidied its log up: read it from its start
        try:
            delta = _Snapshot(self.uri(table), version=version, storage_options=self.storage_options)
        except TableNotFoundError:
            self._opened.pop(table, None)
            return None
        except _DELTA as error:
            self._opened.pop(table, None)
            raise self._unreadable(table, error) from masked_cause(error)
        if version is None:
            self._opened[table] = delta
        return delta

    @staticmethod
    def _is_in_its_log(delta: DeltaTable) -> bool:
        """Whether a table's version is one that it has; an object store is believed."""
        if "://" in delta.table_uri and not delta.table_uri.startswith("file://"):
            return True
        log = Path(unquote(delta.table_uri.removeprefix("file://")), "_delta_log")
        return (log / f"{delta.version():020}.json").exists()

    def _snapshot(self, table: str) -> DeltaTable | None:
        """Return a table as it is now, which stays as it is."""
        delta = self._open(table)
        return None if delta is None else self._open(table, delta.version())

    def _write(self, delta: DeltaTable, table: str, rows: pl.DataFrame, seen: Mapping[str, int], **how: Any) -> int:
        commits = [Transaction(app_id=site, version=version + 1) for site, version in seen.items()]
        for _ in range(TRIES):  # another run wrote other sites, or put the files together: this write goes on that
            now = {site: delta.transaction_version(site) or 0 for site in seen}
            if now != dict(seen):
                raise self._busy(table, [site for site in seen if now[site] != seen[site]])
            try:
                write_deltalake(
                    delta,  # the very snapshot that was compared with `seen`: what came after it conflicts
                    rows,
                    commit_properties=_commit(app_transactions=commits),
                    **how,
                )
            except CommitFailedError:
                delta.update_incremental()
            except _DELTA as error:
                raise self._unwritten(table, error) from masked_cause(error)
            else:
                delta.update_incremental()
                return delta.version()
        raise self._busy(table, seen or rows[SITE].unique().to_list())

    def _created(self, table: str, rows: pl.DataFrame, *, partitioned: bool) -> DeltaTable:
        """Return the table, made empty: of two runs that bring its first rows at once, both then write to one snapshot.

        A table made together with its first rows would not notice the other run's.
        """
        try:
            write_deltalake(
                self.uri(table),
                rows.clear(),
                partition_by=[SITE] if partitioned else None,
                mode="ignore",
                storage_options=self.storage_options,
                commit_properties=_commit(),
            )
        except _DELTA as error:
            made = self._open(table)  # by the other run, meanwhile
            if made is None:
                raise self._unwritten(table, error) from masked_cause(error)
            return made
        return DeltaTable(self.uri(table), storage_options=self.storage_options)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Raise what disk, Delta and Polars say within the block as an error for a person; ours go through as they are.

        A scan is read long after it was given, and Polars names neither table nor file: the tables that were opened
        are then looked through for the file that cannot be read.
        """
        try:
            yield
        except Exception as error:
            explained = self.explained(error)
            if explained is error:
                raise
            raise explained from masked_cause(error)

    def explained(self, error: Exception) -> Exception:
        """Return an error of disk, Delta or Polars as one for a person, and any other as it is."""
        if isinstance(error, FactoryError):
            return error
        fault: FactoryError | None = storage_error(error, self.root)
        if fault is None and isinstance(error, (*_DELTA, pl.exceptions.PolarsError)):
            fault = self._damage() or self._gone_meanwhile(error)
        if fault is None and isinstance(error, pl.exceptions.PolarsError):
            fault = LineError(f"line {self.line}: {_first_words(error)}; mend the line's file or its Python")
        return fault or error

    def _damage(self) -> LakeError | None:
        """Return what is wrong with the first unreadable file of those that the opened tables have now."""
        for table in list(self._opened):
            delta = self._open(table)
            for file in delta.file_uris() if delta else ():
                try:
                    pl.scan_parquet(file, storage_options=self.storage_options).select(pl.all().hash().sum()).collect()
                except (OSError, pl.exceptions.PolarsError) as error:
                    wrong = (
                        "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({_first_words(error)})"
                    )
                    return LakeError(
                        f"line {self.line}: a file of the lake's table {table!r} {wrong}: {file}; bring it back from a "
                        f"backup, or move {self.uri(table)} away and run the line again: what its source, or the table "
                        "before it, still has is made anew"
                    )
        return None

    def _gone_meanwhile(self, error: Exception) -> LakeError | None:
        """Return that a file is missing which no table has any more; None where the error is about something else."""
        missing = isinstance(error, FileNotFoundError) or "not found" in str(error)
        table = next((name for name in self._opened if f"{self.line}/{name}/" in str(error)), None)
        if not missing or table is None:
            return None
        return LakeError(
            f"line {self.line}: another program wrote the lake's table {table!r} anew and deleted its earlier files "
            "while this run read them; nothing is lost: run again. A VACUUM that keeps files for longer than a run "
            "takes, as it does by default, never does that"
        )

    def _missing(self, table: str) -> TableMissing:
        return TableMissing(
            f"line {self.line}: the lake has no table {table!r} at {self.uri(table)}; run the stage that writes it"
        )

    def _unwritten(self, table: str, error: Exception) -> LakeError:
        why = why_unusable(error, self.root) or f"{_first_words(error)}: look at permissions, room and network"
        return LakeError(
            f"line {self.line}: the lake's table {table!r} at {self.uri(table)} cannot be written, and nothing of it "
            f"was; what is served goes on. The cause: {why}; then run again"
        )

    def _unreadable(self, table: str, error: Exception) -> LakeError:
        why = (
            why_unusable(error, self.root) or f"{_first_words(error)}: look at its folder, the network and the options"
        )
        return LakeError(
            f"line {self.line}: the lake's table {table!r} at {self.uri(table)} cannot be opened; {why}; where its log "
            "is damaged bring the folder back from a backup, or move it away and run the line again"
        )

    def _busy(self, table: str, sites: Iterable[str]) -> SiteBusy:
        return SiteBusy(
            f"line {self.line}: another run wrote {table} for {', '.join(sorted(sites))} meanwhile; "
            "this run wrote nothing there; run those sites again"
        )


def _spans(kept: Mapping[str, str], properties: Sequence[str]) -> dict[str, str]:
    """Return how long a table keeps its log and its deleted files: as it did, or as Delta does by itself."""
    return {
        name: kept[name] if kept.get(name, _AT_ONCE) != _AT_ONCE else span
        for name, span in zip(properties, _BY_ITSELF, strict=True)
    }


def _commit(**how: Any) -> CommitProperties:
    return CommitProperties(custom_metadata={_WRITER: _OURS}, **how)


def _files(delta: DeltaTable) -> tuple[str, dict[str, str]]:
    """Return a word for the files that any site's rows may be in, "" where each site has its own, and one for those."""
    if "deletionVectors" in (delta.protocol().reader_features or ()):
        return f"version {delta.version()}", {}
    files = pl.DataFrame(delta.get_add_actions(flatten=True))
    place = f"partition.{SITE}"
    if place not in files.columns:
        return _digest(files["path"]), {}
    return "", {site: _digest(some["path"]) for (site,), some in files.select(place, "path").group_by(place)}


def _digest(paths: pl.Series) -> str:
    return hashlib.sha256("\n".join(paths.sort()).encode()).hexdigest()[:16]


def _program(commit: Mapping[str, Any]) -> str:
    return str(commit.get("engineInfo") or commit.get("clientVersion") or "a program that does not say its name")


def _first_words(error: Exception) -> str:
    """Return what an error says, without the stack and the plan that follow it, in one line."""
    text = re.split(r"\n\s+\d+: |\n\nResolved plan|\n\nThis error|\s*\(set POLARS_VERBOSE", str(error))[0]
    return " ".join(re.sub(r"\x1b\[\d+m|↳", "", text).split())[:400] or type(error).__name__
