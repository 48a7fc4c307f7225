"""Cleaned departures, weather and aircraft in; one row a departure out, with what was known two hours before schedule.

A departure or arrival is known once it has happened; that a flight has not left is known when its time has passed.
Schedules, and which aircraft is meant to fly, are published ahead, so announced flights count as others do. Nothing
else may be used.
"""

import math
from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from factory.features.windows import AT, PENDING, QUERY, asked, with_pending
from lines.departure_delay.aircraft import aircraft_state
from lines.departure_delay.conditions import weather_state
from lines.departure_delay.punctuality import LATE_AFTER_MIN, punctuality

KEY = ("year", "month", "day", "carrier", "flight", "origin", "sched_dep_time")
NOTICE = timedelta(hours=2)


def build(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return `site`, the key, `decided_at`, `label` and the columns of FEATURES, for every departure that is asked.

    `label` is 1 if the flight left more than 15 minutes late, 0 if not, null if it never left. Pure and lazy.
    """
    flights = numbered(with_pending(tables["flights"]))
    wanted = asked(flights)
    parts = [
        punctuality(wanted, flights.filter(~pl.col(PENDING))),
        weather_state(wanted, tables["weather"]),
        aircraft_state(wanted, flights, tables["planes"]),
    ]
    rows = asked(schedule(flights))
    for part in parts:
        rows = rows.join(part, on=QUERY, how="left")
    return rows.select(
        "site", *KEY, pl.col(AT).alias("decided_at"), "label", *(pl.col(name).cast(pl.Float32) for name in FEATURES)
    ).sort("decided_at", *KEY)


def numbered(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Return the departures with the moment of decision and a number each.

    The number is the place in key order: an engine that computes this part of the plan twice gets the same one twice.
    """
    decided = (pl.col("sched_dep_utc") - pl.lit(NOTICE)).alias(AT)
    return flights.sort(KEY).with_row_index(QUERY).with_columns(decided)


def schedule(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Return what the timetable alone says, and the label."""
    local = pl.col("hour") + (pl.col("sched_dep_time") % 100) / 60
    turn = local * (2 * math.pi / 24)
    return flights.with_columns(
        label=(pl.col("dep_delay") > LATE_AFTER_MIN).cast(pl.Float32),
        local_hour=local,
        day_sin=turn.sin(),
        day_cos=turn.cos(),
        weekend=pl.col("weekday") >= 6,
        origin_ewr=pl.col("origin") == "EWR",
        origin_jfk=pl.col("origin") == "JFK",
        origin_lga=pl.col("origin") == "LGA",
        origin_hour_departures=pl.len().over("origin", "time_hour"),
        carrier_hour_departures=pl.len().over("origin", "carrier", "time_hour"),
    )


FEATURES: Mapping[str, str] = {
    "local_hour": "Scheduled departure, hours since local midnight.",
    "day_sin": "Sine of the scheduled time of day.",
    "day_cos": "Cosine of the scheduled time of day.",
    "weekday": "Day of the week, Monday 1 to Sunday 7.",
    "weekend": "1 on Saturday and Sunday.",
    "origin_ewr": "1 if it leaves from Newark.",
    "origin_jfk": "1 if it leaves from Kennedy.",
    "origin_lga": "1 if it leaves from LaGuardia.",
    "distance_km": "Great-circle distance to the destination.",
    "sched_block_min": "Scheduled minutes from gate to gate.",
    "origin_hour_departures": "Departures scheduled from the origin in the same hour.",
    "carrier_hour_departures": "The carrier's departures scheduled from the origin in the same hour.",
    "origin_delay_1h": "Mean delay in minutes of departures from the origin in the last hour.",
    "origin_late_share_3h": "Share of late ones among departures from the origin in the last 3 hours.",
    "origin_late_share_24h": "Share of late ones among departures from the origin in the last 24 hours.",
    "origin_overdue": "Flights at the origin whose time has passed, up to 6 hours ago, and which have not left.",
    "origin_overdue_min": "How long those flights have waited so far, minutes in all.",
    "carrier_origin_delay_2h": "Mean delay in minutes of the carrier's departures from the origin in the last 2 hours.",
    "carrier_origin_late_share_6h": "Share of late ones among them in the last 6 hours.",
    "carrier_origin_overdue": "The carrier's overdue flights at the origin.",
    "carrier_origin_overdue_min": "How long those flights have waited so far, minutes in all.",
    "carrier_late_share_3h": "Share of late ones among the carrier's departures in the last 3 hours, all origins.",
    "carrier_late_share_28d": "Share of late ones among the carrier's departures in the last 28 days.",
    "dest_delay_3h": "Mean delay in minutes of departures to the same destination in the last 3 hours.",
    "dest_overdue": "Overdue flights to the same destination, all carriers and origins.",
    "dest_overdue_min": "How long those flights have waited so far, minutes in all.",
    "dest_arrival_delay_4h": "Mean arrival delay in minutes of flights that landed there in the last 4 hours.",
    "route_late_share_21d": "Share of late ones among the carrier's departures on this route in the last 21 days.",
    "flight_late_share_28d": "Share of late ones among departures of this flight number in the last 28 days.",
    "humidity_pct": "Relative humidity at the origin, last observation.",
    "wind_mps": "Wind speed at the origin, metres a second.",
    "gust_mps": "Speed of gusts at the origin; unknown when none were reported.",
    "precipitation_mm": "Precipitation in the last observed hour at the origin.",
    "visibility_km": "Visibility at the origin.",
    "pressure_trend_hpa": "Change of air pressure at the origin over three hours.",
    "aircraft_gap_min": "Minutes from the aircraft's previous scheduled departure to this one, two days at most.",
    "aircraft_slack_min": "That gap less a flight out and back as scheduled.",
    "aircraft_slack_left_min": "That slack less the delay the aircraft has so far.",
    "aircraft_delay_min": "Delay of the aircraft's previous departure, or how overdue it is by now.",
    "aircraft_arrival_delay_min": "Delay at landing of that departure, once it has landed.",
    "aircraft_overdue": "1 if that departure should have left and has not.",
    "aircraft_leg_of_day": "Which departure of the aircraft this is on its day.",
    "aircraft_age_years": "Years since the aircraft was built.",
    "aircraft_seats": "Seats of the aircraft.",
}
"""Every column the network sees, in its order, with a sentence on what it holds."""
