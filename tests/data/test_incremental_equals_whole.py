"""Incremental equals whole: whatever a source goes through, the lake ends as one full load of its last state.

The source is a table in memory to which rows come, late and out of order, and in which they are corrected, labelled,
moved, deleted and brought back. Loads come in between, at any moment, and any of them may die at any commit.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from factory.line.changes import Changes, SurrogateKey
from tests.data.mortal_lake import Dies, MortalLake
from tests.data.test_changes import COLUMNS, TABLE, File, Loads, Plain, Server

SITES = ("Ulm", "Kiel")
FIRST = datetime(2024, 1, 1)
TIMES = st.one_of(st.integers(0, 6).map(lambda day: f"{FIRST + timedelta(days=day):%Y-%m-%d %H:%M}"), st.just("0000"))
ROWS = st.fixed_dictionaries(
    {
        "site": st.sampled_from(SITES),
        "at": TIMES,
        "kg": st.sampled_from(["1.5", "-1", "ca. 80"]),
        "late": st.sampled_from([None, "1"]),
    }
)
NUMBERS = st.integers(1, 2)
DEEDS = st.lists(
    st.tuples(
        st.one_of(
            st.tuples(st.just("put"), NUMBERS, ROWS),
            st.tuples(st.just("label"), NUMBERS, st.sampled_from([None, "1"])),
            st.tuples(st.just("waver"), NUMBERS, ROWS),
            st.tuples(st.just("delete"), NUMBERS),
            st.tuples(st.just("shuffle"), st.randoms(use_true_random=False)),
        ),
        st.one_of(
            st.none(),
            st.just(("load", 7, set(SITES))),
            st.tuples(st.just("load"), st.integers(3, 7), st.sets(st.sampled_from(SITES), min_size=1)),
            st.tuples(st.just("die"), st.integers(0, 1), st.integers(3, 7)),
        ),
    ),
    max_size=8,
)


class World:
    """A source that lives, and its loads."""

    def __init__(self, folder, table, source):
        self.folder, self.table, self.kind = folder, table, source
        self.loads, self.rows, self.changed = Loads(f"{folder}/lived", table), {}, 0

    def do(self, deed, *how):
        """Do one deed."""
        getattr(self, deed)(*how)

    def label(self, number, late):
        """Fill in what became of a row."""
        if number in self.rows:
            self.put(number, {**self.rows[number], "late": late})

    def waver(self, number, row):
        """Write a row, then another in its place, and then the first again, with loads in between."""
        for one in (row, {**row, "late": "0"}):
            self.put(number, one)
            self.load(7, SITES)
        self.put(number, row)

    def delete(self, number):
        """Take a row away."""
        self.rows.pop(number, None)

    def shuffle(self, random):
        """Give the rows another order."""
        rows = list(self.rows.items())
        random.shuffle(rows)
        self.rows = dict(rows)

    def put(self, number, row):
        """Write a row, with what tells of its change."""
        self.changed += 1
        self.rows[number] = {**row, "changed": str(self.changed)}

    def source(self):
        """Return the source as it is now."""
        order = ["order", "site", "at", "kg", "late", "changed"]
        rows = [{"order": str(number), **row} for number, row in self.rows.items()]
        return self.kind([tuple(row[name] for name in order[: len(self.table.delivered.columns)]) for row in rows])

    def load(self, until, sites):
        """Load some sites as of a day; one without rows, in source and lake, has none."""
        for site in sorted(sites):
            try:
                self.loads.load(self.source(), (site,), FIRST + timedelta(days=until))
            except Exception as error:
                if "has no rows before" not in str(error):
                    raise

    def die(self, commits, until):
        """Load a site, and die at a commit: what it remembered is lost with it."""
        whole = self.loads.lake
        self.loads.lake = MortalLake(whole, commits)
        for site in SITES:
            try:
                self.load(until, [site])
            except Dies:
                event("died at a commit")
        self.loads.lake = whole

    def end(self):
        """Return what became of every row at the end, and what would have in one load of all."""
        self.load(20, SITES)
        once = World(f"{self.folder}/once", self.table, self.kind)
        once.rows = self.rows
        once.load(20, SITES)
        return ways(self.loads), ways(once.loads)


def ways(loads):
    """Return the clean rows and those in quarantine, each as often as it is there."""
    if not loads.lake.has("raw/orders"):
        return Counter(), Counter()
    cleaned = loads.cleaned()
    for site, counts in cleaned.counts.items():
        assert counts.unaccounted == 0, site
    columns = list(loads.table.delivered.columns)
    return tuple(Counter(rows.select(columns).rows()) for rows in (cleaned.accepted, cleaned.quarantine))


WHOLE = Changes(known_by="whole", max_withdrawn_share=1.0)
LOOK_BACK = Changes(known_by="look_back", days=30, max_withdrawn_share=1.0)
KEYLESS = replace(
    TABLE,
    columns={**COLUMNS, "row_id": "String"},
    key=("row_id",),
    surrogate_key=SurrogateKey(column="row_id", leave_out=("late",)),
    changes=WHOLE,
)


@pytest.mark.parametrize(
    ("table", "source"),
    [
        pytest.param(replace(TABLE, changes=WHOLE), File, id="a file"),
        pytest.param(replace(TABLE, changes=WHOLE), Plain, id="whole"),
        pytest.param(replace(TABLE, changes=WHOLE, cursor=""), File, id="without a cursor"),
        pytest.param(replace(TABLE, key=(), changes=WHOLE), File, id="without a key"),
        pytest.param(KEYLESS, File, id="with a surrogate key"),
        pytest.param(
            replace(TABLE, changes=LOOK_BACK), Server, id="look back"
        ),
    ],
)  # fmt: skip
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=DEEDS)
def test_whatever_a_source_goes_through_the_lake_ends_as_one_load_of_it(table, source, deeds):
    with TemporaryDirectory() as folder:
        world = World(folder, table, source)
        for deed in deeds:
            for step in filter(None, deed):
                world.do(*step)
        lived, once = world.end()
        assert lived == once


LOGGED = replace(
    TABLE,
    columns={**COLUMNS, "changed": "Int64"},
    changes=Changes(known_by="change_column", column="changed", max_withdrawn_share=1.0),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=DEEDS)
def test_a_change_column_and_a_count_miss_nothing(deeds):
    with TemporaryDirectory() as folder:
        world = World(folder, LOGGED, Changing)
        for deed in deeds:
            for step in filter(None, deed):
                world.do(*step)
        lived, once = world.end()
        assert lived == once


class Changing(Server):
    """A database with a change column, which gives only rows that changed since."""

    columns = LOGGED.columns

    def read(self, table, *, site, after, until):
        if table.cursor != "changed":
            yield from super().read(table, site=site, after=after, until=until)
            return
        mine = [row for row in self.rows if row[1] == site and (after is None or int(row[5]) >= after)]
        yield self.frame(mine)
