"""How the columns of a load differ from those that a line declares: batches in, the same batches as raw rows out.

The line's policy is applied here, for every source (factory/line/schema_changes.py). A batch has the columns that its
file or table has; where a folder's files differ, each is judged by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

import polars as pl

from factory.errors import SchemaMismatch
from factory.line.line import Table
from factory.names import LINE_SITE, few
from factory.storage.columns import BOOKKEEPING, FILE, LINE, SCHEMA, SITE, UNPARSED, type_name
from factory.storage.raw_values import TEXT, as_raw

Kind = Literal["new", "lost", "retyped"]
Policy = Literal["ignore", "add", "quarantine", "stop"]
_MOST_FILES = 3


@dataclass(frozen=True, kw_only=True)
class SchemaChange:
    """One column that comes otherwise than declared, or than before; `was` and `now` are types, empty for none."""

    kind: Kind
    column: str
    was: str
    now: str
    policy: Policy
    """What is done about it: the line's policy, but for what no policy can mend."""
    files: tuple[str, ...] = ()
    """The files that have it so, where they are known."""
    hint: str = ""

    @property
    def what(self) -> str:
        """Column and types in words."""
        if self.kind == "new":
            return f"column {self.column!r} ({self.now}) is new"
        if self.kind == "lost":
            return f"column {self.column!r} ({self.was}) is lost{self.hint}"
        return f"column {self.column!r} is {self.now} and was {self.was}"

    def sentence(self, table: str) -> str:
        """Return what changed, where, what was done, and what to do in the line's file."""
        files = f", {few(self.files, _MOST_FILES)}" if self.files else ""
        return f"table {table}{files}: {self.what}: {_DONE[self.kind, self.policy].format(table=table)}{self._remedy}"

    @property
    def _remedy(self) -> str:
        if self.kind == "new":
            return self.hint or _REMEDIES["new"]
        return _REMEDIES[self.kind]


_QUARANTINED = "rows that came so wait in quarantine, and come in with `--from raw` once the line's file allows it"
_STOPPED = "nothing was loaded of this table for the sites concerned"
_DONE: Mapping[tuple[Kind, Policy], str] = {
    ("new", "add"): "it is kept in the raw table, and nothing uses it",
    ("new", "ignore"): "it is not kept",
    ("lost", "ignore"): "it is missing in the rows that came so",
    ("retyped", "ignore"): "each value is read as declared, and what does not fit waits in quarantine",
    **{(kind, "quarantine"): _QUARANTINED for kind in ("new", "lost", "retyped")},
    **{(kind, "stop"): _STOPPED for kind in ("new", "lost", "retyped")},
}
_REMEDIES: Mapping[Kind, str] = {
    "new": "; declare it under the table's `columns` to use it, name it in the source's `leave_out` to have it never "
    "read, or say what is to be done with `schema_changes: {new: …}`",
    "lost": "; bring it back, say its new name in the source's `names`, take it out of the table's `columns`, or say "
    "`schema_changes: {lost: ignore}`, which takes it for missing",
    "retyped": "; where the new type is right, declare it under the table's `columns`, or say what is to be done with "
    "`schema_changes: {retyped: …}`",
}


class SchemaWatch:
    """Takes the batches of one load of a table; knows afterwards what came otherwise, by site."""

    def __init__(self, table: Table, kept: Mapping[str, pl.DataType]) -> None:
        self.table = table
        self._types = {name: kind for name, kind in kept.items() if name not in BOOKKEEPING or name in table.columns}
        """The raw type of each column: the lake's, or else that of the load's first batch with a value."""
        self._changes: dict[str, dict[tuple[Kind, str, str], SchemaChange]] = {}
        self._essential = {*table.key, table.cursor, table.site_column}

    def take(self, batch: pl.DataFrame, site: str) -> pl.DataFrame:
        """Return a batch as the lake keeps it, and SCHEMA where its rows are to wait in quarantine.

        A batch without rows changes nothing.
        """
        columns = self.table.columns
        raw = {name: as_raw(batch[name]) for name in batch.columns}
        bookkeeping = [name for name in (FILE, LINE, UNPARSED) if name in raw and name not in columns]
        new = [name for name in raw if name not in columns and (name not in BOOKKEEPING or name == SITE)]
        lost = [name for name in columns if name not in raw]
        changes: list[SchemaChange] = (
            []
            if batch.is_empty()
            else [
                *(self._new(name, raw[name].dtype) for name in new),
                *(self._lost(name, {other: raw[other].dtype for other in new}) for name in lost),
                *self._retyped([raw[name] for name in raw if name in columns]),
            ]
        )
        kept = [change.column for change in changes if change.kind == "new" and change.policy == "add"]
        taken = pl.DataFrame([raw[name] for name in (*columns, *kept, *bookkeeping) if name in raw], height=len(batch))
        self._note(changes, site, batch[FILE].unique(maintain_order=True).to_list() if FILE in raw else [])
        waiting = [change.what for change in changes if change.policy == "quarantine"]
        return taken.with_columns(pl.lit("; ".join(waiting)).alias(SCHEMA)) if waiting else taken

    def changes(self, site: str) -> tuple[SchemaChange, ...]:
        """Return what of a site's batches came otherwise."""
        return tuple(self._changes.get(site, {}).values())

    def _note(self, changes: Iterable[SchemaChange], site: str, files: Sequence[str]) -> None:
        noted = self._changes.setdefault(site, {})
        for change in changes:
            same = (change.kind, change.column, change.now)
            before = noted[same].files if same in noted else ()
            noted[same] = replace(change, files=tuple(dict.fromkeys([*before, *(name for name in files if name)])))

    def _new(self, name: str, dtype: pl.DataType) -> SchemaChange:
        policy: Policy = self.table.schema_changes.new
        taken = {known.lower() for known in (*self.table.columns, *BOOKKEEPING)} | {
            known.lower() for known in self._types if known != name
        }
        if policy == "add" and self.table.personal:
            hint = (
                "; the table has personal columns, and this may be one under another name: declare it under `columns`, "
                "and mark it under `personal` if it is one"
            )
            return SchemaChange(kind="new", column=name, was="", now=type_name(dtype), policy="ignore", hint=hint)
        if policy == "add" and (name.lower() in taken or name.endswith(TEXT)):
            hint = (
                "; the raw table cannot have a column of that name: give it another in `columns` and the source's "
                "`names`, or name it in `leave_out`"
            )
            return SchemaChange(kind="new", column=name, was="", now=type_name(dtype), policy="ignore", hint=hint)
        return SchemaChange(kind="new", column=name, was="", now=type_name(dtype), policy=policy)

    def _lost(self, name: str, new: Mapping[str, pl.DataType]) -> SchemaChange:
        policy: Policy = "stop" if name in self._essential else self.table.schema_changes.lost
        was = self._types.get(name)
        near = get_close_matches(name, new, n=1) or [other for other, dtype in new.items() if dtype == was]
        hint = f" (is it {near[0]!r} now?)" if len(near) == 1 else ""
        kind = type_name(was) if was is not None else self.table.columns[name]
        return SchemaChange(kind="lost", column=name, was=kind, now="", policy=policy, hint=hint)

    def _retyped(self, columns: Iterable[pl.Series]) -> Iterable[SchemaChange]:
        for values in columns:
            if values.null_count() == len(values):
                continue
            was = self._types.setdefault(values.name, values.dtype)
            if values.dtype != was:
                yield SchemaChange(
                    kind="retyped",
                    column=values.name,
                    was=type_name(was),
                    now=type_name(values.dtype),
                    policy=self.table.schema_changes.retyped,
                )


def require_schema(changes: Sequence[SchemaChange], table: Table, site: str) -> None:
    """Raise SchemaMismatch where a change stops a site's load."""
    stopping = [change for change in changes if change.policy == "stop"]
    if stopping:
        sentences = ". ".join(change.sentence(table.name) for change in stopping)
        raise SchemaMismatch(sentences if site == LINE_SITE else f"site {site}, {sentences}", stopping)
