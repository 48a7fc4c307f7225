"""The windows and the event of a line's file in, what builds them out; what does not fit the tables is a LineError."""

from collections.abc import Mapping, Sequence

import polars as pl

from factory.errors import LineError
from factory.features.declared import Declared, DeclaredFeatures, Look, Rows
from factory.line.label import Label
from factory.line.line import BuildFeatures, FeatureKeys, Table, unchanged
from factory.line.windows import Where, Window
from factory.storage.columns import SITE, type_named


def declared_features(
    tables: Mapping[str, Table],
    decision_table: str,
    said: FeatureKeys,
    features: Sequence[str],
    label: Label,
    own: BuildFeatures | None,
) -> DeclaredFeatures:
    """Return what builds the features of a line that declares windows or an event.

    `features` are the names of all of them, in order. Raises LineError where a window names what is not there.
    """
    decisions = tables[decision_table]
    moment = said.decided_at or decisions.cursor
    if not moment or (moment in decisions.columns and not decisions.columns[moment].startswith("Date")):
        raise LineError(
            f"windows look back from the moment of a decision: name a day or moment of {decision_table} as its cursor, "
            "or as `decided_at`",
            at=("features", "decided_at"),
        )
    about = said.entity or tuple(name for name in said.key if name != moment)
    of = _Tables(tables, decisions, about)
    looks = {name: of.look(name, window) for name, window in said.windows.items()}
    if own is None and (missing := [name for name in features if name not in looks]):
        raise LineError(
            f"features: nothing builds {missing[0]!r}: it is no window, and there is no `build`", at=("features",)
        )
    event = of.rows(label.event, label, ("label", "event"), is_label=True) if label.event else None
    return DeclaredFeatures(
        declared=Declared(
            decision_table=decision_table,
            moment=moment,
            key=said.key,
            features=tuple(features),
            looks=looks,
            event=event,
            horizon_s=label.after.total_seconds(),
        ),
        own=own,
    )


class _Tables:
    """The tables of a line, as windows of its decisions see them."""

    def __init__(self, tables: Mapping[str, Table], decisions: Table, about: Sequence[str]) -> None:
        self._tables, self._decisions, self._about = tables, decisions, about

    def look(self, name: str, window: Window) -> Look:
        """Return a window with all that its plan needs; raises LineError."""
        at = ("features", "windows", name)
        dated = window.kind != "attribute" and not (window.column and window.kind.endswith("_since"))
        rows = self.rows(window.table, window, (*at, window.kind), column=window.column, dated=dated)
        table = self._tables[window.table]
        self._require_kind(window, table, (*at, window.kind))
        return Look(
            rows=rows,
            kind=window.kind,
            column=window.column,
            seconds=None if window.length is None else window.length.total_seconds(),
            equals=window.equals,
        )

    def rows(
        self,
        name: str,
        which: Where,
        at: tuple[str, ...],
        *,
        column: str = "",
        dated: bool = True,
        is_label: bool = False,
    ) -> Rows:
        """Return which rows of a table a decision is about; raises LineError.

        A label is of rows as they happened, whenever they became known.
        """
        if name not in self._tables:
            raise LineError(f"there is no table {name!r}; the tables are {', '.join(self._tables)}", at=at)
        table = self._tables[name]
        if table is self._decisions and not dated:
            by = {key: key for key in (SITE, *self._decisions.key)}  # a column of the decision's own row
        else:
            by = self._by(table, which, at)
        self._require_columns(table, [*which.where, *filter(None, [column])], at)
        if not dated:
            if table.cursor and table is not self._decisions:
                raise LineError(
                    f"{name} has a cursor, so its rows come one after the other: say `last: {name}.COLUMN`, the newest "
                    "before the decision",
                    at=at,
                )
            return Rows(table=name, by=by)
        if not table.columns.get(table.cursor, "").startswith("Date"):
            raise LineError(
                f"{name} has no cursor that is a day or a moment, and so nobody knows which of its rows came before a "
                "decision",
                at=at,
            )
        needed = {column, *which.where, *by.values()}
        later = [moment for moment, columns in table.known_at.items() if needed & set(columns) and not is_label]
        where = {name: which.values(name) for name in which.where}
        return Rows(table=name, by=by, where=where, moments=(table.cursor, *later))

    def _by(self, table: Table, which: Where, at: tuple[str, ...]) -> dict[str, str]:
        """Return the columns of the decision, each with that of the table by which its rows are found."""
        both = {name: name for name in self._about if name in table.columns}
        by = dict(which.by) or both
        if not by:
            raise LineError(
                f"{table.name} has none of {', '.join(self._about)}, by which its rows would be found; say "
                f"`by: {{{self._about[0] if self._about else 'COLUMN'}: COLUMN}}`",
                at=at,
            )
        self._require_columns(self._decisions, list(by), at)
        self._require_columns(table, list(by.values()), at)
        for decision, other in by.items():
            kinds = self._decisions.columns.get(decision), table.columns.get(other)
            if None not in kinds and kinds[0] != kinds[1]:
                raise LineError(
                    f"{decision} of {self._decisions.name} is {kinds[0]}, and {other} of {table.name} is {kinds[1]}; "
                    "declare them as one type",
                    at=at,
                )
        return {SITE: SITE, **by} if table.site_column else by

    @staticmethod
    def _require_columns(table: Table, columns: Sequence[str], at: tuple[str, ...]) -> None:
        """Raise LineError on a column that a table does not have; what a repair adds is known once it has run."""
        missing = [name for name in columns if name not in table.columns]
        if missing and table.repair is unchanged:
            raise LineError(
                f"{missing[0]!r} is not among the columns of {table.name} ({', '.join(table.columns)})", at=at
            )

    @staticmethod
    def _require_kind(window: Window, table: Table, at: tuple[str, ...]) -> None:
        """Raise LineError where a column's values are none that the window can take."""
        if window.column not in table.columns:
            return
        kind = type_named(table.columns[window.column])
        if window.kind.endswith("_since"):
            if not kind.is_temporal():
                raise LineError(f"{window.named} is {kind}, neither a day nor a moment", at=at)
        elif window.equals is None and not (kind.is_numeric() or kind == pl.Boolean):
            raise LineError(f"{window.named} is {kind}, no number; say `equals`, the value that counts as 1", at=at)
