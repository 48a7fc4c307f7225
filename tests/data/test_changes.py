"""Changes at the source: labels that come late, corrections, late rows and deletions come in, each as a version."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from factory.compute.engine import FrameEngine
from factory.data.cleaning import clean
from factory.data.contract.compiler import compile_contract
from factory.data.ingest import ingest
from factory.data.raw_rows import standing_raw_rows, stored_raw_rows
from factory.data.versions import gone_rows
from factory.errors import LineError, SourceError
from factory.line.changes import Changes, Deleted
from factory.line.expectation import Expectation
from factory.line.line import Table
from factory.storage.lake import Lake

UNTIL = datetime(2024, 3, 1)
COLUMNS = {"order": "String", "plant": "String", "at": "Datetime[us]", "kg": "Float64", "late": "String"}
TABLE = Table(
    name="orders",
    columns=COLUMNS,
    key=("order",),
    cursor="at",
    site_column="plant",
    contract=(Expectation(type="expect_column_values_to_be_between", kwargs={"column": "kg", "min_value": 0}),),
    repair=lambda rows: rows,
)


def order(number, day=1, kg="1.5", late="", plant="Ulm"):
    """Return an order as the source has it."""
    at = day if isinstance(day, str) else f"{datetime(2024, 1, 1) + timedelta(days=day):%Y-%m-%d %H:%M}"
    return (str(number), plant, at, kg, late or None)


class Plain:
    """A source in memory that gives texts, from the cursor on; counts how often it is read."""

    columns = COLUMNS

    def __init__(self, rows):
        self.rows, self.reads = list(rows), 0

    def sites(self, table, until):
        return sorted({row[1] for row in self.rows})

    def read(self, table, *, site, after, until):
        self.reads += 1
        place = list(COLUMNS).index(table.cursor) if table.cursor else None
        mine = [row for row in self.rows if row[1] == site]
        if place is not None:
            mine = [row for row in mine if _moment(row[place]) is None or _is_in(_moment(row[place]), after, until)]
        yield self.frame(mine)

    def frame(self, rows):
        return pl.DataFrame(rows, schema=dict.fromkeys(self.columns, pl.String), orient="row")


def _moment(text):
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _is_in(moment, after, until):
    return (after is None or moment >= after) and moment < until


class File(Plain):
    """The same as a file, which is known to change when its rows do."""

    def version(self, table):
        return str(hash(tuple(self.rows)))


class Server(Plain):
    """The same as a database, which counts."""

    def counts(self, table, until):
        happened = [row for row in self.rows if _moment(row[2]) is None or _moment(row[2]) < until]
        return {site: sum(row[1] == site for row in happened) for site in self.sites(table, until)}


class Loads:
    """Loads of one source into one lake, with what each remembers."""

    def __init__(self, folder, table=TABLE):
        self.lake, self.table, self.seen = Lake(folder, "line"), table, {}

    def load(self, source, sites=("Ulm",), until=UNTIL, **how):
        """Load, and return what is done; raises the first site's error."""
        loaded = ingest(self.lake, source, self.table, sites, until, seen=self.seen, **how)
        self.seen |= {site: done.seen for site, done in loaded.done.items()}
        for error in loaded.failed.values():
            raise error
        return loaded.done[sites[0]]

    def cleaned(self):
        """Return what becomes of the rows."""
        contract = compile_contract(
            self.table.contract, columns=self.table.columns, place="line.yaml", cursor=self.table.cursor
        )
        return clean(
            stored_raw_rows(self.lake, self.table), self.table, contract, FrameEngine("cpu"),
            gone_rows(self.lake, self.table),
        )  # fmt: skip

    def clean_rows(self):
        """Return the clean rows as tuples of order, kilograms and label."""
        return sorted(self.cleaned().accepted.select("order", "kg", "late").rows(), key=str)

    def counts(self, site="Ulm"):
        """Return how many rows are raw, clean, in quarantine, superseded and withdrawn."""
        counted = self.cleaned().counts[site]
        return counted.raw, counted.clean, counted.quarantine, counted.superseded, counted.withdrawn


@pytest.fixture
def loads(tmp_path):
    return Loads(tmp_path)


THREE = [order(1, 1), order(2, 2), order(3, 3)]


def test_of_a_file_a_label_that_comes_late_a_late_row_and_a_deletion_come_in(loads):
    loads.load(File(THREE))
    done = loads.load(File([order(1, 1, late="1"), order(3, 3), order(4, 2)]))
    assert (done.new_rows, done.withdrawn) == (2, 1)
    assert loads.clean_rows() == [("1", 1.5, "1"), ("3", 1.5, None), ("4", 1.5, None)]
    assert loads.counts() == (5, 3, 0, 1, 1)


def test_a_row_that_comes_back_is_a_new_version_and_goes_again(loads):
    loads.load(File(THREE))
    loads.load(File([THREE[0], THREE[2]]))
    loads.load(File(THREE))
    assert loads.counts() == (4, 3, 0, 0, 1)
    loads.load(File([THREE[0], THREE[2]]))
    assert loads.counts() == (4, 2, 0, 0, 2)


def test_a_withdrawn_row_leaves_no_older_version_behind(loads):
    loads.load(File([*THREE, order(4, 4)]))
    loads.load(File([*THREE, order(4, 4, kg="9")]))
    loads.load(File(THREE))
    assert loads.counts() == (5, 3, 0, 1, 1)
    assert sorted(standing_raw_rows(loads.lake, TABLE).collect()["order"]) == ["1", "2", "3"]


def test_a_file_that_did_not_change_is_not_read_again(loads):
    source = File(THREE)
    loads.load(source)
    loads.load(source)
    assert source.reads == 1
    loads.load(source, until=UNTIL + timedelta(days=1))
    assert source.reads == 2


def test_a_later_moment_over_an_unchanged_file_brings_what_happened_since(loads):
    source = File([*THREE, order(4, 70)])
    loads.load(source)
    assert loads.load(source, until=UNTIL + timedelta(days=60)).new_rows == 1


def test_a_rolling_export_withdraws_nothing_older_than_its_first_moment(loads):
    loads.load(File([order(number, number) for number in range(30)]))
    done = loads.load(File([order(number, number) for number in range(5, 33) if number != 20]))
    assert (done.new_rows, done.withdrawn) == (3, 1)
    assert loads.counts() == (33, 32, 0, 0, 1)


def test_rows_without_a_key_are_told_apart_by_all_that_is_in_them(tmp_path):
    loads = Loads(tmp_path, replace(TABLE, key=()))
    events = [order("", number // 2, kg=f"{number % 2}") for number in range(60)]
    loads.load(File([*events, events[-1]]))
    done = loads.load(File([*events[10:], events[-1], order("", 40)]))
    assert (done.new_rows, done.withdrawn) == (1, 0)
    assert loads.counts() == (62, 62, 0, 0, 0)
    done = loads.load(File([*events[10:], order("", 40)]))  # one of two equal ones is deleted
    assert (done.new_rows, done.withdrawn) == (0, 1)


@pytest.mark.parametrize("left", [[], THREE[:1]])
def test_a_whole_export_that_is_suddenly_small_fails_the_site_and_withdraws_nothing(tmp_path, left):
    loads = Loads(tmp_path, replace(TABLE, changes=Changes(known_by="whole")))
    loads.load(File(THREE))
    with pytest.raises(SourceError, match=r"site Ulm, table orders: [23] of the 3 rows .* more than the share 0\.5"):
        loads.load(File(left))
    assert loads.counts() == (3, 3, 0, 0, 0)
    loads.table = replace(TABLE, changes=Changes(known_by="whole", max_withdrawn_share=1.0))
    assert loads.load(File(left)).withdrawn == 3 - len(left)


def test_a_run_that_dies_between_its_two_commits_is_completed_by_the_next(loads):
    class DiesBetween(Lake):
        def append(self, table, *args, **how):
            if table.startswith("raw/"):
                raise KeyboardInterrupt
            return super().append(table, *args, **how)

    changed = File([order(1, 1, late="1"), THREE[2], order(4, 4)])
    loads.load(File(THREE))
    whole, loads.lake = loads.lake, DiesBetween(loads.lake.root.removesuffix("/line"), "line")
    with pytest.raises(KeyboardInterrupt):
        loads.load(changed)
    loads.lake = whole
    assert loads.counts() == (3, 2, 0, 0, 1)
    for _ in range(2):
        loads.load(changed)
        assert loads.counts() == (5, 3, 0, 1, 1)


def test_a_deletion_is_not_forgotten_though_newer_rows_move_the_window_on_and_the_run_died(tmp_path):
    class DiesAtSecond(Lake):
        commits = 0

        def append(self, *args, **how):
            self.commits += 1
            if self.commits == 2:
                raise KeyboardInterrupt
            return super().append(*args, **how)

    loads = Loads(tmp_path, replace(TABLE, changes=Changes(known_by="look_back", days=5, max_withdrawn_share=1.0)))
    loads.load(Plain([order(1, 6), order(2, 10)]))
    now = Plain([order(2, 10), order(3, 20)])
    whole, loads.lake = loads.lake, DiesAtSecond(loads.lake.root.removesuffix("/line"), "line")
    with pytest.raises(KeyboardInterrupt):
        loads.load(now)
    loads.lake = whole
    loads.load(now)
    assert [row[0] for row in loads.clean_rows()] == ["2", "3"]


def test_a_first_change_behind_the_cursor_is_seen_though_no_row_told_of_one_before(tmp_path):
    changing = replace(
        TABLE,
        columns={**COLUMNS, "changed": "Int64"},
        changes=Changes(known_by="change_column", column="changed", max_withdrawn_share=1.0),
    )

    class Changing(Plain):
        columns = changing.columns

        def read(self, table, *, site, after, until):
            if table.cursor != "changed":
                yield from super().read(table, site=site, after=after, until=until)
                return
            yield self.frame([row for row in self.rows if row[5] is None or after is None or int(row[5]) >= after])

    loads = Loads(tmp_path, changing)
    loads.load(Changing([(*order(1, 1), None), (*order(2, 9), None)]))
    loads.load(Changing([(*order(1, 1, late="1"), "1"), (*order(2, 9), None)]))
    assert loads.clean_rows() == [("1", 1.5, "1"), ("2", 1.5, None)]


def test_looking_back_reads_the_newest_days_and_withdraws_only_there(tmp_path):
    loads = Loads(tmp_path, replace(TABLE, changes=Changes(known_by="look_back", days=5, max_withdrawn_share=1.0)))
    loads.load(Plain([order(1, 1), order(2, 20), order(3, 22)]))
    done = loads.load(Plain([order(2, 20, late="1"), order(4, 21)]))
    assert (done.new_rows, done.withdrawn) == (2, 1)
    assert loads.clean_rows() == [("1", 1.5, None), ("2", 1.5, "1"), ("4", 1.5, None)]


@pytest.mark.parametrize(
    "now",
    [
        pytest.param([*THREE, order(4, 1)], id="a row that came late"),
        pytest.param([THREE[0], THREE[2]], id="a row that was deleted"),
    ],
)
def test_a_database_that_counts_other_rows_is_read_whole(loads, now):
    loads.load(Server(THREE))
    done = loads.load(Server(now))
    assert f"the source has {len(now)} rows" in done.remark
    assert [row[0] for row in loads.clean_rows()] == sorted(row[0] for row in now)
    source = Server(now)
    assert loads.load(source).remark == ""
    assert source.reads == 1


def test_a_database_that_gives_a_key_twice_is_not_read_whole_each_time(loads):
    twice = [order(1, 1), order(1, 2, kg="2"), order(2, 3)]
    loads.load(Server(twice))
    assert loads.load(Server(twice)).remark == ""
    assert loads.clean_rows() == [("1", 2.0, None), ("2", 1.5, None)]


def test_a_time_that_was_mended_behind_the_cursor_comes_in(loads):
    for kind in (File, Server):
        loads.load(kind([*THREE, order(4, "0000-00-00 00:00")]))
        assert loads.cleaned().quarantine["order"].to_list() == ["4"]
        loads.load(kind([*THREE, order(4, 1)]))
        assert loads.counts()[1:3] == (4, 0)


def test_a_clock_that_is_ahead_hides_nothing_that_comes_after_it(loads):
    loads.table = replace(TABLE, changes=Changes(known_by="append"))
    noon = datetime.fromisoformat("2024-01-05T12:00:00+00:00")
    far = datetime(2030, 1, 1)
    loads.load(Plain([order(1, 1), order(2, 300)]), until=far, clock=lambda: noon)
    loads.load(Plain([order(1, 1), order(2, 300), order(3, 5)]), until=far, clock=lambda: noon + timedelta(days=2))
    assert [row[0] for row in loads.clean_rows()] == ["1", "2", "3"]


CHANGED = replace(
    TABLE,
    columns={**COLUMNS, "kg": "Int64"},
    changes=Changes(known_by="change_column", column="kg", deleted=Deleted(column="late", values=("gone",))),
)


def test_what_a_change_column_tells_comes_in_and_a_deletion_withdraws_its_key(tmp_path):
    loads = Loads(tmp_path, replace(CHANGED, contract=()))
    loads.load(Plain([order(1, 1, kg="10"), order(2, 9, kg="11"), order(3, 3, kg="12")]))
    loads.load(Plain([order(1, 1, kg="13", late="gone"), order(2, 9, kg="11"), order(3, 3, kg="14", late="no")]))
    assert loads.clean_rows() == [("2", 11, None), ("3", 14, "no")]
    assert loads.counts() == (5, 2, 0, 2, 1)
    loads.load(Plain([order(1, 1, kg="15"), order(2, 9, kg="11"), order(3, 3, kg="14", late="no")]))
    assert loads.counts() == (6, 3, 0, 2, 1)


def test_a_row_that_changed_before_it_happens_comes_in_when_it_does(tmp_path):
    loads = Loads(tmp_path, replace(CHANGED, contract=()))
    rows = [order(1, 1, kg="10"), order(2, 90, kg="11"), order(3, 3, kg="12")]
    loads.load(Plain(rows))
    assert loads.load(Plain(rows), until=UNTIL + timedelta(days=60)).new_rows == 1


def test_a_change_log_is_in_the_order_of_its_changes_whatever_the_order_it_came_in(tmp_path):
    changes = Changes(known_by="change_log", column="kg", deleted=Deleted(column="late", values=("D",)))
    loads = Loads(tmp_path, replace(CHANGED, changes=changes, contract=()))
    log = [order(1, 1, kg="3", late="D"), order(1, 1, kg="1"), order(2, 1, kg="4", late="U"), order(2, 1, kg="2")]
    loads.load(Plain(log))
    assert loads.clean_rows() == [("2", 4, "U")]
    assert loads.counts() == (4, 1, 0, 2, 1)
    assert loads.load(Plain([*log, order(1, 1, kg="5", late="I")])).new_rows == 1
    assert loads.clean_rows() == [("1", 5, "I"), ("2", 4, "U")]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"known_by": "look_back"}, "look_back needs `days` above 0"),
        ({"known_by": "change_column"}, "change_column needs `column`"),
        ({"known_by": "append", "days": 3}, "days is for known_by look_back, not append"),
        ({"rolling": True}, "rolling is for known_by whole, not left out"),
        ({"max_withdrawn_share": 0}, "max_withdrawn_share is 0; it must be above 0"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(said, why):
    with pytest.raises(LineError, match=why):
        Changes(**said)


def test_a_table_refuses_ways_it_cannot_go():
    with pytest.raises(LineError, match="changes names 'when', which is not among its columns"):
        replace(TABLE, changes=Changes(known_by="change_column", column="when"))
    with pytest.raises(LineError, match="look_back counts days before the cursor, which is String"):
        replace(TABLE, cursor="order", changes=Changes(known_by="look_back", days=3))
    with pytest.raises(LineError, match="needs a `key`"):
        replace(CHANGED, key=())
