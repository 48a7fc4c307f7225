"""Business rows in; contract, repair and features by the line's own code; what the network eats out.

Each request is built by itself: what other clients request at the same time does not change it. Rows of one request
see each other, as rows of one timetable do. Safe in several threads.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.data.contract.compiler import compile_contract
from factory.data.contract.contract import RULE, Contract
from factory.errors import LineError, RecordRefused, SnapshotRefused
from factory.features.online.business_rows import Field, typed
from factory.features.online.code import code_of
from factory.features.online.manifest import OnlineSnapshot, RowPath
from factory.features.samples import in_order, network_input
from factory.features.windows import ASKED
from factory.line.split import DECIDED_AT, PLACE
from factory.storage.columns import ROW, SITE

_AT = pl.col(DECIDED_AT)
_ON_CALENDAR = _AT.cast(pl.Datetime("us")).is_between(datetime.min, datetime.max).fill_null(_AT.is_null())
"""Whether a moment is in the range of Python's datetime, or unknown; Polars has a wider range."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """The result for the rows of one request."""

    features: NDArray[np.float32]
    """`[rows that were built, *input_shape]`, NaN where unknown."""
    places: Sequence[int]
    """The number of each of them in the request."""
    subjects: Sequence[str]
    """What each of them is about: its key and moment of decision, a JSON object."""
    refused: Mapping[int, str]
    """Why the others were not built, by their number in the request."""


class Builder:
    """One line's way from a business row to features, on one snapshot."""

    def __init__(self, snapshot: OnlineSnapshot, tables: Mapping[str, pl.DataFrame]) -> None:
        """Raises SnapshotRefused unless this process has the code that made it, and can judge its contract."""
        self.snapshot, self._path = snapshot, snapshot.row_path
        self._repair, self._build = _line_code(snapshot.line, self._path)
        self._tables = {name: rows for name, rows in tables.items() if name != self._path.table}
        self._decisions = tables[self._path.table]
        self._contract = _compiled(snapshot)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that are built, in order."""
        return self._path.features

    @property
    def known_until(self) -> str | None:
        """The moment of the newest row it looks back on, ISO in UTC."""
        return self.snapshot.known_until

    def build(self, site: str, records: Sequence[Mapping[str, Field]]) -> Built:
        """Return the records' features; raises RecordRefused where a row does not belong to this table and site."""
        if site not in self.snapshot.sites:
            raise RecordRefused(
                f"line {self.snapshot.line}, site {site}: its features, built here, were not seen to be those of "
                "training; ask with features, or run the line's operations"
            )
        raw = self.typed(site, records)
        broken = self._broken(raw)
        good = raw.filter(~pl.col(ROW).is_in(list(broken)))
        self._require_each_once(good)
        if good.is_empty():
            return Built(
                features=np.empty((0, len(self.feature_names)), np.float32), places=[], subjects=[], refused=broken
            )
        try:
            rows, history = self.features(site, good.drop(ROW))
            return self._built(good, rows, history, broken)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise RecordRefused(
                "no features can be built of these rows together, though each keeps the contract: a value is beyond "
                f"what their arithmetic takes ({str(error).splitlines()[0]:.120})"
            ) from error

    def typed(self, site: str, records: Sequence[Mapping[str, Field]]) -> pl.DataFrame:
        """Return the records as raw rows of the site, numbered."""
        column = self._path.site_column
        for number, record in enumerate(records):
            if record.get(column, site) != site:
                raise RecordRefused(f"row {number}: {column} is {record[column]!r:.80}; this door is of site {site}")
        return typed([{**record, column: site} for record in records], self._path.columns).with_columns(
            pl.lit(site).alias(SITE), pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW)
        )

    def _broken(self, rows: pl.DataFrame) -> dict[int, str]:
        """Return which rules each row breaks; rules about whole tables are not judged on a few rows."""
        marked = self._contract.mark(rows.lazy()).filter(self._contract.broken).collect()
        if marked.is_empty():
            return {}
        columns = {rule.name: rule.columns for rule in self._contract.row_rules}
        named = self._contract.name_rules(marked).iter_rows(named=True)
        return {row[ROW]: f"breaks the contract: {_blame(row, columns)}" for row in named}

    def _require_each_once(self, rows: pl.DataFrame) -> None:
        key = list(self._path.key)
        repeated = rows.filter(pl.struct(key).is_duplicated())
        if len(repeated):
            first, second = repeated[ROW][:2]
            raise RecordRefused(f"rows {first} and {second} have one key ({', '.join(key)}); ask each once")

    def features(self, site: str, raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the feature rows of these raw rows, and all feature rows of the site that were built, in order."""
        repaired = self._repair(raw.lazy()).collect()
        before = self._decisions.join(repaired, on=[SITE, *self._path.key], how="anti", nulls_equal=True)
        decisions = [before.lazy(), repaired.select(before.columns).lazy()]
        if self._path.steps is None:  # a sequence needs the features of the rows before, too
            decisions = [rows.with_columns(pl.lit(place == 1).alias(ASKED)) for place, rows in enumerate(decisions)]
        tables = {name: rows.lazy() for name, rows in self._tables.items()}
        built = self._build({**tables, self._path.table: pl.concat(decisions)}).filter(pl.col(SITE) == site)
        history = in_order(built, self._path.features_key).collect().with_row_index(PLACE)
        requested = raw.select(SITE, *self._path.features_key)
        return history.join(requested, on=requested.columns, how="semi", nulls_equal=True), history

    def _built(
        self, good: pl.DataFrame, features: pl.DataFrame, history: pl.DataFrame, broken: dict[int, str]
    ) -> Built:
        key = list(self._path.features_key)
        placed = features.join(good.select(*key, ROW), on=key, how="left", nulls_equal=True).sort(ROW)
        lost = dict.fromkeys(set(good[ROW]) - set(placed[ROW]), "the line's repair or build left it out")
        untimely = self._untimely(placed)
        rows = placed.filter(~pl.col(ROW).is_in(list(untimely)))
        return Built(
            features=self.input(rows, history),
            places=rows[ROW].to_list(),
            subjects=[_subject(row) for row in rows.select(*key, DECIDED_AT).iter_rows(named=True)],
            refused={**broken, **lost, **untimely},
        )

    def input(self, rows: pl.DataFrame, history: pl.DataFrame) -> NDArray[np.float32]:
        """Return the network's input for some of a history's rows."""
        path = self._path
        return network_input(rows, history, columns=path.features, entity=path.entity, steps=path.steps)

    def _untimely(self, rows: pl.DataFrame) -> dict[int, str]:
        """Return why some rows' moments of decision have no features here, by the row's number."""
        unknown = dict.fromkeys(rows.filter(_AT.is_null() & self._bounded)[ROW], "has no moment of decision")
        if not isinstance(rows.schema[DECIDED_AT], pl.Datetime):
            return unknown
        strange = dict.fromkeys(rows.filter(~_ON_CALENDAR)[ROW], "is decided in a year that no calendar has")
        moments = rows.filter(_ON_CALENDAR).select(ROW, DECIDED_AT).drop_nulls().iter_rows()
        return unknown | strange | {row: why for row, at in moments if (why := self._too_far(at))}

    @property
    def _bounded(self) -> bool:
        """Whether there are decisions that the snapshot does not answer."""
        return bool(self.snapshot.answers_from or self.snapshot.answers_until)

    def _too_far(self, decided_at: datetime) -> str | None:
        """Return why features cannot be built for a decision at that moment; None if they can."""
        snapshot, moment = self.snapshot, decided_at.isoformat()
        if snapshot.answers_from and decided_at < _like(snapshot.answers_from, decided_at):
            return f"is decided at {moment}; features are built here for decisions from {snapshot.answers_from} on"
        if snapshot.answers_until and decided_at >= _like(snapshot.answers_until, decided_at):
            return f"is decided at {moment}, too long after the newest row known here, {snapshot.known_until}"
        return None


def _blame(row: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> str:
    """Return each broken rule of a row with the values that break it."""
    rules = row[RULE].split("; ")
    values = [", ".join(f"{name} is {row[name]!r:.80}" for name in columns.get(rule, ())) for rule in rules]
    return "; ".join(f"{rule} ({value})" for rule, value in zip(rules, values, strict=True))


def _like(moment: str, other: datetime) -> datetime:
    """Return a UTC moment as one that can be compared with the other."""
    parsed = datetime.fromisoformat(moment)
    return parsed if other.tzinfo else parsed.replace(tzinfo=None)


def _subject(row: Mapping[str, Any]) -> str:
    return json.dumps(
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
    )


def _line_code(line: str, path: RowPath) -> list[Callable[..., Any]]:
    """Return repair and build as this process has them; raises SnapshotRefused unless they made the features."""
    names = [path.repair, path.build]
    try:
        code = code_of(*names)
        functions = [_imported(name) for name in names]
    except Exception as error:  # a module may raise whatever it likes while it is imported
        raise SnapshotRefused(
            f"line {line}: {' and '.join(names)} cannot be loaded here ({type(error).__name__}: {error}); start the "
            "gateway where the line's code is"
        ) from error
    if code != path.code:
        raise SnapshotRefused(
            f"line {line}: the code here ({code[:12]}) is not what made the features ({path.code[:12]}); install here "
            "what the line runs with, and restart the gateway if its code was changed under it, or run the line's "
            "operations again"
        )
    return functions


def _imported(dotted: str) -> Callable[..., Any]:
    module, _, name = dotted.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _compiled(snapshot: OnlineSnapshot) -> Contract:
    """Return the decision table's contract; raises SnapshotRefused where this factory cannot judge it."""
    path = snapshot.row_path
    try:
        return compile_contract(path.contract, columns=path.columns, place=snapshot.named)
    except LineError as error:
        raise SnapshotRefused(f"{error}; install here what the line runs with, or run its operations again") from error
