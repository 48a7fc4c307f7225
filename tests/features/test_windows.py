"""Promises of the point-in-time answers, against a brute-force oracle that looks at every event for every query."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.features.windows import AT, QUERY, Total, last_before, totals_before

START = datetime(2024, 3, 10, tzinfo=UTC)
TOTALS = {
    "hour": Total(of="x", length=timedelta(minutes=60)),
    "day": Total(of="x", length=timedelta(minutes=90)),
    "ever": Total(of="y", length=None),
}
Event = tuple[str | None, int | None, int, int | None, int | None]
Query = tuple[str | None, int | None, int]

GROUP = (st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, None]))
MINUTE = st.integers(0, 240)
VALUE = st.one_of(st.none(), st.integers(-9, 9))
EVENTS = st.lists(st.tuples(*GROUP, MINUTE, VALUE, VALUE), max_size=25)
QUERIES = st.lists(st.tuples(*GROUP, MINUTE), min_size=1, max_size=12)


def moment(minute: pl.Expr) -> pl.Expr:
    return (pl.lit(START) + pl.duration(minutes=minute)).dt.cast_time_unit("us").alias(AT)


def events_frame(events: Iterable[Event]) -> pl.LazyFrame:
    schema = {"g": pl.String, "h": pl.Int64, "m": pl.Int64, "x": pl.Int64, "y": pl.Int64}
    return pl.LazyFrame(list(events), schema=schema, orient="row").with_columns(moment(pl.col("m")))


def queries_frame(queries: Iterable[Query]) -> pl.LazyFrame:
    rows = pl.LazyFrame(list(queries), schema={"g": pl.String, "h": pl.Int64, "m": pl.Int64}, orient="row")
    return rows.with_row_index(QUERY).with_columns(moment(pl.col("m")))


def seen_by(query: Query, events: Sequence[Event], minutes: int | None) -> list[Event]:
    """Return what a query may know: its own group, strictly before it, and not before its window."""
    group, number, now = query
    return [
        event
        for event in events
        if event[:2] == (group, number) and event[2] < now and (minutes is None or event[2] >= now - minutes)
    ]


@settings(deadline=None, max_examples=60)
@given(EVENTS, QUERIES)
def test_a_total_holds_exactly_the_events_strictly_before_the_query_and_inside_its_window(
    events: list[Event], queries: list[Query]
) -> None:
    found = totals_before(queries_frame(queries), events_frame(events), by=["g", "h"], totals=TOTALS).collect()
    answers = {row[QUERY]: row for row in found.iter_rows(named=True)}
    for number, query in enumerate(queries):
        if None in query:
            assert number not in answers
            continue
        assert answers[number]["hour"] == sum(event[3] or 0 for event in seen_by(query, events, 60))
        assert answers[number]["day"] == sum(event[3] or 0 for event in seen_by(query, events, 90))
        assert answers[number]["ever"] == sum(event[4] or 0 for event in seen_by(query, events, None))


@settings(deadline=None, max_examples=60)
@given(EVENTS, QUERIES)
def test_the_last_event_is_given_as_a_whole_with_its_nulls_and_only_while_fresh(
    events: list[Event], queries: list[Query]
) -> None:
    single = list({event[:3]: event for event in events}.values())  # at one moment any may be taken: leave one
    found = last_before(
        queries_frame(queries), events_frame(single), by=["g", "h"], values=["x", "y"], within=timedelta(minutes=45)
    ).collect()
    answers = {row[QUERY]: (row["x"], row["y"]) for row in found.iter_rows(named=True)}
    for number, query in enumerate(queries):
        if None in query:
            assert number not in answers
            continue
        seen = sorted(seen_by(query, single, 45), key=lambda event: event[2])
        assert answers[number] == (seen[-1][3:] if seen else (None, None))


def test_an_event_without_a_moment_is_never_seen() -> None:
    events = events_frame([("a", 1, 5, 3, 4)]).with_columns(pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias(AT))
    found = totals_before(queries_frame([("a", 1, 60)]), events, by=["g", "h"], totals=TOTALS).collect()
    assert found.select("hour", "ever").row(0) == (0.0, 0.0)


def test_the_order_of_rows_changes_nothing() -> None:
    events: list[Event] = [("a", 1, minute % 97, minute % 7, 1) for minute in range(200)]
    queries: list[Query] = [("a", 1, minute) for minute in range(0, 120, 7)]
    straight = totals_before(queries_frame(queries), events_frame(events), by=["g", "h"], totals=TOTALS)
    turned = totals_before(queries_frame(queries), events_frame(events[::-1]), by=["g", "h"], totals=TOTALS)
    assert straight.collect().sort(QUERY).equals(turned.collect().sort(QUERY))
