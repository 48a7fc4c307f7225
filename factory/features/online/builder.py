"""Business rows in; contract, repair and features by the line's own code; what the network eats out.

Each request is built by itself: what other clients request at the same time does not change it. Rows of one request
see each other, as rows of one timetable do. Safe in several threads.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.data.contract.compiler import compile_contract
from factory.data.contract.contract import RULE, Contract
from factory.errors import EnvironmentRefused, LineError, RecordRefused, SnapshotRefused
from factory.features.announced import told_apart
from factory.features.declared import DeclaredFeatures
from factory.features.online.business_rows import Field, typed
from factory.features.online.code import code_of
from factory.features.online.manifest import OnlineSnapshot, RowPath, announced_name
from factory.features.samples import in_order, network_input
from factory.features.windows import ASKED, PENDING
from factory.line.announced import in_utc
from factory.line.personal import Marking, Pseudonyms
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
    known_until: str | None
    """Until when what happened at their site before them is known, ISO in UTC; None: nothing is known of it."""


class Builder:
    """One line's way from a business row to features, on one snapshot."""

    def __init__(self, snapshot: OnlineSnapshot, tables: Mapping[str, pl.DataFrame]) -> None:
        """Raises SnapshotRefused unless this process has the code that made it, and can judge its contract."""
        self.snapshot, self._path = snapshot, snapshot.row_path
        self._repair, self._build = _line_code(snapshot.line, self._path)
        joined = _joined(tables)
        self._decisions = joined.pop(self._path.table)
        self._tables = {name: rows.lazy() for name, rows in joined.items()}
        self._contract = _compiled(snapshot)
        self._marking = _marking(snapshot)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that are built, in order."""
        return self._path.features

    @property
    def known_until(self) -> str | None:
        """The moment of the newest row it looks back on, ISO in UTC."""
        return self.snapshot.known_until

    @property
    def shut(self) -> Mapping[str, str]:
        """The sites whose rows are not built here, and why."""
        return self.snapshot.shut

    def build(
        self,
        site: str,
        records: Sequence[Mapping[str, Field]],
        context: Sequence[Mapping[str, Field]] = (),
        known_until: str | None = None,
    ) -> Built:
        """Return the records' features; raises RecordRefused where a row does not belong to this table and site.

        `context` are rows of any site that are looked at and not decided: announced ones, or ones that happened since
        the snapshot was made. One that breaks the contract refuses the request, for nothing would be right without it.
        `known_until` is the moment until which they say all that happened, where that is later than the snapshot's.
        """
        if site not in self.snapshot.sites:
            raise RecordRefused(
                f"line {self.snapshot.line}, site {site}: its features, built here, were not seen to be those of "
                "training; ask with features, or run the line's operations"
            )
        until = self._known_until(self.known_until, known_until)
        of_site = self._known_until(self.snapshot.newest.get(site), known_until)
        raw, beside = self.typed(site, records), self.typed_context(site, context)
        broken = self._broken(raw)
        good = raw.filter(~pl.col(ROW).is_in(list(broken)))
        self._require_each_once(good, beside)
        if good.is_empty():
            nothing = np.empty((0, len(self.feature_names)), np.float32)
            return Built(features=nothing, places=[], subjects=[], refused=broken, known_until=of_site)
        try:
            rows, history = self.features(site, good.drop(ROW), beside.drop(ROW), until)
            return self._built(good, rows, history, broken, of_site)
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
                raise RecordRefused(
                    f"row {number}: {column} is {record[column]!r:.80}; this door is of site {site}. Rows of other "
                    "sites, to be looked at and not decided, go into `context`"
                )
        return self._numbered([{**record, column: site} for record in records])

    def typed_context(self, site: str, context: Sequence[Mapping[str, Field]]) -> pl.DataFrame:
        """Return rows of any site as raw rows, numbered; raises RecordRefused where one breaks the contract."""
        column = self._path.site_column
        try:
            rows = self._numbered([{column: site, **record} for record in context])
        except RecordRefused as error:
            raise RecordRefused(f"context: {error}") from error
        if nameless := rows.filter(pl.col(SITE).is_null())[ROW].to_list():
            raise RecordRefused(f"context: row {nameless[0]} has no {column}")
        if broken := self._broken(rows):
            row, why = min(broken.items())
            raise RecordRefused(f"context: row {row} {why}; without it the asked rows would come out otherwise")
        return rows

    def _numbered(self, records: Sequence[Mapping[str, Field]]) -> pl.DataFrame:
        if self._marking:  # before anything else sees a value: no message, log or record has a person's
            records = [self._marking.record(record) for record in records]
        site = pl.col(self._path.site_column).cast(pl.String).alias(SITE)
        return typed(records, self._path.columns).with_columns(site, pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW))

    def _broken(self, rows: pl.DataFrame) -> dict[int, str]:
        """Return which rules each row breaks; rules about whole tables are not judged on a few rows.

        Of a row that has announced columns alone, rules about others are not judged.
        """
        if (announced := self._path.announced) is None:
            return _broken(self._contract, rows)
        later = [name for name in self._path.columns if name not in announced.columns]
        only_announced = pl.all_horizontal(pl.lit(True), *(pl.col(name).is_null() for name in later))
        known_before = self._contract.on(announced.columns)
        return {
            **_broken(known_before, rows.filter(only_announced)),
            **_broken(self._contract, rows.filter(~only_announced)),
        }

    def _require_each_once(self, rows: pl.DataFrame, context: pl.DataFrame) -> None:
        key = list(self._path.key)
        for what, some in (("", rows), ("context: ", context)):
            repeated = some.filter(pl.struct(SITE, *key).is_duplicated())
            if len(repeated):
                first, second = repeated[ROW][:2]
                raise RecordRefused(f"{what}rows {first} and {second} have one key ({', '.join(key)}); ask each once")
        both = context.join(rows.select(SITE, *key, asked=ROW), on=[SITE, *key], nulls_equal=True)
        if len(both):
            raise RecordRefused(
                f"row {both['asked'][0]} and row {both[ROW][0]} of context have one key ({', '.join(key)}): a row is "
                "either asked or looked at"
            )

    @staticmethod
    def _known_until(here: str | None, given: str | None) -> str | None:
        """Return the later of a moment known here and a request's; raises RecordRefused where that is none."""
        if given is None:
            return here
        try:
            moment = datetime.fromisoformat(given)
            if moment.tzinfo is None:
                raise ValueError("offset")
            return max(moment.astimezone(UTC).isoformat(), here or "")
        except (ValueError, OverflowError) as error:
            message = f"known_until is {given!r:.80}; it must be a moment as ISO text with an offset"
            raise RecordRefused(message) from error

    def features(
        self, site: str, raw: pl.DataFrame, context: pl.DataFrame | None = None, known_until: str | None = None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the feature rows of these raw rows, and all feature rows of the site that were built, in order.

        They are built of the snapshot, in which rows of the request take the places of those with their key.
        """
        until, key = known_until or self.known_until, [SITE, *self._path.key]
        asked = self.repaired(raw, until)
        looked_at = self._decisions.join(asked, on=key, how="anti", nulls_equal=True)
        if self._path.announced and until and until != self.known_until:
            to_come = in_utc(pl.col(self._path.cursor)) > pl.lit(datetime.fromisoformat(until))
            looked_at = looked_at.with_columns(pl.col(PENDING) & to_come)
        if context is not None and len(context):
            beside = self.repaired(context, until)
            others = looked_at.join(beside, on=key, how="anti", nulls_equal=True)
            looked_at = pl.concat([others, beside.select(others.columns)])
        history = self.built(asked, looked_at, self._tables).filter(pl.col(SITE) == site).with_row_index(PLACE)
        requested = raw.select(SITE, *self._path.features_key)
        return history.join(requested, on=requested.columns, how="semi", nulls_equal=True), history

    def repaired(self, raw: pl.DataFrame, known_until: str | None) -> pl.DataFrame:
        """Return raw rows as the snapshot has clean ones; where rows are announced, with what tells them apart."""
        moment = datetime.fromisoformat(known_until) if known_until else None
        return told_apart(self._path, self._repair(raw.lazy()), raw, moment).collect()

    def built(self, asked: pl.DataFrame, looked_at: pl.DataFrame, tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
        """Return the features, in order, of clean decision rows that are asked beside others, on the other tables.

        Of a sequence it returns those of all rows that happened, which a sequence needs too.
        """
        frames = [looked_at.lazy(), asked.select(looked_at.columns).lazy()]
        if self._path.steps is None:
            frames = [rows.with_columns(pl.lit(place == 1).alias(ASKED)) for place, rows in enumerate(frames)]
        elif self._path.announced:
            frames[0] = frames[0].with_columns((~pl.col(PENDING)).alias(ASKED))
            frames[1] = frames[1].with_columns(pl.lit(True).alias(ASKED))
        features = self._build({**tables, self._path.table: pl.concat(frames)})
        return in_order(features, self._path.features_key).collect()

    def _built(
        self,
        good: pl.DataFrame,
        features: pl.DataFrame,
        history: pl.DataFrame,
        broken: dict[int, str],
        known_until: str | None,
    ) -> Built:
        key = list(self._path.features_key)
        placed = features.join(good.select(*key, ROW), on=key, how="left", nulls_equal=True).sort(ROW)
        lost = dict.fromkeys(set(good[ROW]) - set(placed[ROW]), "the line's repair or build left it out")
        untimely = self._untimely(placed, known_until)
        rows = placed.filter(~pl.col(ROW).is_in(list(untimely)))
        return Built(
            features=self.input(rows, history),
            places=rows[ROW].to_list(),
            subjects=[_subject(row) for row in rows.select(*key, DECIDED_AT).iter_rows(named=True)],
            refused={**broken, **lost, **untimely},
            known_until=known_until,
        )

    def input(self, rows: pl.DataFrame, history: pl.DataFrame) -> NDArray[np.float32]:
        """Return the network's input for some of a history's rows."""
        path = self._path
        return network_input(rows, history, columns=path.features, entity=path.entity, steps=path.steps)

    def _untimely(self, rows: pl.DataFrame, known_until: str | None) -> dict[int, str]:
        """Return why some rows' moments of decision have no features here, by the row's number."""
        unknown = dict.fromkeys(rows.filter(_AT.is_null() & self._bounded)[ROW], "has no moment of decision")
        if not isinstance(rows.schema[DECIDED_AT], pl.Datetime):
            return unknown
        strange = dict.fromkeys(rows.filter(~_ON_CALENDAR)[ROW], "is decided in a year that no calendar has")
        moments = rows.filter(_ON_CALENDAR).select(ROW, DECIDED_AT).drop_nulls().iter_rows()
        return unknown | strange | {row: why for row, at in moments if (why := self._too_far(at, known_until))}

    @property
    def _bounded(self) -> bool:
        """Whether there are decisions that the snapshot does not answer."""
        return bool(self.snapshot.answers_from or self.snapshot.stale_after_hours)

    def _too_far(self, decided_at: datetime, known_until: str | None) -> str | None:
        """Return why features cannot be built for a decision of a site known until then; None if they can."""
        snapshot, moment = self.snapshot, decided_at.isoformat()
        if snapshot.answers_from and decided_at < _like(snapshot.answers_from, decided_at):
            return f"is decided at {moment}; features are built here for decisions from {snapshot.answers_from} on"
        hours = snapshot.stale_after_hours
        if hours is None:
            return None
        if known_until is None:
            return f"is decided at {moment}, and no earlier row of its site is known here"
        if decided_at >= _like(known_until, decided_at) + timedelta(hours=hours):
            return f"is decided at {moment}, {hours:g} hours or more after its site's newest row here, {known_until}"
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


def _broken(contract: Contract, rows: pl.DataFrame) -> dict[int, str]:
    marked = contract.mark(rows.lazy()).filter(contract.broken).collect()
    if marked.is_empty():
        return {}
    columns = {rule.name: rule.columns for rule in contract.row_rules}
    named = contract.name_rules(marked).iter_rows(named=True)
    return {row[ROW]: f"breaks the contract: {_blame(row, columns)}" for row in named}


def _joined(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return a snapshot's tables, each with its announced rows, and in which it is said which those are."""
    joined = {}
    for name, rows in tables.items():
        announced = tables.get(announced_name(name))
        if announced is not None:
            joined[name] = pl.concat(
                [part.with_columns(pl.lit(place == 1).alias(PENDING)) for place, part in enumerate((rows, announced))]
            )
        elif name not in map(announced_name, tables):
            joined[name] = rows
    return joined


def _line_code(line: str, path: RowPath) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return repair and build as this process has them; raises SnapshotRefused unless they made the features."""
    names = [path.repair, *filter(None, [path.build])]
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
    repair, *own = functions
    if path.declared is None:
        return repair, own[0]
    return repair, DeclaredFeatures(declared=path.declared, own=own[0] if own else None)


def _imported(dotted: str) -> Callable[..., Any]:
    module, _, name = dotted.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _marking(snapshot: OnlineSnapshot) -> Marking | None:
    """Return what becomes of personal columns, as it became in training; raises SnapshotRefused without that key."""
    path = snapshot.row_path
    if not path.personal:
        return None
    try:
        pseudonyms = Pseudonyms.under(path.personal_key, f"line {snapshot.line}")
    except EnvironmentRefused as error:
        raise SnapshotRefused(str(error)) from error
    if pseudonyms.fingerprint != path.personal_key_fingerprint:
        raise SnapshotRefused(
            f"line {snapshot.line}: the key of pseudonyms here, {path.personal_key}, is another than the rows were "
            "pseudonymised with: give the gateway the key that the line runs with"
        )
    return Marking(path.personal, pseudonyms, lambda _: ())


def _compiled(snapshot: OnlineSnapshot) -> Contract:
    """Return the decision table's contract; raises SnapshotRefused where this factory cannot judge it."""
    path = snapshot.row_path
    try:
        return compile_contract(path.contract, columns=path.columns, place=snapshot.named)
    except LineError as error:
        raise SnapshotRefused(f"{error}; install here what the line runs with, or run its operations again") from error
