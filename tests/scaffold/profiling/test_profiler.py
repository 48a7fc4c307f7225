"""Promises of the profile: what it finds in a table, and that the table need not fit into memory."""

import subprocess
import sys
from datetime import UTC, date, datetime

import polars as pl
import pytest

from factory.scaffold.profiling.counting import Counts, Distinct
from factory.scaffold.profiling.profiler import Asked, profiled
from factory.scaffold.profiling.sampling import RowSample

ROWS = 300


def profile(tmp_path, columns, **named):
    frame = pl.DataFrame({"y": [n % 2 for n in range(ROWS)], **columns})
    frame.write_csv(tmp_path / "table.csv")
    return profiled(Asked(at="table.csv", target="y", **named), tmp_path)


def texts(pattern):
    return [date(2020, 1, 1).fromordinal(737425 + n).strftime(pattern) for n in range(ROWS)]


@pytest.mark.parametrize(
    ("pattern", "format_"),
    [
        ("%Y-%m-%d", "%Y-%m-%d"),
        ("%d.%m.%Y", "%d.%m.%Y"),
        ("%d/%m/%Y", "%d/%m/%Y"),
        ("%m/%d/%Y", "%m/%d/%Y"),
        ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%.f%z"),
        ("%d %B %Y", "%d %B %Y"),
    ],
)
def test_the_format_of_dates_is_found_where_day_and_month_can_be_told_apart(pattern, format_, tmp_path):
    shape = profile(tmp_path, {"day": texts(pattern)}).columns["day"].shape
    assert shape.format == format_
    assert not shape.also


@pytest.mark.parametrize(
    ("values", "time"),
    [(texts("%Y-%m-%d"), "count"), ([n % 7 for n in range(ROWS)], ""), ([f"a{n % 7}" for n in range(ROWS)], "")],
)
def test_a_column_may_be_called_count(tmp_path, values, time):
    told = profile(tmp_path, {"count": values}, time=time)
    assert told.columns["count"].counts.distinct.count == len(set(values))


@pytest.mark.parametrize("values", [["b", "a"] * 50, ["a", "b"] * 50])
def test_values_that_are_as_often_come_in_one_order_in_every_run(values):
    counts = Counts(distinct=Distinct(limit=10_000))
    counts.see(pl.Series("letter", values))
    assert list(counts.values) == ["a", "b"]


def test_of_two_formats_that_fit_time_takes_the_one_in_which_it_goes_forward(tmp_path):
    days = [f"{1 + n // 60:02}/{1 + n // 5 % 12:02}/2024" for n in range(ROWS)]
    found = profile(tmp_path, {"day": days}, time="day").columns["day"].shape
    assert {found.format, found.also} == {"%d/%m/%Y", "%m/%d/%Y"}
    assert found.format == "%m/%d/%Y"


@pytest.mark.parametrize(("factor", "format_"), [(1, "epoch_s"), (1_000, "epoch_ms"), (1_000_000, "epoch_us")])
def test_a_number_that_counts_time_is_a_moment(factor, format_, tmp_path):
    start = 1_700_000_000
    found = profile(tmp_path, {"ts": [(start + n * 3600) * factor for n in range(ROWS)]}, time="ts")
    assert found.columns["ts"].shape.format == format_
    assert found.columns["ts"].counts.low == datetime.fromtimestamp(start, tz=UTC)


@pytest.mark.parametrize(
    ("values", "kind", "holds"),
    [
        ([str(n % 9) for n in range(ROWS)], "Int64", "number"),
        ([f"{n % 9}.5" for n in range(ROWS)], "Float64", "number"),
        ([f"00{n % 9}" for n in range(ROWS)], "String", "category"),
        (["true" if n % 3 else "false" for n in range(ROWS)], "Boolean", "flag"),
        ([f"thing {n} of many more" for n in range(ROWS)], "String", "text"),
        ([f"k{n}" for n in range(ROWS)], "String", "id"),
        (["same"] * ROWS, "String", "constant"),
        ([None] * ROWS, "String", "nothing"),
        (["?" if n % 5 == 0 else str(n % 7) for n in range(ROWS)], "Int64", "number"),
    ],
)
def test_what_a_column_holds_is_seen(values, kind, holds, tmp_path):
    column = profile(tmp_path, {"x": pl.Series(values, dtype=pl.String)}).columns["x"]
    assert (column.kind, column.holds) == (kind, holds)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("Contact", "ada{n}@example.org", "an e-mail address"),
        ("line", "+49 221 {n}4567", "a telephone number"),
        ("account", "DE89 3704 0044 0532 0130 {n}", "a bank account"),
        ("customer name", "Ada {n}", "a name of a person"),
        ("where", "{n} Main Street", "an address"),
        ("dateOfBirth", "19{n}-01-01", "a birth date"),
    ],
)
def test_personal_data_is_suspected_by_name_and_by_pattern(name, value, kind, tmp_path):
    found = profile(tmp_path, {name: [value.format(n=10 + n % 80) for n in range(ROWS)]})
    assert [one.why for one in found.personal] == [f"may hold {kind}"]


def test_a_key_is_found_and_no_measurement_is_taken_for_one(tmp_path):
    numbers = {"weight": [n * 7919 % 100_003 / 10 for n in range(ROWS)]}
    assert profile(tmp_path, numbers).key == ()
    assert profile(tmp_path, {**numbers, "order_id": list(range(ROWS))}).key == ("order_id",)
    days = texts("%Y-%m-%d")
    machines = {"machine": [f"m{n % 3}" for n in range(ROWS)], "day": [days[n // 3] for n in range(ROWS)], **numbers}
    assert profile(tmp_path, machines, time="day", entity="machine").key == ("machine", "day")


def test_distinct_values_are_counted_exactly_up_to_the_limit_and_estimated_beyond():
    few, many = Counts(distinct=Distinct(limit=1_000)), Counts(distinct=Distinct(limit=1_000))
    for start in range(0, 50_000, 5_000):
        few.see(pl.Series([n % 800 for n in range(start, start + 5_000)]))
        many.see(pl.Series(range(start, start + 5_000)))
    assert (few.distinct.count, few.distinct.exact, few.distinct.repeated) == (800, True, True)
    assert not many.distinct.exact
    assert not many.distinct.repeated
    assert 40_000 < many.distinct.count < 60_000


def test_the_sample_is_even_and_the_same_every_time():
    def drawn():
        sample = RowSample(1_000)
        for start in range(0, 100_000, 10_000):
            sample.see(pl.DataFrame({"n": range(start, start + 10_000)}))
        return sample.taken()["n"]

    first = drawn()
    assert first.to_list() == drawn().to_list()
    assert 5_000 <= len(first) <= 10_000
    assert 45_000 < first.mean() < 55_000


ROWS_OF_BLOCK = 100_000
STREAM = """
import sys, threading, time
from pathlib import Path
from factory.scaffold.profiling.profiler import Asked, profiled

def own_kb():  # pages of the file itself are the kernel's to drop, and no measure
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

peak, over = [own_kb()], threading.Event()
def watch():
    while not over.wait(0.01):
        peak.append(own_kb())

threading.Thread(target=watch, daemon=True).start()
found = profiled(Asked(at=sys.argv[1], target="y"), Path("/"))
over.set()
print(found.rows, max(peak) - peak[0])
"""


@pytest.mark.slow
def test_a_table_is_streamed_and_memory_stays_while_it_grows(tmp_path):
    block = pl.DataFrame(
        {
            "y": [n % 2 for n in range(ROWS_OF_BLOCK)],
            **{f"x{k}": [f"{n * k % 99_991} of them" for n in range(ROWS_OF_BLOCK)] for k in range(1, 9)},
        }
    )
    peaks_mb = []
    for blocks in (4, 20):
        path = tmp_path / f"{blocks}.csv"
        with path.open("wb") as file:
            for number in range(blocks):
                block.write_csv(file, include_header=number == 0)
        done = subprocess.run([sys.executable, "-c", STREAM, str(path)], capture_output=True, text=True, check=True)
        rows, peak_kb = map(int, done.stdout.split())
        assert rows == blocks * ROWS_OF_BLOCK
        peaks_mb.append(peak_kb / 1e3)
    assert path.stat().st_size > 200e6
    assert peaks_mb[1] < peaks_mb[0] + 100, f"{peaks_mb} MB for five times as many rows"
