"""Drift: false alarms where there is none, what injected shifts look like, the real quarters of 2013, and seconds.

    python benchmarks/drift.py [noise] [earnings] [shifts] [quarters] [speed]      # all when none is named

No drift, three ways. `iid`: independent rows. `days`: every day has an offset of its own that resembles the day before
(AR(1), 0.6), a third of the variance. `weeks of 2013`: the real departures of 16 carriers with the weeks of the year in
random order, so that there is no season left, but everything that a real week does to all its rows at once.

A window is a week. An alarm is what `watched` says with its default limits; a shift is found when the alarm names a
feature that was moved, and its delay counts the weeks from the first moved one.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.data_speed import raw_rows  # noqa: E402  found through the line above
from factory.line.drift import Limits  # noqa: E402
from factory.monitoring.drift.alerts import Alert, SiteState, watched  # noqa: E402
from factory.monitoring.drift.counting import Columns  # noqa: E402
from factory.monitoring.drift.measure import measured  # noqa: E402
from factory.monitoring.drift.profile import reference_profiles  # noqa: E402
from lines.departure_delay.clean import repair_flights, repair_planes, repair_weather  # noqa: E402
from lines.departure_delay.features import FEATURES, build  # noqa: E402

START = datetime(2013, 1, 7, tzinfo=UTC)
WEEK = timedelta(days=7)
REFERENCE_WEEKS = 13
SIZES = (0.1, 0.25, 0.5, 1.0)
REAL = Columns(features=tuple(FEATURES))
MADE = Columns(features=tuple(f"f{number}" for number in range(20)))


@dataclass(frozen=True, kw_only=True)
class World:
    """Rows in weeks: the first are the reference, the others are judged one by one."""

    rows: pl.DataFrame
    columns: Columns
    weeks: int


def made_world(seed: int, *, alike: float, sites: int = 16, per_day: int = 60, weeks: int = 39) -> World:
    """Return features of four kinds; `alike` is the share of variance that a day's rows have in common."""
    rng = np.random.default_rng(seed)
    days = 7 * weeks
    parts = []
    for site in range(sites):
        size = max(3, int(per_day * rng.lognormal(-0.5, 1.0)))
        offset = np.zeros((days, 20))
        for day in range(1, days):
            offset[day] = 0.6 * offset[day - 1] + np.sqrt(1 - 0.36) * rng.normal(size=20)
        values = np.sqrt(alike) * np.repeat(offset, size, 0) + np.sqrt(1 - alike) * rng.normal(size=(days * size, 20))
        values[:, 5:10] = np.exp(values[:, 5:10])  # skewed
        values[:, 10:15] = np.round(values[:, 10:15])  # few values
        values[:, 15:18][rng.random((days * size, 3)) < 0.2] = np.nan  # often unknown
        values[:, 18:] = values[:, 18:] > 1  # rare events
        at = [START + timedelta(days=day, minutes=20 * place % 1440) for day in range(days) for place in range(size)]
        parts.append(
            pl.DataFrame(values, schema=list(MADE.features)).with_columns(
                site=pl.lit(f"s{site:02}"), decided_at=pl.Series(at)
            )
        )
    return World(rows=pl.concat(parts), columns=MADE, weeks=weeks)


def departures() -> pl.DataFrame:
    """Return the features of all departures of 2013, by the line's own functions."""
    import benchmarks.data_speed as speed

    speed.UNTIL = datetime(2014, 1, 1, tzinfo=UTC)
    repairs = {"flights": repair_flights, "weather": repair_weather, "planes": repair_planes}
    tables = {name: repair(raw_rows(name).lazy().drop("_load", "_row")) for name, repair in repairs.items()}
    return build(tables).collect().select("site", "decided_at", *FEATURES)


def shuffled_weeks(rows: pl.DataFrame, seed: int) -> World:
    """Return the year's whole weeks in random order: the same hours of the same weekdays, at another time."""
    week = ((pl.col("decided_at") - START).dt.total_days() // 7).alias("week")
    inside = rows.filter(pl.col("decided_at") >= START).with_columns(week).filter(pl.col("week") < 51)
    order = pl.DataFrame({"week": np.arange(51), "place": np.random.default_rng(seed).permutation(51)})
    moved = inside.join(order, on="week").with_columns(
        decided_at=pl.col("decided_at") + (pl.col("place") - pl.col("week")) * pl.duration(days=7)
    )
    return World(rows=moved.drop("week", "place"), columns=REAL, weeks=51)


def alarms(world: World, limits: Limits, moved: pl.Expr | None = None) -> Iterator[tuple[int, list[Alert], int]]:
    """Walk the weeks after the reference: each one's number from 0, its alerts, and how many sites had rows."""
    end = START + REFERENCE_WEEKS * WEEK
    profiles = reference_profiles(world.rows.lazy().filter(pl.col("decided_at") < end), world.columns)
    states: dict[str, SiteState] = {}
    for week in range(world.weeks - REFERENCE_WEEKS):
        start = end + week * WEEK
        rows = world.rows.filter(pl.col("decided_at").is_between(start, start + WEEK, closed="left"))
        if moved is not None:
            rows = rows.with_columns(moved)
        shifts = measured(rows.lazy(), world.columns, profiles)
        states, found = watched(states, shifts, at=start + WEEK, limits=limits)
        yield week, found, len({shift.site for shift in shifts})


def false_alarms(name: str, worlds: Sequence[World]) -> str:
    """Return how often there was an alarm where nothing moved."""
    walked = [step for world in worlds for step in alarms(world, Limits())]
    told, weeks = sum(len(found) for _, found, _ in walked), sum(sites for _, _, sites in walked)
    return f"{name:<14} {told:>3} false alarms in {weeks:>5,} site-weeks: {100 * told / weeks:.2f} in 100 (aim < 1)"


def noise(year: pl.DataFrame) -> None:
    """Print the false alarms of each kind of quiet world."""
    print(false_alarms("iid", [made_world(seed, alike=0.0) for seed in range(3)]))
    print(false_alarms("days", [made_world(seed, alike=1 / 3) for seed in range(3)]))
    print(false_alarms("weeks of 2013", [shuffled_weeks(year, seed) for seed in range(6)]))


def earnings() -> None:
    """Print the false alarms about what decisions earn, held against 30 days as a release's are, and losses found."""
    for name, alike in {"iid": 0.0, "days": 1 / 3}.items():
        for loss in (0.0, 0.25, 0.5):
            found = [earning_less(seed, alike=alike, loss=loss) for seed in range(3)]
            told, weeks = sum(alarm for alarm, _ in found), sum(site_weeks for _, site_weeks in found)
            share = 100 * told / weeks
            print(f"earnings, {name}: {loss:.0%} less: {told} alarms in {weeks:,} site-weeks ({share:.2f} in 100)")


def earning_less(seed: int, *, alike: float, loss: float, sites: int = 16, weeks: int = 26) -> tuple[int, int]:
    """Return alarms and site-weeks of decisions worth 10 EUR on average that earn so much less after the reference."""
    rng, days, reference = np.random.default_rng(seed), 30 + 7 * weeks, 30
    parts = []
    for site in range(sites):
        size, offset = max(3, int(60 * rng.lognormal(-0.5, 1.0))), np.zeros(days)
        for day in range(1, days):
            offset[day] = 0.6 * offset[day - 1] + 0.8 * rng.normal()
        noise = np.sqrt(alike) * np.repeat(offset, size) + np.sqrt(1 - alike) * rng.normal(size=days * size)
        level = np.repeat(np.where(np.arange(days) < reference, 10.0, 10.0 * (1 - loss)), size)
        at = [START + timedelta(days=day, minutes=20 * place % 1440) for day in range(days) for place in range(size)]
        parts.append(pl.DataFrame({"site": f"s{site:02}", "decided_at": at, "value_eur": level + 60 * noise}))
    rows, columns = pl.concat(parts), Columns(features=(), value_eur="value_eur")
    end = START + timedelta(days=reference)
    profiles = reference_profiles(rows.lazy().filter(pl.col("decided_at") < end), columns)
    states: dict[str, SiteState] = {}
    told = 0
    for week in range(weeks):
        start = end + week * WEEK
        window = rows.filter(pl.col("decided_at").is_between(start, start + WEEK, closed="left"))
        states, found = watched(states, measured(window.lazy(), columns, profiles), at=start + WEEK, limits=Limits())
        told += len(found)
    return told, sites * weeks


def shifts(year: pl.DataFrame) -> None:
    """Print how many sites an injected shift of one feature is found at within eight weeks, and when."""
    for name, alike in {"iid": 0.0, "days, 5 % of variance": 0.05, "days, a third": 1 / 3}.items():
        world = made_world(9, alike=alike, weeks=21)
        for size in SIZES:
            print(found_shifts(f"{name}, 1 of 20", world, "f0", size))
    world = shuffled_weeks(year, 9)
    for feature in ("sched_block_min", "humidity_pct"):  # one that is the same every week, one that the weather makes
        for size in SIZES:
            print(found_shifts(f"2013, {feature}, 1 of 44", world, feature, size))


def found_shifts(name: str, world: World, feature: str, size: float) -> str:
    """Move a feature by `size` standard deviations at every site, from the first week after the reference on."""
    first: dict[str, int] = {}
    moved = pl.col(feature) + size * world.rows[feature].std()
    sites = world.rows["site"].n_unique()
    for week, found, _ in alarms(world, Limits(quiet_days=0), moved):
        if week == 8:
            break
        for alert in found:
            if any(shift.feature == feature for shift in alert.shifts):
                first.setdefault(alert.site, week + 1)
    delay = f"{statistics.median(first.values()):.0f} weeks" if first else "—"
    return f"{name}: +{size:.2f} sd found at {len(first):>2} of {sites} sites within 8 weeks, median delay {delay}"


def quarters(year: pl.DataFrame) -> None:
    """Print what is said of the real year, with January to March as the reference."""
    world = World(rows=year, columns=REAL, weeks=51)
    told: dict[int, list[Alert]] = {2: [], 3: [], 4: []}
    weeks = dict.fromkeys(told, 0)
    for week, found, sites in alarms(world, Limits(quiet_days=28)):
        quarter = min(4, 2 + week // 13)
        told[quarter] += found
        weeks[quarter] += sites
    for quarter, found in told.items():
        features = [shift.feature for alert in found for shift in alert.shifts]
        often = sorted(set(features), key=features.count, reverse=True)[:6]
        named = ", ".join(f"{name} ({features.count(name)})" for name in often)
        sites = len({alert.site for alert in found})
        print(f"quarter {quarter}: {len(found)} alerts at {sites} sites in {weeks[quarter]} site-weeks; mostly {named}")


def speed() -> None:
    """Print the seconds for a million rows of 20 features at 16 sites."""
    rng = np.random.default_rng(0)
    count = 1_000_000
    at = pl.datetime_range(START, START + timedelta(days=91), interval="1s", eager=True).sample(count, seed=0)
    rows = pl.DataFrame(rng.normal(size=(count, 20)), schema=list(MADE.features)).with_columns(
        site=pl.Series(rng.integers(0, 16, count)).cast(pl.String), decided_at=at
    )
    started = time.perf_counter()
    profiles = reference_profiles(rows.lazy(), MADE)
    profiled = time.perf_counter()
    found = measured(rows.lazy(), MADE, profiles)
    judged = time.perf_counter()
    watched({}, found, at=START, limits=Limits())
    ended = time.perf_counter()
    print(
        f"1 M rows, 20 features, 16 sites: profile {profiled - started:.2f} s, one window of as many rows "
        f"{judged - profiled:.2f} s, verdict {ended - judged:.3f} s"
    )


def main(words: Sequence[str]) -> None:
    """Do what is asked for."""
    wanted = set(words) or {"noise", "earnings", "shifts", "quarters", "speed"}
    for name, alone in {"speed": speed, "earnings": earnings}.items():
        if name in wanted:
            alone()
    year = departures() if wanted - {"speed", "earnings"} else pl.DataFrame()
    for name, part in {"noise": noise, "shifts": shifts, "quarters": quarters}.items():
        if name in wanted:
            part(year)


if __name__ == "__main__":
    main(sys.argv[1:])
