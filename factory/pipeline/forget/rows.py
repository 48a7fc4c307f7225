"""The lake's part of forgetting: which rows are a person's, and every table without them and without its past."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

import polars as pl

from factory.data.contract.typing import ORDER, typed_rows
from factory.data.forgotten import Person, are_of
from factory.data.versions import withdrawn_table
from factory.line.line import Line, Table
from factory.monitoring.prediction_log.rows import SUBJECT
from factory.storage.columns import BOOKKEEPING, LOAD, MENDS, ROW, SITE, UNPARSED
from factory.storage.journal import TABLE as JOURNAL
from factory.storage.journal import Journal
from factory.storage.lake import Lake
from factory.storage.raw_values import TEXT, text_of

PLACE = [SITE, LOAD, ROW]
DERIVED = ("clean", "quarantine", "announced", "announced_quarantine")
"""What is made of raw rows again by the next run, table by table."""
REPLACED = "forgotten"
_TOLD_IN = (SUBJECT, "about")
"""Columns of the prediction log, and of receipts, that say which decision a row is about."""
_SHORTEST_WORD = 4


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a lake has of persons."""

    places: Mapping[str, pl.DataFrame]
    """Table → SITE, LOAD and ROW of their raw rows."""
    decisions: pl.DataFrame
    """SITE and the features' key, as texts, of the decisions about them."""
    features: pl.DataFrame
    """Their feature rows."""
    words: frozenset[str] = field(default_factory=frozenset)
    """Texts that no other row has: pages and logs may repeat them."""
    sites: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Table → the sites with their rows."""


def found_in(lake: Lake, line: Line, persons: Mapping[str, Sequence[Person]], whole: Iterable[str] = ()) -> Found:
    """Return what the lake has of persons, by table; of a table in `whole` every row."""
    places, words, decisions = {}, set[str](), list[pl.DataFrame]()
    for name, table in line.tables.items():
        if not lake.has(f"raw/{name}"):
            continue
        raw = lake.scan(f"raw/{name}").collect()
        are = _are(raw, persons.get(name, ()), table, whole=name in whole)
        mine = raw.filter(are)
        if mine.is_empty():
            continue
        places[name] = mine.select(PLACE)
        if name not in whole:
            words |= _words(mine, raw.filter(~are), table)
        if name == line.decision_table:
            decisions.append(_decisions(line, mine))
    keys = [SITE, *line.features.key]
    features = pl.DataFrame(schema=dict.fromkeys(keys, pl.String))
    if lake.has("features"):
        rows = lake.scan("features").collect()
        about = [_matching(rows, person) for some in persons.values() for person in some]
        mine = rows.filter(reduce(or_, about, _in(rows, decisions, keys)))
        decisions.append(_texts(mine, keys))
        features = mine
    every = pl.concat([pl.DataFrame(schema=dict.fromkeys(keys, pl.String)), *decisions]).unique(maintain_order=True)
    sites = {name: frozenset(rows[SITE]) for name, rows in places.items()}
    return Found(places=places, decisions=every, features=features, words=frozenset(words), sites=sites)


def _are(raw: pl.DataFrame, persons: Sequence[Person], table: Table, *, whole: bool) -> pl.Series:
    """Return which raw rows are persons', with the corrections of these and what those corrected."""
    if whole:
        return pl.repeat(True, len(raw), dtype=pl.Boolean, eager=True)
    are = reduce(or_, (are_of(raw, person, table) for person in persons), pl.repeat(False, len(raw), eager=True))
    if UNPARSED in raw.columns and persons and not table.personal:
        told = [
            reduce(
                lambda all_, value: all_ & raw[UNPARSED].str.contains(value, literal=True),
                person.values(),
                raw[UNPARSED].is_not_null(),
            )
            for person in persons
        ]
        are |= reduce(or_, told).fill_null(value=False)
    if MENDS not in raw.columns:
        return are
    order = raw.select(SITE, ORDER.alias("_order"), pl.col(MENDS).alias("_mends"))
    mine = order.filter(are)
    mended = order.join(mine.select(SITE, _mends="_order"), on=[SITE, "_mends"], how="semi")
    mending = mine.filter(pl.col("_mends").is_not_null()).select(SITE, _order="_mends")
    also = pl.concat([mended.select(SITE, "_order"), mending])
    marked = order.select(SITE, "_order").join(
        also.unique().with_columns(pl.lit(True).alias("_is")), on=[SITE, "_order"], how="left", maintain_order="left"
    )
    return are | marked["_is"].fill_null(value=False)


def _decisions(line: Line, raw: pl.DataFrame) -> pl.DataFrame:
    """Return SITE and the features' key of raw decision rows, as texts; of rows whose repair fails as they came."""
    table, keys = line.decisions, [SITE, *line.features.key]
    typed = typed_rows(raw.lazy(), table, ()).collect()
    typed = typed.select(SITE, *(name for name in table.columns if name != SITE))
    try:
        rows = table.repair(typed.lazy()).collect()
    except Exception:  # noqa: BLE001  a line's own Python, on rows that its contract may have refused
        rows = typed
    there = rows if set(keys) <= set(rows.columns) else typed
    return (
        _texts(there, keys) if set(keys) <= set(there.columns) else pl.DataFrame(schema=dict.fromkeys(keys, pl.String))
    )


def _texts(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame([text_of(rows[name]).cast(pl.String) for name in columns])


def _in(rows: pl.DataFrame, decisions: Sequence[pl.DataFrame], keys: Sequence[str]) -> pl.Series:
    """Return which rows are about some of the decisions."""
    if not set(keys) <= set(rows.columns) or not decisions:
        return pl.repeat(False, len(rows), dtype=pl.Boolean, eager=True)
    wanted = pl.concat(decisions).unique().with_columns(pl.lit(True).alias("_is"))
    texts = _texts(rows, keys)
    return texts.join(wanted, on=list(keys), how="left", nulls_equal=True, maintain_order="left")["_is"].fill_null(
        value=False
    )


def _matching(rows: pl.DataFrame, person: Person) -> pl.Series:
    """Return which rows of a table that is made of others have all of a person's values."""
    if not set(person) <= set(rows.columns):
        return pl.repeat(False, len(rows), dtype=pl.Boolean, eager=True)
    equal = [
        (text_of(rows[column]).cast(pl.String) == value).fill_null(value=False) for column, value in person.items()
    ]
    return reduce(lambda one, other: one & other, equal)


def _words(mine: pl.DataFrame, others: pl.DataFrame, table: Table) -> set[str]:
    """Return the texts of a person's raw rows that no other row has, long enough to be somebody's."""
    words = set[str]()
    for name in mine.columns:
        kind = table.columns.get(name.removesuffix(TEXT), "")
        if name in BOOKKEEPING or name == table.site_column or (kind != "String" and name not in table.key):
            continue
        texts = text_of(mine[name]).drop_nulls().unique()
        rest = text_of(others[name]).drop_nulls().unique() if name in others.columns else pl.Series([], dtype=pl.String)
        words |= {text for text in texts.filter(~texts.is_in(rest.implode())) if len(text) >= _SHORTEST_WORD}
    return words


class LakeRows:
    """Removes from a line's tables what was found of persons."""

    def __init__(self, lake: Lake, line: Line, persons: Mapping[str, Sequence[Person]], found: Found) -> None:
        self.lake, self.line, self.persons, self.found = lake, line, persons, found

    def rest_of(self, table: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return a table's rows that stay, and those that go."""
        rows = self.lake.scan(table).collect()
        goes = self._goes(table, rows)
        return rows.filter(~goes), rows.filter(goes)

    def _goes(self, table: str, rows: pl.DataFrame) -> pl.Series:
        goes = self._of_raw_rows(table, rows)
        if goes is not None:
            return goes
        goes = pl.repeat(False, len(rows), dtype=pl.Boolean, eager=True)
        if table.startswith(("raw/", "withdrawn/")) or table == JOURNAL or SITE not in rows.columns:
            return goes
        for person in (person for some in self.persons.values() for person in some):
            goes |= _matching(rows, person)
        if table == "features":
            return goes | self._made_anew(rows)
        goes |= _in(rows, [self.found.decisions], self.found.decisions.columns)
        for column in {*_TOLD_IN} & set(rows.columns):
            goes |= self._told(rows, column)
        return goes

    def _of_raw_rows(self, table: str, rows: pl.DataFrame) -> pl.Series | None:
        """Return which rows of a raw table, or of one made of it, go; None of others, and where none was found."""
        for name, places in self.found.places.items():
            of = self.line.tables[name]
            if table in (f"raw/{name}", withdrawn_table(of)):
                there = places.unique().with_columns(pl.lit(True).alias("_is"))
                joined = rows.select(PLACE).join(there, on=PLACE, how="left", maintain_order="left")
                return joined["_is"].fill_null(value=False)
            if table in {self.line.lake_table(stage, of) for stage in DERIVED}:
                return rows[SITE].is_in(list(self.found.sites[name]))
        return None

    def _made_anew(self, rows: pl.DataFrame) -> pl.Series:
        """Return which features are made anew: all where a table that all sites share loses rows, else the sites'."""
        if any(self.line.tables[name].site_column is None for name in self.found.places):
            return pl.repeat(True, len(rows), dtype=pl.Boolean, eager=True)
        return rows[SITE].is_in(list(self.found.sites.get(self.line.decision_table, ())))

    def _told(self, rows: pl.DataFrame, column: str) -> pl.Series:
        """Return which rows are about the decisions, by a column of JSON objects with their keys."""
        about = subjects_of(self.found.decisions)
        keys = list(self.line.features.key)
        are = [
            bool(subject) and (site, *key_of(subject, keys)) in about
            for site, subject in rows.select(SITE, column).iter_rows()
        ]
        return pl.Series(are, dtype=pl.Boolean)

    def remove(self, table: str) -> int:
        """Write a table without the rows that go, where there are such; return how many there were.

        What is made of raw rows has begun again then, whatever they are next time: its rows are to be made anew.
        """
        rest, gone = self.rest_of(table)
        if len(gone):
            sites = sorted({str(site) for site in gone[SITE].unique() if site is not None})
            if not table.startswith("raw/"):
                Journal(self.lake).begin(table, sites, run=REPLACED)
            self.lake.overwrite(table, rest, sites)
        return len(gone)

    def scrub_journal(self, scrubbed: Callable[[str], str]) -> int:
        """Write the journal without words of persons and examples that are their feature rows; return how many."""
        if not self.lake.has(JOURNAL):
            return 0
        rows = self.lake.scan(JOURNAL).collect()
        figures = [self._figures(text, scrubbed) for text in rows["figures"]]
        other = sum(bool(before != after) for before, after in zip(rows["figures"].to_list(), figures, strict=True))
        if other:
            self.lake.overwrite(JOURNAL, rows.with_columns(pl.Series("figures", figures, pl.String)), [])
        return other

    def _figures(self, text: str, scrubbed: Callable[[str], str]) -> str:
        said = json.loads(text)
        whose = is_example_of(self.found.features, self.line)
        if isinstance(said, dict) and isinstance(said.get("example"), list) and whose(said["example"]):
            said["example"] = [None] * len(said["example"])
            text = json.dumps(said)
        return scrubbed(text)


def subjects_of(decisions: pl.DataFrame) -> frozenset[tuple[str | None, ...]]:
    """Return what decisions are told by: site and key, as texts."""
    return frozenset(decisions.iter_rows())


def key_of(subject: str, keys: Sequence[str]) -> list[str | None]:
    """Return a decision's key, as texts, from a JSON object that tells it; nothing where that is none."""
    try:
        said = json.loads(subject)
    except ValueError:
        return [None] * len(keys)
    return [_plain(said.get(key)) if isinstance(said, dict) else None for key in keys]


def _plain(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def is_example_of(features: pl.DataFrame, line: Line) -> Callable[[Sequence[float | None]], bool]:
    """Return what tells whether a row of numbers ends with one of the feature rows, as a model has them."""
    names = list(line.features.columns)
    if features.is_empty() or not set(names) <= set(features.columns):
        return lambda _: False
    rows = {
        tuple(None if value is None or value != value else value for value in row)  # noqa: PLR0124
        for row in features.select(pl.col(name).cast(pl.Float32) for name in names).iter_rows()
    }

    def whose(numbers: Sequence[float | None]) -> bool:
        last = pl.Series(numbers[-len(names) :], dtype=pl.Float32, strict=False).fill_nan(None)
        return tuple(last) in rows

    return whose


def scrubber(words: Iterable[str], persons: Mapping[str, Sequence[Person]]) -> Callable[[str], str]:
    """Return what replaces words of persons in a text, and short values where they stand behind their column's name."""
    values = {(column, value) for some in persons.values() for person in some for column, value in person.items()}
    whole = {word for word in [*words, *(value for _, value in values)] if not _is_short(word)}
    forms = {
        form for word in whole for form in (word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1])
    }
    patterns = [rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])" for form in sorted(forms, key=len, reverse=True)]
    short = [
        rf"(?<=\b){re.escape(column)}(?P<between>[\s'\"\\\\]*(?:[:=]|is)?[\s'\"\\\\]*){re.escape(value)}(?![\w.])"
        for column, value in values
        if _is_short(value)
    ]
    every = re.compile("|".join(patterns)) if patterns else None
    behind = [re.compile(pattern) for pattern in short]

    def scrubbed(text: str) -> str:
        text = every.sub(REPLACED, text) if every else text
        for pattern in behind:
            text = pattern.sub(lambda told: told[0][: told.end("between") - told.start()] + REPLACED, text)
        return text

    return scrubbed


def _is_short(value: str) -> bool:
    return len(value) < _SHORTEST_WORD or bool(re.fullmatch(r"[+-]?[0-9.]+", value))
