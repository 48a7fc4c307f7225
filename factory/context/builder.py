"""Business rows in; contract, repair and features by the line's own code; what the network eats out.

One request is built alone: what another client asks at the same time changes nothing in its answer. Rows of one request
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

from factory.context.manifest import Context
from factory.context.records import Field, typed
from factory.context.sources import code_of
from factory.contract.columns import ROW, SITE
from factory.contract.compiler import compile_contract
from factory.contract.contract import RULE
from factory.errors import ContextRefused, RecordRefused
from factory.sampling import in_order, network_input
from factory.splitting import DECIDED_AT, PLACE
from factory.windows import ASKED

_AT = pl.col(DECIDED_AT)
_ON_CALENDAR = _AT.cast(pl.Datetime("us")).is_between(datetime.min, datetime.max).fill_null(_AT.is_null())
"""Whether a moment is one that Python has, or unknown; Polars' reach further."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What became of the rows of one request."""

    features: NDArray[np.float32]
    """`[rows that were built, *input_shape]`, NaN where unknown."""
    places: Sequence[int]
    """Which row of the request each of them is."""
    subjects: Sequence[str]
    """What each of them is about: its key and moment of decision, a JSON object."""
    refused: Mapping[int, str]
    """Why the others were not built, by their place."""


class Builder:
    """One line's way from a business row to features, on one context."""

    def __init__(self, context: Context, tables: Mapping[str, pl.DataFrame]) -> None:
        """Raises ContextRefused where the code is not there, or not the code that made the context."""
        self.context, self._door = context, context.door
        repair, build = (_imported(context.line, name) for name in (self._door.repair, self._door.build))
        if (found := code_of(repair, build)) != self._door.code:
            raise ContextRefused(
                f"line {context.line}: the code here ({found[:12]}) is not what made the features "
                f"({self._door.code[:12]}); install here what the line runs with, or run its operations again"
            )
        self._repair, self._build = repair, build
        self._tables = {name: rows for name, rows in tables.items() if name != self._door.table}
        self._decisions = tables[self._door.table]
        self._contract = compile_contract(
            self._door.contract, columns=self._door.columns, place=f"the context of line {context.line}"
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that are built, in order."""
        return self._door.features

    @property
    def known_until(self) -> str | None:
        """The moment of the newest row it looks back on, ISO in UTC."""
        return self.context.known_until

    def build(self, site: str, records: Sequence[Mapping[str, Field]]) -> Built:
        """Return the records' features; raises RecordRefused where a row is none of this table or of this site."""
        if site not in self.context.sites:
            raise RecordRefused(
                f"line {self.context.line}, site {site}: its features, built here, were not seen to be those of "
                "training; ask with features, or run the line's operations"
            )
        rows = self.typed(site, records)
        broken = self._broken(rows)
        good = rows.filter(~pl.col(ROW).is_in(list(broken)))
        self._require_each_once(good)
        if good.is_empty():
            return Built(
                features=np.empty((0, len(self.feature_names)), np.float32), places=[], subjects=[], refused=broken
            )
        try:
            found, history = self.features(site, good.drop(ROW))
            return self._built(good, found, history, broken)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise RecordRefused(
                "no features can be built of these rows together, though each keeps the contract: a value is beyond "
                f"what their arithmetic takes ({str(error).splitlines()[0]:.120})"
            ) from error

    def typed(self, site: str, records: Sequence[Mapping[str, Field]]) -> pl.DataFrame:
        """Return the records as raw rows of the site, numbered."""
        column = self._door.site_column
        for number, record in enumerate(records):
            if record.get(column, site) != site:
                raise RecordRefused(f"row {number}: {column} is {record[column]!r:.80}; this door is of site {site}")
        return typed([{**record, column: site} for record in records], self._door.columns).with_columns(
            pl.lit(site).alias(SITE), pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW)
        )

    def _broken(self, rows: pl.DataFrame) -> dict[int, str]:
        """Return which rules each row breaks; what no row can be blamed for is not asked of a few rows."""
        marked = self._contract.mark(rows.lazy()).filter(self._contract.broken).collect()
        if marked.is_empty():
            return {}
        columns = {rule.name: rule.columns for rule in self._contract.row_rules}
        named = self._contract.name_rules(marked).iter_rows(named=True)
        return {row[ROW]: f"breaks the contract: {_blame(row, columns)}" for row in named}

    def _require_each_once(self, rows: pl.DataFrame) -> None:
        key = list(self._door.key)
        repeated = rows.filter(pl.struct(key).is_duplicated())
        if len(repeated):
            first, second = repeated[ROW][:2]
            raise RecordRefused(f"rows {first} and {second} have one key ({', '.join(key)}); ask each once")

    def features(self, site: str, raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the site's feature rows of these raw rows, and all of the site's that came out, in order."""
        repaired = self._repair(raw.lazy()).collect()
        before = self._decisions.join(repaired, on=[SITE, *self._door.key], how="anti", nulls_equal=True)
        decisions = [before.lazy(), repaired.select(before.columns).lazy()]
        if self._door.steps is None:  # a sequence needs the features of the rows before, too
            decisions = [rows.with_columns(pl.lit(place == 1).alias(ASKED)) for place, rows in enumerate(decisions)]
        tables = {name: rows.lazy() for name, rows in self._tables.items()}
        built = self._build({**tables, self._door.table: pl.concat(decisions)}).filter(pl.col(SITE) == site)
        history = in_order(built, self._door.features_key).collect().with_row_index(PLACE)
        asked = raw.select(SITE, *self._door.features_key)
        return history.join(asked, on=asked.columns, how="semi", nulls_equal=True), history

    def _built(self, good: pl.DataFrame, found: pl.DataFrame, history: pl.DataFrame, broken: dict[int, str]) -> Built:
        key = list(self._door.features_key)
        placed = found.join(good.select(*key, ROW), on=key, how="left", nulls_equal=True).sort(ROW)
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
        """Return what the network eats of some of a history's rows."""
        door = self._door
        return network_input(rows, history, columns=door.features, entity=door.entity, steps=door.steps)

    def _untimely(self, rows: pl.DataFrame) -> dict[int, str]:
        """Return why the decisions of those moments cannot be looked back from, by their place."""
        if not isinstance(rows.schema[DECIDED_AT], pl.Datetime):
            return {}
        strange = dict.fromkeys(rows.filter(~_ON_CALENDAR)[ROW], "is decided in a year that no calendar has")
        moments = rows.filter(_ON_CALENDAR).select(ROW, DECIDED_AT).drop_nulls().iter_rows()
        return strange | {row: why for row, at in moments if (why := self._too_far(at))}

    def _too_far(self, decided_at: datetime) -> str | None:
        """Return why a decision of that moment cannot be looked back from; None where it can."""
        context, moment = self.context, decided_at.isoformat()
        if context.answers_from and decided_at < _like(context.answers_from, decided_at):
            return f"is decided at {moment}; features are built here for decisions from {context.answers_from} on"
        if context.answers_until and decided_at >= _like(context.answers_until, decided_at):
            return f"is decided at {moment}, too long after the newest row known here, {context.known_until}"
        return None


def _blame(row: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> str:
    """Return each broken rule of a row with the values it is broken by."""
    rules = row[RULE].split("; ")
    values = [", ".join(f"{name} is {row[name]!r:.80}" for name in columns.get(rule, ())) for rule in rules]
    return "; ".join(f"{rule} ({value})" for rule, value in zip(rules, values, strict=True))


def _like(moment: str, other: datetime) -> datetime:
    """Return a UTC moment as one that can be compared with the other."""
    found = datetime.fromisoformat(moment)
    return found if other.tzinfo else found.replace(tzinfo=None)


def _subject(row: Mapping[str, Any]) -> str:
    return json.dumps(
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
    )


def _imported(line: str, dotted: str) -> Callable[..., Any]:
    module, _, name = dotted.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ContextRefused(
            f"line {line}: {dotted} cannot be loaded here ({error}); start the gateway where the line's code is"
        ) from error
    return found
