"""Each trap of the real data, on the real rows: midnight, 2400, daylight saving, nulls, tails, repeated hours."""

import polars as pl
import pytest

from tests.lines.departures import SOURCE, YEAR_END, raw, repaired, table


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return repaired("flights", raw("flights"))


def clock(moment: pl.Expr) -> pl.Expr:
    return moment.dt.hour().cast(pl.Int64) * 100 + moment.dt.minute()


def in_new_york(column: str) -> pl.Expr:
    return pl.col(column).dt.convert_time_zone("America/New_York")


@pytest.mark.parametrize("name", ["flights", "weather", "planes"])
def test_repair_gives_exactly_the_rows_it_gets(name: str) -> None:
    rows = raw(name)
    assert len(repaired(name, rows)) == len(rows)


def test_site_survives_and_no_column_is_private(flights: pl.DataFrame) -> None:
    assert flights["site"].equals(flights["carrier"], check_names=False)
    assert not [name for name in flights.columns if name.startswith("_")]


def test_scheduled_departure_in_utc_is_the_local_one_on_every_day_of_the_year(flights: pl.DataFrame) -> None:
    local = in_new_york("sched_dep_utc")
    wrong = flights.filter(
        (clock(local) != pl.col("sched_dep_time"))
        | (local.dt.day() != pl.col("day"))
        | (local.dt.month() != pl.col("month"))
        | (local.dt.weekday() != pl.col("weekday"))
    )
    assert wrong.is_empty()
    assert flights["sched_dep_utc"].null_count() == 0


def test_departure_in_utc_is_what_the_clock_showed_across_midnight_and_daylight_saving(flights: pl.DataFrame) -> None:
    wrong = flights.filter(clock(in_new_york("dep_utc")) != pl.col("dep_time"))
    assert wrong.is_empty()
    next_day = in_new_york("dep_utc").dt.day() != pl.col("day")
    assert flights.filter(next_day).height > 800


def test_the_29_departures_at_2400_left_at_midnight(flights: pl.DataFrame) -> None:
    at_2400 = (raw("flights")["dep_time"] == 2400).fill_null(value=False)
    assert at_2400.sum() == 29
    midnight = flights.filter(at_2400)
    assert midnight["dep_time"].unique().to_list() == [0]
    assert midnight.select(clock(in_new_york("dep_utc")).unique()).to_series().to_list() == [0]


def test_the_8255_cancelled_flights_stay_with_no_departure_and_a_schedule(flights: pl.DataFrame) -> None:
    cancelled = flights.filter(pl.col("dep_time").is_null())
    assert len(cancelled) == 8255
    assert cancelled["dep_utc"].null_count() == cancelled["arr_utc"].null_count() == 8255
    assert cancelled["sched_arr_utc"].null_count() == 0


def test_arrival_in_utc_agrees_with_the_time_in_the_air_on_every_landing(flights: pl.DataFrame) -> None:
    """A wrong zone would be an hour off: taxiing would then take less than nothing for some and hours for most."""
    landed = flights.filter(pl.col("arr_delay").is_not_null())
    ground = landed.select((pl.col("arr_utc") - pl.col("dep_utc")).dt.total_minutes() - pl.col("air_time")).to_series()
    assert landed["arr_utc"].null_count() == 0
    assert (ground.min(), ground.max()) == (5, 235)
    assert landed["sched_block_min"].is_between(50, 700).all()


ZONES = {"LAX": "America/Los_Angeles", "ORD": "America/Chicago", "PHX": "America/Phoenix", "DEN": "America/Denver"}
ZONES |= {
    "HNL": "Pacific/Honolulu",
    "SJU": "America/Puerto_Rico",
    "ANC": "America/Anchorage",
    "BOS": "America/New_York",
}


@pytest.mark.parametrize(("dest", "zone"), ZONES.items())
def test_arrival_is_what_the_clock_at_the_destination_showed_summer_and_winter(
    flights: pl.DataFrame, dest: str, zone: str
) -> None:
    landed = flights.filter(pl.col("dest") == dest, pl.col("arr_delay").is_not_null())
    assert len(landed) > 0
    assert landed.filter(clock(pl.col("arr_utc").dt.convert_time_zone(zone)) != pl.col("arr_time")).is_empty()


def test_a_diverted_flight_has_left_and_never_arrived(flights: pl.DataFrame) -> None:
    diverted = flights.filter(pl.col("dep_time").is_not_null(), pl.col("arr_delay").is_null())
    assert len(diverted) == 9430 - 8255
    assert diverted["arr_utc"].null_count() == len(diverted)
    assert diverted["dep_utc"].null_count() == 0


def test_a_flight_without_aircraft_is_kept(flights: pl.DataFrame) -> None:
    assert flights["tailnum"].null_count() == 2512


def test_the_number_of_a_flight_alone_repeats_and_its_whole_key_does_not(flights: pl.DataFrame) -> None:
    short = ["year", "month", "day", "carrier", "flight"]
    assert len(flights) - flights.select(short).n_unique() == 24
    assert flights.select(*short, "origin", "sched_dep_time").n_unique() == len(flights)


def test_local_hours_of_the_weather_repeat_and_moments_do_not() -> None:
    weather = repaired("weather", raw("weather"))
    assert len(weather) - weather.select("origin", "year", "month", "day", "hour").n_unique() == 3
    assert weather.select("origin", "observed_utc").n_unique() == len(weather)
    assert weather.filter(in_new_york("observed_utc").dt.hour() != pl.col("hour")).is_empty()


def test_weather_is_in_si_units_and_silence_stays_null() -> None:
    first = repaired("weather", raw("weather").head(1)).row(0, named=True)
    assert first["temp_c"] == pytest.approx((39.02 - 32) / 1.8, abs=1e-5)
    assert first["wind_mps"] == pytest.approx(4.63, abs=1e-3)
    assert first["visibility_km"] == pytest.approx(16.09, abs=0.01)
    assert first["gust_mps"] is None


def test_a_plane_of_unknown_year_stays_unknown() -> None:
    planes = repaired("planes", raw("planes"))
    assert planes["built_year"].null_count() == 70
    assert "speed" not in planes.columns


def test_the_sixteen_sites_are_found_as_history_goes_on() -> None:
    assert len(SOURCE.sites(table("flights"), YEAR_END)) == 16
