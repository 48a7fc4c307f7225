"""Raw departures, weather and aircraft in; the same rows with moments in UTC and SI units out.

Each `repair_*` gives exactly the rows it gets. All is plain arithmetic on columns, so it runs on either engine:
no time-zone database is asked, for the raw rows themselves tell how far New York was from UTC.
"""

import polars as pl

HOURS_WEST = {
    1: "AUS BHM BNA DFW DSM HOU IAH MCI MDW MEM MKE MSN MSP MSY OKC OMA ORD SAT STL TUL XNA",
    2: "ABQ BZN DEN EGE HDN JAC MTJ SLC PHX",
    3: "BUR LAS LAX LGB OAK PDX PSP SAN SEA SFO SJC SMF SNA",
    4: "ANC",
    5: "HNL",
    -1: "BQN PSE SJU STT",
}
"""Hours that a destination's clock is behind New York's in winter; all others follow New York."""

NO_DAYLIGHT_SAVING = "BQN HNL PHX PSE SJU STT"

_SHORTEST_FLIGHT_MIN = 20
_EASTERN_SUMMER_HOURS = 4
_DAY_MIN = 24 * 60


def repair_flights(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Add when a flight was due and when it really left and arrived, as moments in UTC.

    `sched_dep_utc` comes from `time_hour`, which is UTC while `hour` is local. The delays count from there, so that
    neither midnight, nor 2400, nor daylight saving can go wrong. A diverted flight has no `arr_delay` and so no
    `arr_utc`: the source does not say which airport's clock its `arr_time` was read from. 2400 becomes 0. `weekday` is
    New York's, Monday 1 to Sunday 7.
    """
    due = pl.col("time_hour") + _minutes(pl.col("sched_dep_time") % 100)
    block = (
        _clock(pl.col("sched_arr_time")) - _clock(pl.col("sched_dep_time")) + _minutes_behind() - _SHORTEST_FLIGHT_MIN
    ) % _DAY_MIN + _SHORTEST_FLIGHT_MIN
    return (
        raw.with_columns(
            sched_dep_utc=due,
            weekday=(due - _minutes(60 * _hours_behind_utc())).dt.weekday(),
            sched_block_min=block,
            dep_utc=due + _minutes(pl.col("dep_delay")),
            sched_arr_utc=due + _minutes(block),
            arr_utc=due + _minutes(block + pl.col("arr_delay")),
            dep_time=pl.col("dep_time") % 2400,
            arr_time=pl.col("arr_time") % 2400,
            distance_km=(pl.col("distance") * 1.609344).cast(pl.Float32),
        )
    ).drop("distance", "minute")


def repair_weather(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Turn US units into SI; `observed_utc` is the hour of the observation.

    The local hour repeats when daylight saving ends, so `time_hour` is what tells observations apart.
    """
    return raw.select(
        pl.exclude("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
        observed_utc=pl.col("time_hour"),
        temp_c=_single((pl.col("temp") - 32) / 1.8),
        dewpoint_c=_single((pl.col("dewp") - 32) / 1.8),
        humidity_pct=_single(pl.col("humid")),
        wind_from_deg=_single(pl.col("wind_dir")),
        wind_mps=_single(pl.col("wind_speed") * 0.44704),
        gust_mps=_single(pl.col("wind_gust") * 0.44704),
        precipitation_mm=_single(pl.col("precip") * 25.4),
        pressure_hpa=_single(pl.col("pressure")),
        visibility_km=_single(pl.col("visib") * 1.609344),
    )


def repair_planes(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Say that `year` is the year of building; a `speed` is known of 23 aircraft only and is left out."""
    return raw.rename({"year": "built_year"}).drop("speed")


def _single(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.Float32)


def _minutes(count: pl.Expr) -> pl.Expr:
    """Return a length of time, null where the count is."""
    return (count.cast(pl.Int64) * 60_000_000).cast(pl.Duration("us"))


def _clock(hhmm: pl.Expr) -> pl.Expr:
    """Return minutes since midnight of a clock reading such as 1545; 2400 is the end of the day."""
    return hhmm // 100 * 60 + hhmm % 100


def _minutes_behind() -> pl.Expr:
    """Return how far the destination's clock is behind New York's on the day of departure."""
    hours = pl.lit(0, dtype=pl.Int64)
    for behind, places in HOURS_WEST.items():
        hours = pl.when(pl.col("dest").is_in(places.split())).then(pl.lit(behind, dtype=pl.Int64)).otherwise(hours)
    summer = (_hours_behind_utc() == _EASTERN_SUMMER_HOURS) & pl.col("dest").is_in(NO_DAYLIGHT_SAVING.split())
    return 60 * (hours + summer.cast(pl.Int64))


def _hours_behind_utc() -> pl.Expr:
    """Return how far New York's clock is behind UTC at the scheduled hour: 5 in winter, 4 in summer."""
    return (pl.col("time_hour").dt.hour().cast(pl.Int64) - pl.col("sched_dep_time") // 100) % 24
