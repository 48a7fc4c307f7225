"""Silence is told: a site missing from an export, an empty export, no rows for longer than there ever were none."""

from dataclasses import replace
from datetime import datetime

import polars as pl
import pytest

from factory.connectors.source import Beyond
from factory.line.freshness import Freshness
from factory.monitoring.findings import FINDINGS, standing
from factory.reports.status import line_status
from factory.storage.home import Home
from factory.storage.journal import Journal
from tests.toy.orders import OrdersRun, Plants, orders, orders_line


class Told:
    """Keeps the alerts."""

    def __init__(self):
        self.texts = []

    def tell(self, kind, text, **facts):
        self.texts.append((kind, facts["about"], text))
        return True


class Exports(OrdersRun):
    """A line whose source is replaced by each export: hours of north and south that it has orders of."""

    def __init__(self, home, **line):
        super().__init__(home, line=replace(orders_line(announced=False, across_sites=()), **line), rows=orders())
        self.alerts = Told()

    def load(self, until, north=(), south=(), sites=("north", "south")):
        hours = [*(("north", hour) for hour in north), *(("south", hour) for hour in south)]
        self.source.rows = orders(*((plant, hour - 1, hour, hour) for plant, hour in hours)).with_columns(
            order=pl.Series([hour * 2 + (plant == "south") for plant, hour in hours], dtype=pl.Int64), size=pl.lit(1.0)
        )
        return self.run(list(sites), until, ("raw",))

    @property
    def stands(self):
        found = Journal(self.lake).latest(FINDINGS)
        return {site: standing(entry.figures) for site, entry in found.items() if standing(entry.figures)}


@pytest.fixture
def line(tmp_path):
    return Exports(tmp_path)


class Foreseeing(Plants):
    """Plants one of whose clocks is ahead."""

    ahead = 0

    def beyond(self, table, until):
        latest = datetime(2999, 1, 1)
        return {"north": Beyond(7, self.ahead, latest), "south": Beyond(5, 0, until)}


def test_rows_that_a_clock_wrote_ahead_are_told_once_and_stand_and_later_ones_are_counted(line):
    line.source = Foreseeing(line.source.rows)
    for ahead in (0, 2, 3):
        line.source.ahead = ahead
        line.load(48, range(48), range(48))
    assert line.stands == {
        "north": [
            "table orders: 3 rows tell a moment that is still to come, the latest 2999-01-01 00:00:00: they are left "
            "at the source until then; mend due_at there or the clock that writes it, or declare `announced` where "
            "rows are known before they happen"
        ]
    }
    assert [about for _, about, _ in line.alerts.texts] == ["clock ahead"]
    assert any("12 rows are not before" in text for text in line.said)
    line.source.ahead = 0
    line.load(48, range(48), range(48))
    assert line.stands == {}


def test_a_site_that_is_missing_from_an_export_is_told_once_and_stands_until_it_is_there_again(line):
    line.load(48, range(48), range(48))
    assert line.stands == {}
    for until in (72, 96):
        line.load(until, range(until), sites=["north"])
        assert list(line.stands) == ["south"]
    assert len(line.alerts.texts) == 1
    assert line.alerts.texts[0][:2] == ("data", "missing from export")
    assert line.alerts.texts[0][2].startswith("south: table orders: the source has no row of it any more")
    assert "factory site remove orders SITE" in line.alerts.texts[0][2]
    assert line_status(Home.at(line.home), "orders")["south"]["findings"] == line.stands["south"]
    line.load(120, range(120), range(120))
    assert line.stands == {}


def test_a_site_that_came_back_is_told_again_only_when_it_is_silent_for_longer_than_before(line):
    line.load(48, range(48), range(48))
    line.load(72, range(72), sites=["north"])
    line.load(96, range(96), range(96))
    line.load(120, range(120), sites=["north"])
    assert line.stands == {}
    line.load(168, range(168), sites=["north"])
    assert list(line.stands) == ["south"]


def test_an_empty_export_is_told_in_one_sentence_for_all_sites(line):
    line.load(48, range(48), range(48))
    heard = line.load(72)
    assert heard.failed_steps == []
    ((_, _, text),) = line.alerts.texts
    assert text == (
        "north, south: table orders: the source has no row at all before 2024-05-04; look at the export. What the lake "
        "has stays"
    )


def test_no_rows_for_longer_than_ever_are_told_and_are_usual_from_then_on(line):
    weekly = [day * 168 + hour for day in range(1) for hour in range(24)]
    line.load(24, weekly, weekly)
    line.load(48, weekly, weekly)  # a day without rows, where there was never more than an hour
    assert sorted(line.stands) == ["north", "south"]
    assert "no row came since 2024-05-01 23:00 UTC, for longer than ever before (60 minutes)" in line.stands["north"][0]
    line.load(200, [*weekly, *range(170, 200)], [*weekly, *range(170, 200)])
    assert line.stands == {}
    line.load(300, [*weekly, *range(170, 200)], [*weekly, *range(170, 200)])  # four days: less than that week
    assert line.stands == {}
    line.load(400, [*weekly, *range(170, 200)], [*weekly, *range(170, 200)])
    assert sorted(line.stands) == ["north", "south"]
    assert len(line.alerts.texts) == 2


def test_a_gap_that_the_rows_themselves_have_is_usual(line):
    nights = [day * 24 + hour for day in range(5) for hour in range(8)]
    line.load(110, nights, nights)
    line.load(119, nights, nights)
    assert line.stands == {}
    line.load(130, nights, nights)
    assert sorted(line.stands) == ["north", "south"]


def test_a_source_that_is_always_behind_is_not_silent(line):
    for until in (72, 96, 120):
        line.load(until, range(until - 48), range(until - 48))
    assert line.stands == {}


def test_a_silent_site_stops_alone_where_the_lines_file_says_so(tmp_path):
    line = Exports(tmp_path, freshness=Freshness(silent="stop"))
    line.load(48, range(48), range(48))
    heard = line.load(72, range(72), range(48))
    assert [(step, site) for step, site, _ in heard.failed_steps] == [("raw/orders", "south")]
    assert "no row came since 2024-05-02 23:00 UTC" in heard.failed_steps[0][2]
    assert ("raw/orders", "north") in heard.done
    assert line.load(96, range(96), range(96)).failed_steps == []


def test_the_moment_that_the_line_looks_as_of_decides_and_an_earlier_one_finds_nothing(line):
    line.load(48, range(48), range(48))
    line.load(24, range(24), sites=["north"])
    assert line.stands == {}


def test_rows_that_name_no_site_are_counted_and_made_no_site(line):
    line.load(48, range(48), range(48))
    rows = line.source.rows.with_columns(plant=pl.when(pl.col("order") < 6).then(None).otherwise(pl.col("plant")))

    class Unnamed(type(line.source)):
        def sites(self, table, until):
            return ["north", "south", "unknown"]

        def read(self, table, *, site, after, until):
            mine = self.rows.filter(pl.col("plant").fill_null("unknown") == site)
            yield mine if after is None else mine.filter(pl.col("due_at") >= after)

    line.source = Unnamed(rows)
    assert line.run(["north", "south"], 48, ("raw", "clean")).failed_steps == []
    assert line.stands == {
        "_line": [
            "table orders: 6 rows name no site, for plant is empty or says nothing: they wait in quarantine; fill it "
            "in at the source, or say whose they are: `site_names: {mapping: …}`"
        ]
    }
    waiting = line.lake.scan("quarantine", ["unknown"]).collect()
    assert waiting["rule"].str.contains("plant: to name a site").all()
    assert "unknown" not in line_status(Home.at(line.home), "orders")


def test_what_could_not_be_loaded_stands_until_it_is(line):
    line.load(48, range(48), range(48))
    line.source.broken = ["south"]
    heard = line.load(72, range(72), range(72))
    assert [site for _, site, _ in heard.failed_steps] == ["south"]
    assert line.stands == {"south": ["the line to south was cut"]}
    assert line.alerts.texts == []
    line.source.broken = []
    line.load(96, range(96), range(96))
    assert line.stands == {}
