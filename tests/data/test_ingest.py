"""Ingestion: every source row once, exactly as it came; a source that dies leaves nothing half-written."""

from dataclasses import replace
from datetime import datetime
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.data.ingest import ingest
from factory.data.raw_rows import standing_raw_rows, stored_raw_rows
from factory.errors import SchemaMismatch, SourceError
from factory.line.line import Table
from factory.storage.lake import Lake

UNTIL = datetime(2013, 5, 1)
COLUMNS = {"order": "Int64", "day": "Int64", "amount": "Float64", "site": "String"}
TABLE = Table(
    name="orders",
    columns=COLUMNS,
    key=("order",),
    cursor="day",
    site_column="site",
    contract=(),
    repair=lambda rows: rows,
)


class Orders:
    """A source in memory: batches of one row; dies where it is told to."""

    def __init__(self, rows, dies_after=None):
        self.rows, self.dies_after = rows, dies_after

    def sites(self, table, until):
        return sorted({row[3] for row in self.rows})

    def read(self, table, *, site, after, until):
        mine = [row for row in self.rows if row[3] == site and (after is None or row[1] >= after)]
        for number, row in enumerate(mine):
            if number == self.dies_after:
                raise SourceError("connection lost")
            yield pl.DataFrame([row], schema={name: getattr(pl, kind) for name, kind in COLUMNS.items()}, orient="row")


class PooledOrders(Orders):
    """The same, read once for all sites; counts how often it is read."""

    passes = 0

    def read_sites(self, table, *, after, until):
        self.passes += 1
        for site, cursor in after.items():
            for batch in self.read(table, site=site, after=cursor, until=until):
                yield site, batch


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path, "line")


def raw(lake):
    return lake.scan("raw/orders").sort("site", "_load", "_row").collect()


THREE = [(1, 1, 1.0, "A"), (2, 2, None, "A"), (3, 2, 3.0, "B")]


def test_rows_are_kept_exactly_as_they_came(lake):
    found = ingest(lake, Orders(THREE), TABLE, ["A", "B"], UNTIL)
    assert {site: got.new_rows for site, got in found.done.items()} == {"A": 2, "B": 1}
    assert raw(lake).select(list(COLUMNS)).rows() == THREE


def test_a_column_that_is_declared_since_is_null_before_and_its_rows_come_in(lake):
    less = replace(TABLE, columns={name: kind for name, kind in COLUMNS.items() if name != "amount"})

    class Bare(Orders):
        def read(self, table, *, site, after, until):
            yield from (rows.drop("amount") for rows in super().read(table, site=site, after=after, until=until))

    ingest(lake, Bare(THREE), less, ["A", "B"], UNTIL)
    found = ingest(lake, Orders([*THREE, (4, 3, 4.0, "A")]), TABLE, ["A", "B"], UNTIL)
    assert found.failed == {}
    rows = stored_raw_rows(lake, TABLE).sort("order", "_load").select("order", "amount").collect().rows()
    assert rows == [(1, None), (2, None), (3, None), (3, 3.0), (4, 4.0)]  # 3 is read again, at the cursor's own day
    assert stored_raw_rows(lake, less).collect_schema().names() == [*less.columns, "_load", "_row", "_cursor"]


def test_a_value_of_another_type_is_kept_as_text_beside_and_no_value_is_bent(lake):
    class Whole(Orders):
        def read(self, table, *, site, after, until):
            batches = super().read(table, site=site, after=after, until=until)
            yield from (rows.with_columns(pl.col("amount").cast(pl.Int64)) for rows in batches)

    ingest(lake, Whole(THREE), TABLE, ["A", "B"], UNTIL)
    assert ingest(lake, Orders([(4, 3, 4.5, "A")]), TABLE, ["A"], UNTIL).failed == {}
    kept = raw(lake).filter(pl.col("order") == 4).select("amount", "amount__text").rows()
    assert kept == [(None, "4.5")]
    typed = standing_raw_rows(lake, TABLE).sort("order").select("amount").collect()["amount"].to_list()
    assert typed == [1.0, None, 3.0, 4.5]


def test_loading_again_adds_nothing_and_commits_nothing(lake):
    ingest(lake, Orders(THREE), TABLE, ["A", "B"], UNTIL)
    version = lake.version("raw/orders")
    found = ingest(lake, Orders(THREE), TABLE, ["A", "B"], UNTIL)
    assert [got.new_rows for got in found.done.values()] == [0, 0]
    assert lake.version("raw/orders") == version


def test_only_what_came_since_is_added(lake):
    ingest(lake, Orders(THREE), TABLE, ["A"], UNTIL)
    later = [*THREE, (4, 2, 4.0, "A"), (5, 3, 5.0, "A")]
    assert ingest(lake, Orders(later), TABLE, ["A"], UNTIL).done["A"].new_rows == 2
    assert raw(lake)["_load"].to_list() == [1, 1, 2, 2]


def test_a_corrected_row_comes_in_as_a_new_version_of_its_key(lake):
    ingest(lake, Orders(THREE), TABLE, ["A"], UNTIL)
    ingest(lake, Orders([THREE[0], (2, 2, 9.0, "A")]), TABLE, ["A"], UNTIL)
    assert raw(lake).filter(pl.col("order") == 2)["amount"].to_list() == [None, 9.0]


def test_a_correction_that_is_taken_back_is_the_newest_version_again(lake):
    right, wrong = (2, 2, 2.0, "A"), (2, 2, 9.0, "A")
    for row in (right, wrong, right, right):
        ingest(lake, Orders([THREE[0], row]), TABLE, ["A"], UNTIL)
    assert raw(lake).filter(pl.col("order") == 2)["amount"].to_list() == [2.0, 9.0, 2.0]


def test_a_source_that_tells_a_row_and_its_correction_each_time_adds_nothing(lake):
    both = [THREE[0], (2, 2, 2.0, "A"), (2, 2, 9.0, "A")]
    ingest(lake, Orders(both), TABLE, ["A"], UNTIL)
    assert ingest(lake, Orders(both), TABLE, ["A"], UNTIL).done["A"].new_rows == 0


def test_rows_that_the_source_repeats_are_all_kept(lake):
    twice = [THREE[0], THREE[0]]
    ingest(lake, Orders(twice), TABLE, ["A"], UNTIL)
    ingest(lake, Orders(twice), TABLE, ["A"], UNTIL)
    assert len(raw(lake)) == 2


def test_a_source_that_dies_half_way_leaves_nothing_and_the_next_run_completes(lake):
    found = ingest(lake, Orders(THREE, dies_after=1), TABLE, ["A", "B"], UNTIL)
    assert set(found.failed) == {"A"}
    assert raw(lake)["site"].to_list() == ["B"]
    found = ingest(lake, Orders(THREE), TABLE, ["A", "B"], UNTIL)
    assert {site: got.new_rows for site, got in found.done.items()} == {"A": 2, "B": 0}
    assert raw(lake).select(list(COLUMNS)).rows() == THREE


def test_a_site_the_source_does_not_know_fails_alone_and_says_what_to_do(lake):
    found = ingest(lake, Orders(THREE), TABLE, ["A", "C"], UNTIL)
    assert set(found.done) == {"A"}
    assert "site C, table orders: the source has no rows before 2013-05-01" in str(found.failed["C"])


@pytest.mark.parametrize("site", ["a/b", "..", "a b"])
def test_an_unsafe_site_name_never_reaches_the_lake(lake, site, tmp_path):
    found = ingest(lake, Orders([(1, 1, 1.0, site)]), TABLE, [site], UNTIL)
    assert "is refused" in str(found.failed[site])
    assert not lake.has("raw/orders")


class Renamed(Orders):
    def read(self, table, **how):
        for batch in super().read(table, **how):
            yield batch.rename({"amount": "amounts"})


def test_an_unknown_column_is_named_and_nothing_is_written(lake):
    found = ingest(lake, Renamed(THREE), TABLE, ["A"], UNTIL)
    assert isinstance(found.failed["A"], SchemaMismatch)
    assert "amounts" in str(found.failed["A"])
    assert not lake.has("raw/orders")


def test_two_runs_that_load_one_site_at_once_do_not_double_its_rows(lake):
    """The second run has read before the first has written."""

    class Interrupted(Orders):
        def read(self, table, **how):
            yield from super().read(table, **how)
            ingest(lake, Orders(THREE), TABLE, ["A"], UNTIL)

    found = ingest(lake, Interrupted(THREE), TABLE, ["A"], UNTIL)
    assert "another run wrote raw/orders for A meanwhile" in str(found.failed["A"])
    assert len(raw(lake)) == 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4), st.sampled_from([1.0, 2.0, None]), st.sampled_from("ABC")))
)
def test_one_pass_over_all_sites_brings_in_what_a_pass_for_each_does(rows):
    """In two loads, the second with later and corrected rows, whatever cursor each site is at."""
    with TemporaryDirectory() as folder:
        lakes = [Lake(f"{folder}/{kind}", "line") for kind in ("alone", "pooled")]
        for part in (rows[: len(rows) // 2], rows):
            pooled = PooledOrders(part)
            found = [
                ingest(lakes[0], Orders(part), TABLE, ["A", "B"], UNTIL),
                ingest(lakes[1], pooled, TABLE, ["A", "B"], UNTIL),
            ]
            assert found[0].done == found[1].done
            assert set(found[0].failed) == set(found[1].failed)
            assert found[1].failed or pooled.passes == 1
        if lakes[0].has("raw/orders"):
            assert raw(lakes[0]).equals(raw(lakes[1]))


def test_a_site_whose_rows_are_bad_fails_alone_though_all_are_read_at_once(lake):
    class Spoiled(PooledOrders):
        def read(self, table, *, site, after, until):
            for batch in super().read(table, site=site, after=after, until=until):
                yield batch.drop("amount") if site == "B" else batch

    found = ingest(lake, Spoiled(THREE), TABLE, ["A", "B"], UNTIL)
    assert {site: got.new_rows for site, got in found.done.items()} == {"A": 2}
    assert isinstance(found.failed["B"], SchemaMismatch)
    assert set(raw(lake)["site"]) == {"A"}


def test_a_lake_from_when_raw_rows_were_typed_goes_on_with_rows_as_they_come(lake):
    before = pl.DataFrame(THREE, schema={name: getattr(pl, kind) for name, kind in COLUMNS.items()}, orient="row")
    numbered = before.with_columns(_load=pl.lit(1, pl.Int64), _row=pl.int_range(pl.len()).over("site"))
    lake.append("raw/orders", numbered, lake.site_versions("raw/orders", ["A", "B"]))

    class Texts(Orders):
        def read(self, table, *, site, after, until):
            batches = super().read(table, site=site, after=after, until=until)
            yield from (rows.with_columns(pl.all().exclude("site").cast(pl.String)) for rows in batches)

    found = ingest(lake, Texts([*THREE, (4, 3, 4.5, "A")]), TABLE, ["A", "B"], UNTIL)
    assert found.failed == {}
    newest = standing_raw_rows(lake, TABLE).sort("order", "_load").unique("order", keep="last", maintain_order=True)
    assert newest.select(list(COLUMNS)).collect().rows() == [*THREE, (4, 3, 4.5, "A")]
    assert ingest(lake, Texts([*THREE, (4, 3, 4.5, "A")]), TABLE, ["A", "B"], UNTIL).done["A"].new_rows == 0
