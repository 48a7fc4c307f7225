"""The weather at the origin as last observed before the decision."""

from datetime import timedelta

import polars as pl

from factory.features.windows import AT, last_before

OBSERVED = (
    "humidity_pct",
    "wind_mps",
    "gust_mps",
    "precipitation_mm",
    "visibility_km",
    "pressure_trend_hpa",
)
STALE_AFTER = timedelta(hours=6)
_TREND_HOURS = 3


def weather_state(flights: pl.LazyFrame, weather: pl.LazyFrame) -> pl.LazyFrame:
    """Return `QUERY` and OBSERVED, null where no observation is younger than six hours or the instrument was silent."""
    return last_before(flights, _observations(weather), by=("origin",), values=OBSERVED, within=STALE_AFTER)


def _observations(weather: pl.LazyFrame) -> pl.LazyFrame:
    """Add the change of pressure over the three hours before, known where both observations are there."""
    earlier = weather.select(
        "origin",
        pl.col("observed_utc") + pl.lit(timedelta(hours=_TREND_HOURS)),
        pressure_then_hpa=pl.col("pressure_hpa"),
    )
    return weather.join(earlier, on=["origin", "observed_utc"], how="left").with_columns(
        pl.col("observed_utc").alias(AT), pressure_trend_hpa=pl.col("pressure_hpa") - pl.col("pressure_then_hpa")
    )
