"""Every record of a source ends in exactly one place, as it came: whatever its kind, its changes, its damage, kills.

A source is written again and again, in any kind, with rows corrected, moved, deleted, doubled and out of order, cells
that nobody can read, and files damaged as a whole. Loads come in between, by each way of knowing changes, and die at
any commit. What must be in the lake a few lines of plain Python say.
"""

import struct
from collections import Counter
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from factory.compute.engine import FrameEngine
from factory.connectors.tables import TableSource
from factory.data.cleaning import clean
from factory.data.contract.compiler import compile_contract
from factory.data.ingest import ingest
from factory.data.raw_rows import stored_raw_rows
from factory.data.versions import gone_rows
from factory.errors import SourceError
from factory.line.changes import Changes
from factory.line.expectation import Expectation
from factory.line.line import Table
from factory.line.site_names import UNKNOWN
from factory.storage.columns import LOAD, ROW, SITE, UNPARSED
from factory.storage.lake import Lake
from factory.storage.raw_values import TEXT
from tests.data.kinds_of_sources import KINDS, chance_of, moment
from tests.data.mortal_lake import Dies, MortalLake

COLUMNS = {
    "order": "String", "plant": "String", "at": "Datetime[us]", "kg": "Float64", "changed": "Int64", "note": "String",
}  # fmt: skip
SITES = ("Kiel", "Ulm")
FIRST, NOW = datetime(2024, 1, 1), datetime(2024, 1, 20)
FIT = {"1.5": 1.5, "80.0": 80.0, "7": 7.0, "0.1": 0.1, "-1": None, "9007199254740993": None, None: None}
"""Weights that are read, with what they are, and those that break a rule or fit no float."""
MISFITS = ("ca. 80", "1,250", "007", "#DIV/0!")
NOTES = ('12" pipe', "a\nb", 'say "x"', ";,\t|", "ümlaut €", "\\", "null", " ")
CHANGES = {
    "as a file is": Changes(max_withdrawn_share=1.0),
    "whole": Changes(known_by="whole", max_withdrawn_share=1.0),
    "rolling": Changes(known_by="whole", rolling=True, max_withdrawn_share=1.0),
    "look back": Changes(known_by="look_back", days=5, max_withdrawn_share=1.0),
    "change column": Changes(known_by="change_column", column="changed", max_withdrawn_share=1.0),
    "change log": Changes(known_by="change_log", column="changed"),
    "append": Changes(known_by="append"),
}
NEVER_CHANGE = ("change log", "append")


def table_of(changes):
    """Return the table whose changes are known so."""
    return Table(
        name="orders",
        columns=COLUMNS,
        key=("order",),
        cursor="at",
        site_column="plant",
        contract=(Expectation(type="expect_column_values_to_be_between", kwargs={"column": "kg", "min_value": 0}),),
        changes=CHANGES[changes],
        repair=lambda rows: rows,
    )


# ------------------------------------------------------------------------------------------ what plain Python says


def site_of(row):
    """Return the site of a record."""
    return (row.get("plant") or "").strip() or UNKNOWN


def change_of(row):
    """Return the number of a record's change; None where it says none."""
    return int(row["changed"]) if (row.get("changed") or "").isdigit() else None


def is_clean(row):
    """Whether a record fits its columns and keeps the contract."""
    kg, is_number = row.get("kg"), row.get("kg") in FIT and row.get("kg") != "9007199254740993"
    dated = moment(row.get("at")) is not None and (row["changed"] is None or change_of(row) is not None)
    return dated and is_number and kg != "-1" and row["plant"] == site_of(row) in SITES


class Site:
    """What the lake must have of a site after each load that ended."""

    def __init__(self, records):
        self.records = records
        self.standing, self.gone, self.cursor, self.change = [], Counter(), None, None

    def loaded(self, changes, rows, until):
        """Return what the site is once its records at the source, in their order, were loaded."""
        start = None if self.cursor is None else self.cursor
        if changes.known_by == "look_back" and start is not None:
            start -= timedelta(days=changes.days)
        adds_only = changes.known_by in ("append", "change_log", "change_column")
        if changes.known_by in ("", "whole"):
            start = None
        read = [row for row in rows if self.is_read(row, changes, start, until)]
        after = Site(self.records)
        after.gone = self.gone.copy()
        first = min((moment(row.get("at")) for row in read if moment(row.get("at"))), default=None)
        rolls = changes.rolling or not changes.known_by
        for row in self.standing:
            at = moment(row.get("at"))
            seen = at is None or ((start is None or at >= start) and at < until)
            seen &= at is None or not rolls or (first is not None and at > first)
            keyed = row.get("order") is not None and any(row["order"] == other.get("order") for other in read)
            if keyed or (not adds_only and seen):
                after.gone[row["id"]] += not keyed
                continue
            after.standing.append(row)
        unkeyed = [row for row in read if row.get("order") is None]
        there = Counter(row["id"] for row in after.standing)  # a row that comes again is the one that is there
        unkeyed = [self.records[name] for name in (Counter(row["id"] for row in unkeyed) - there).elements()]
        last = {row["order"]: row for row in read if row.get("order") is not None}
        if changes.known_by == "change_log":
            last = self.newest([*(row for row in self.standing if row.get("order") in last), *read])
        after.standing += [*last.values(), *unkeyed]
        moments = [at for at in (self.cursor, *(moment(row.get("at")) for row in read)) if at and at <= NOW]
        after.cursor = max(moments, default=None)
        numbers = [change_of(row) for row in read if change_of(row) is not None]
        after.change = max([*numbers, *([] if self.change is None else [self.change])], default=None)
        return after

    def is_read(self, row, changes, start, until):
        """Whether a record is among what a load looks at."""
        at = moment(row.get("at"))
        if at is not None and at >= until:
            return False
        by_cursor = at is None or start is None or at >= start
        if not changes.column:
            return by_cursor
        return by_cursor or self.change is None or change_of(row) is None or change_of(row) >= self.change

    @staticmethod
    def newest(rows):
        """Return the record of each key with the largest change, of equal ones the last."""
        last = {}
        for row in rows:
            order = (change_of(row) is not None, change_of(row) or 0)
            if row.get("order") is not None and (row["order"] not in last or order >= last[row["order"]][0]):
                last[row["order"]] = order, row
        return {key: row for key, (_, row) in last.items()}


# --------------------------------------------------------------------------------------------- what is tried on it


class World:
    """A source that lives, the lake that its loads make, and what plain Python says of it."""

    def __init__(self, folder, kind, changes):
        self.source, self.changes, self.table = kind(folder), changes, table_of(changes)
        self.lake, self.seen = Lake(f"{folder}/lake", "line"), {}
        self.rows, self.sites, self.written, self.records, self.day = [], {}, 0, {}, 0
        for site in SITES:  # one that nobody touches: its site is spelled so
            self.put(site, "0", {"at": "2024-01-01 00:00", "kg": "7", "note": " ", "plant": site}, twice=False)
        self.load(1)

    def put(self, site, number, cells, *, twice):
        """Write a record over the one of its key, or add it where records never change."""
        self.written += 1
        if number is None and not self.source.exact:  # in another type it would be another row
            number = "4"
        row = {"order": number, "changed": str(self.written), "plant": site, **cells}
        row["note"] = f"{self.written}{cells['note']}"
        row["id"] = row["note"]
        if self.changes in NEVER_CHANGE:
            self.rows.append(row)
            newest = [moment(other["at"]) for other in self.rows if "at" in other and site_of(other) == site_of(row)]
            if self.changes == "append" and moment(row["at"]):
                row["at"] = f"{max(filter(None, newest)):%Y-%m-%d %H:%M}"
        else:
            same = [place for place, other in enumerate(self.rows) if self.is_version(other, row)]
            self.rows = [other for place, other in enumerate(self.rows) if place not in same]
            self.rows.insert(same[0] if same else len(self.rows), row)
        if twice:
            self.rows.append(row)
        self.records[row["id"]] = row

    @staticmethod
    def is_version(row, other):
        """Whether two records are of one key, which is not given where one is new each time."""
        return row.get("order") is not None and (site_of(row), row["order"]) == (site_of(other), other["order"])

    def junk(self):
        """Write a line that is no record."""
        if self.source.tells_junk:
            self.written += 1
            row = {"junk": f"junk {self.written}", "id": f"junk {self.written}"}
            self.rows.insert(0, row)
            self.records[row["id"]] = row

    def delete(self, place):
        """Take a record away."""
        mine = [row for row in self.rows if row.get("order") != "0"]
        if mine and self.changes not in NEVER_CHANGE:
            gone = mine[place % len(mine)]
            self.rows = [row for row in self.rows if row is not gone]

    def shuffle(self, seed):
        """Give the records another order."""
        if self.changes not in NEVER_CHANGE:
            chance_of(seed).shuffle(self.rows)

    def damage(self, seed):
        """Damage the source: it is refused, and nothing happens to the lake."""
        self.write(seed)
        self.source.damage(chance_of(seed))
        before = self.tables()
        loaded = self.ingest(self.lake, SITES, self.day + 1)
        assert set(loaded.failed) == set(SITES), "what is damaged as a whole was read"
        assert all(isinstance(error, SourceError) for error in loaded.failed.values()), loaded.failed
        assert self.tables() == before
        event(f"damage of {type(self.source).__name__}")
        self.write(seed)

    def die(self, commits, days):
        """Load, and die at a commit; what the load would have found gone may be withdrawn by then."""
        self.write(commits)
        self.day += days
        loaded = self.ingest(MortalLake(self.lake, commits), self.at_source(), self.day)
        for site in loaded.failed:
            self.state(site).gone |= self.after(site).gone
        for site, done in loaded.done.items():
            self.sites[site], self.seen[site] = self.after(site), done.seen
        if any(isinstance(error, Dies) for error in loaded.failed.values()):
            event("died at a commit")

    def load(self, days, sites=(*SITES, UNKNOWN)):
        """Load some sites as of some days later, and look at what became of everything."""
        self.write(days)
        self.day += days
        sites = [site for site in self.at_source() if site in sites]
        others = self.tables(but=sites)
        loaded = self.ingest(self.lake, sites, self.day)
        refused = [error for error in loaded.failed.values() if "has no rows before" not in str(error)]
        assert not refused, refused
        for site, done in loaded.done.items():
            self.sites[site], self.seen[site] = self.after(site), done.seen
        assert self.tables(but=sites) == others, "another site was touched"
        self.look(sites)

    def at_source(self):
        """Return the sites that source or lake know."""
        return sorted({*SITES, *map(site_of, self.rows), *self.sites})

    def after(self, site):
        """Return what a site is once it is loaded."""
        mine = [row for row in self.rows if site_of(row) == site]
        return self.state(site).loaded(self.table.changes, mine, FIRST + timedelta(days=self.day))

    def state(self, site):
        """Return what a site is."""
        return self.sites.setdefault(site, Site(self.records))

    def write(self, seed):
        """Write the source as it is now."""
        self.source.write(list(COLUMNS), self.rows, chance_of(f"{self.written} {seed}"))

    def ingest(self, lake, sites, day):
        """Load sites as of a day."""
        source = TableSource({"orders": {"at": self.source.at}}, root=str(self.source.folder))
        until = FIRST + timedelta(days=day)
        return ingest(lake, source, self.table, list(sites), until, seen=self.seen, clock=lambda: NOW)

    def tables(self, but=()):
        """Return all that the lake has of sites."""
        rows = []
        for name in ("raw/orders", "withdrawn/orders"):
            if self.lake.has(name):
                mine = self.lake.scan(name).filter(~pl.col(SITE).is_in(list(but))).collect().sort(SITE, LOAD, ROW)
                rows += [{key: value for key, value in row.items() if value is not None} for row in mine.to_dicts()]
        return rows

    def look(self, sites):
        """Hold the lake against what plain Python says: each record is in one way out, and as it was written."""
        raw, withdrawn = stored_raw_rows(self.lake, self.table), gone_rows(self.lake, self.table)
        contract = compile_contract(
            self.table.contract, columns=COLUMNS, place="orders", site_column="plant", cursor="at"
        )
        cleaned = clean(raw, self.table, contract, FrameEngine("cpu"), withdrawn)
        rows = raw.collect().sort(SITE, LOAD, ROW).to_dicts()
        places = set() if withdrawn is None else set(withdrawn.collect().rows())
        for row in rows:
            self.require_as_written(row)
        for site in sites:
            mine, state = [row for row in rows if row[SITE] == site], self.state(site)
            ways = {
                "clean": Counter(cleaned.accepted.filter(pl.col(SITE) == site)["note"]),
                "quarantine": Counter(name_of(row) for row in cleaned.quarantine.to_dicts() if row[SITE] == site),
                "withdrawn": Counter(name_of(row) for row in mine if (row[SITE], row[LOAD], row[ROW]) in places),
            }
            expected = Counter(row["id"] for row in state.standing)
            good = Counter({name: times for name, times in expected.items() if is_clean(self.records[name])})
            assert ways["clean"] == good, (ways["clean"], good)
            assert ways["quarantine"] == expected - good, (ways["quarantine"], expected - good)
            assert ways["withdrawn"] <= state.gone, "a row was withdrawn that the source has"
            superseded = Counter(name_of(row) for row in mine) - sum(ways.values(), Counter())
            assert sum(superseded.values()) + sum(map(Counter.total, ways.values())) == len(mine), "in two ways out"
            later = Counter(row.get("order") for row in map(self.written_as, mine))
            for name in superseded:
                order = self.records[name].get("order")
                assert order is not None, f"{name} is superseded and has no key"
                assert later[order] > 1, f"{name} is superseded by nothing"

    def written_as(self, row):
        """Return the record that a raw row is."""
        return self.records[name_of(row)]

    def require_as_written(self, row):
        """Require each value of a raw row to be that of its record, to the bit."""
        record = self.written_as(row)
        for name in COLUMNS if "junk" not in record else ():
            came = row[name] if row[name] is not None else row.get(f"{name}{TEXT}")
            assert is_same(record[name], came, exact=self.source.exact), (name, record[name], came)


def name_of(row):
    """Return by what a raw row is known: a note that no other record has, or the text of what is no record."""
    return row["note"] if row.get(UNPARSED) is None else row[UNPARSED]


def is_same(cell, came, *, exact):
    """Whether a raw value is what a cell says: its text, or of a typed source the very number or moment."""
    if cell is None or came is None or exact or cell == came:
        return cell == came
    if isinstance(came, datetime) or moment(cell):
        return moment(cell) == (came if isinstance(came, datetime) else datetime.fromisoformat(came))
    return struct.pack("d", float(cell)) == struct.pack("d", float(came))


CELLS = st.fixed_dictionaries(
    {
        "at": st.one_of(
            st.integers(0, 25).map(lambda day: f"{FIRST + timedelta(days=day):%Y-%m-%d %H:%M}"),
            st.sampled_from(["0000-00-00", "soon", None]),
        ),
        "kg": st.sampled_from([*FIT, *MISFITS]),
        "note": st.sampled_from(NOTES),
    },
    optional={"plant": st.sampled_from(["Ulm ", None]), "changed": st.sampled_from(["x", None])},
)
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(SITES), st.sampled_from(["1", "2", "03", None]), CELLS, st.booleans()),
    st.tuples(st.just("load"), st.integers(0, 9), st.sampled_from([(*SITES, UNKNOWN), ("Ulm",)])),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("junk")),
    st.tuples(st.just("shuffle"), st.integers(0, 9)),
    st.tuples(st.just("damage"), st.integers(0, 9)),
    st.tuples(st.just("die"), st.integers(0, 1), st.integers(0, 9)),
)
LIVES = st.tuples(st.sampled_from(KINDS), st.sampled_from([*CHANGES]), st.lists(STEPS, min_size=4, max_size=12))


def lived(kind, changes, steps):
    """Live through steps, with a last load of all."""
    with TemporaryDirectory() as folder:
        world = World(folder, kind, changes)
        for deed, *how in steps:
            if deed == "put":
                *said, twice = how
                world.put(*said, twice=twice)
            else:
                getattr(world, deed)(*how)
        world.load(30)
        world.load(0)


@settings(max_examples=8, deadline=None)
@given(LIVES)
def test_every_record_is_in_one_way_out_as_it_was_written_whatever_happens(life):
    lived(*life)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(LIVES)
def test_every_record_is_in_one_way_out_through_many_lives(life):
    lived(*life)
