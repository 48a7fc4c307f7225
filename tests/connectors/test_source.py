"""What a source of one's own can lean on: the rows it is to give and each site's newest, of texts as of typed rows."""

from datetime import UTC, datetime

import polars as pl
import pytest

from factory.connectors.source import in_window, newest_of
from factory.line.line import Table
from factory.line.site_names import SiteNames

MOMENTS = ["2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z", "0000-00-00", None, "2024-02-01T00:00:00Z"]
TEXTS = pl.DataFrame({"plant": ["Ulm", "Ulm ", "Ulm", "Kiel", "Kiel"], "at": MOMENTS})
FIRST, SECOND, LAST = (datetime(2024, month, day, tzinfo=UTC) for month, day in ((1, 1), (1, 3), (2, 1)))
READ = [FIRST, SECOND, None, None, LAST]
TYPED = TEXTS.with_columns(pl.Series("at", READ))
UNTIL = datetime(2024, 1, 31)


def table(cursor="at"):
    return Table(
        name="loads",
        columns={"plant": "String", "at": "Datetime[us, UTC]"},
        key=("at",),
        cursor=cursor,
        site_column="plant",
        site_names=SiteNames(trim=True),
        contract=(),
        repair=lambda rows: rows,
    )


@pytest.mark.parametrize("rows", [TEXTS, TYPED], ids=["texts", "typed"])
def test_rows_of_a_window_and_those_whose_cursor_cannot_be_read_are_given(rows):
    after = datetime(2024, 1, 2, tzinfo=UTC)
    assert in_window(rows, table(), after, UNTIL)["plant"].to_list() == ["Ulm ", "Ulm", "Kiel"]
    assert in_window(rows, table(""), None, UNTIL).equals(rows)


@pytest.mark.parametrize("rows", [TEXTS, TYPED], ids=["texts", "typed"])
def test_each_sites_newest_moment_is_of_the_declared_type_and_one_that_cannot_be_read_is_none(rows):
    assert newest_of(rows, table()) == {"Kiel": LAST, "Ulm": SECOND}
    assert newest_of(rows, table("")) == {"Kiel": 2, "Ulm": 3}
